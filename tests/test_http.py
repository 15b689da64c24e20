"""The web client: exact ranges, whatever the server and the line do to it; secrets stay home."""

import multiprocessing
import os
import pickle
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fault_server import Fault, FaultServer
from mella.errors import MellaError
from mella.http import HttpClient, HttpError, Retry

NOW = Retry(attempts=4, first_wait=0.001, longest_wait=0.002, longest_asked=0.01)
CONTENT = bytes(os.urandom(1 << 20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "file").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[FaultServer]:
    with FaultServer(folder) as running:
        yield running


@pytest.fixture
def client() -> HttpClient:
    return HttpClient(NOW)


def ranges(server: FaultServer) -> list[tuple[str | None, int, int]]:
    return [(one.range, one.status, one.sent) for one in server.requests]


def test_a_range_is_those_bytes_and_no_more(server: FaultServer, client: HttpClient) -> None:
    assert client.get(f"{server.url}/file", span=(10, 30)).body == CONTENT[10:30]
    assert ranges(server) == [("bytes=10-29", 206, 20)]


def test_a_server_without_ranges_is_warned_of_once(server: FaultServer, client: HttpClient) -> None:
    server.then(Fault(whole=True), Fault(whole=True))
    with pytest.warns(UserWarning, match="does not serve ranges"):
        assert client.get(f"{server.url}/file", span=(10, 30)).body == CONTENT[10:30]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.get(f"{server.url}/file", span=(20, 30)).body == CONTENT[20:30]


def test_a_file_is_whole(server: FaultServer, client: HttpClient) -> None:
    assert client.get(f"{server.url}/file").body == CONTENT
    assert client.get(f"{server.url}/empty").body == b""


@pytest.mark.parametrize("whole", [False, True])
def test_beyond_the_end_there_is_less_or_nothing(
    server: FaultServer, client: HttpClient, *, whole: bool
) -> None:
    size = len(CONTENT)
    for start, end in [(size - 3, size + 9), (size, size + 1), (size + 7, size + 9), (5, 5)]:
        server.then(*[Fault(whole=whole)] * (end > start))
        assert client.get(f"{server.url}/file", span=(start, end)).body == CONTENT[start:end]


def test_connections_are_kept(server: FaultServer, client: HttpClient) -> None:
    for start in range(0, 1000, 100):
        client.get(f"{server.url}/file", span=(start, start + 100))
    assert server.connections == 1


def test_a_server_without_ranges_is_heard_no_further_than_needed(
    tmp_path: Path, client: HttpClient
) -> None:
    size = 64 << 20
    with (tmp_path / "big").open("wb") as file:
        file.truncate(size)
    with FaultServer(tmp_path, faults=(Fault(whole=True, drip=0.05),)) as server:
        assert client.get(f"{server.url}/big", span=(5, 1000)).body == bytes(995)
        # The connection was closed in the middle of the file: the next request needs another.
        assert client.get(f"{server.url}/big", span=(0, 10)).body == bytes(10)
        assert server.connections == 2


FAULTS = {
    "500": Fault(status=500),
    "503": Fault(status=503),
    "408": Fault(status=408),
    "425": Fault(status=425),
    "429": Fault(status=429),
    "no answer": Fault(silent=True),
    "cut before": Fault(cut=0),
    "cut within": Fault(cut=1000),
    "reset before": Fault(reset=0),
    "reset within": Fault(reset=300_000),
    "short": Fault(short=70_000),
    "whole": Fault(whole=True),
    "slow": Fault(drip=0.001),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("span", [None, (1000, 600_000)], ids=["file", "range"])
def test_faults_that_pass_lose_nothing(
    server: FaultServer, client: HttpClient, fault: Fault, span: tuple[int, int] | None
) -> None:
    wanted = CONTENT[slice(*span)] if span else CONTENT
    client.get(f"{server.url}/empty")  # the host has answered once
    server.then(fault, fault, fault)
    assert client.get(f"{server.url}/file", span=span).body == wanted


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 30), data=st.data())
def test_any_mix_of_faults_loses_nothing(folder: Path, seed: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(CONTENT)))
    end = data.draw(st.integers(start, len(CONTENT) + 1000))
    client = HttpClient(Retry(attempts=50, first_wait=0.0001, longest_wait=0.0002))
    with FaultServer(folder, seed=seed) as server:
        server.sometimes(0.6, *FAULTS.values())
        assert client.get(f"{server.url}/file", span=(start, end)).body == CONTENT[start:end]


def test_what_came_before_a_break_is_not_asked_for_again(
    server: FaultServer, client: HttpClient
) -> None:
    server.then(Fault(cut=1000), Fault(cut=2000))
    assert client.get(f"{server.url}/file").body == CONTENT
    assert ranges(server) == [
        (None, 200, 1000),
        ("bytes=1000-", 206, 2000),
        ("bytes=3000-", 206, len(CONTENT) - 3000),
    ]


def test_progress_is_not_a_failure_too_often(server: FaultServer, client: HttpClient) -> None:
    server.then(*[Fault(cut=1000)] * 20)
    assert client.get(f"{server.url}/file").body == CONTENT


def test_a_file_that_changes_while_it_is_read_is_read_anew(
    tmp_path: Path, client: HttpClient
) -> None:
    (tmp_path / "file").write_bytes(b"a" * 5000)

    class Changing(FaultServer):
        def fault(self, path: str) -> Fault:
            if len(self.requests) == 1:
                (tmp_path / "file").write_bytes(b"b" * 6000)
                return Fault(whole=True)  # as a server answers whose If-Range does not hold
            return super().fault(path)

    with Changing(tmp_path, faults=(Fault(cut=1000),)) as server:
        assert client.get(f"{server.url}/file").body == b"b" * 6000


# Giving up.


def test_it_gives_up_and_says_why(server: FaultServer, client: HttpClient) -> None:
    server.then(*[Fault(status=503)] * 9)
    with pytest.raises(HttpError, match="tried 4 times: 503 Service Unavailable") as caught:
        client.get(f"{server.url}/file?signature=secret", span=(0, 10))
    assert caught.value.status == 503
    assert "secret" not in str(caught.value)
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_not_asked_again(server: FaultServer, client: HttpClient, status: int) -> None:
    server.then(Fault(status=status))
    with pytest.raises(HttpError, match=rf"/file answers {status} ") as caught:
        client.get(f"{server.url}/file?signature=secret")
    assert caught.value.status == status
    assert isinstance(caught.value, MellaError)
    assert isinstance(caught.value, OSError)
    assert "secret" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_host_that_never_answered_is_given_up_early() -> None:
    client = HttpClient(Retry(attempts=100, first_wait=0.001))
    with pytest.raises(HttpError, match=r"tried 3 times: .*Connection refused") as caught:
        client.get("http://127.0.0.1:9/file?signature=secret")
    assert caught.value.status is None
    assert "secret" not in str(caught.value)


def test_a_body_that_stops_is_given_up(folder: Path) -> None:
    client = HttpClient(Retry(attempts=2, first_wait=0.001, read_timeout=0.05))
    with FaultServer(folder) as server:
        server.then(*[Fault(drip=0.5)] * 9)
        with pytest.raises(HttpError, match="tried 2 times: ReadTimeout"):
            client.get(f"{server.url}/file", span=(0, 10))


@pytest.mark.parametrize("url", ["http://", "http://[::1/x", "http://a:b/"])
def test_what_is_no_url_is_named(client: HttpClient, url: str) -> None:
    with pytest.raises((HttpError, ValueError)):
        client.get(url)


def test_a_compressed_or_other_range_is_refused(server: FaultServer, client: HttpClient) -> None:
    server.then(Fault(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(HttpError, match="comes compressed"):
        client.get(f"{server.url}/file", span=(0, 10))
    with pytest.raises(HttpError, match="asked for bytes=0-9 and sent"):
        Confused.answer(client)


class Confused(BaseHTTPRequestHandler):
    """Answers every range with another one."""

    def do_GET(self) -> None:
        self.send_response(206)
        self.send_header("Content-Range", "bytes 5-14/100")
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(bytes(10))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""

    @classmethod
    def answer(cls, client: HttpClient) -> None:
        with HTTPServer(("127.0.0.1", 0), cls) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            try:
                client.get(f"http://127.0.0.1:{server.server_address[1]}/x", span=(0, 10))
            finally:
                thread.join()


# Waiting.


def test_waits_grow_and_have_a_limit() -> None:
    retry = Retry(first_wait=1, longest_wait=8, longest_asked=100)
    for failures, most in enumerate([1, 2, 4, 8, 8, 8], start=1):
        assert most / 2 <= retry.wait(failures) <= most
    assert 50 < retry.wait(1, 50) <= 51
    assert 100 < retry.wait(1, 1e6) <= 101


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, *, as_date: bool
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("mella.http.time.sleep", waits.append)
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    server.then(Fault(status=429, headers={"Retry-After": date if as_date else "60"}))
    server.then(Fault(status=503, headers={"Retry-After": "soon"}))
    client = HttpClient(Retry(first_wait=0.001))
    assert client.get(f"{server.url}/file", span=(0, 9)).body == CONTENT[:9]
    first, second = (wait for wait in waits if wait != 0.0)
    assert 55 < first < 61
    assert second < 1


# Redirects and secrets.

SECRETS = {"Authorization": "Bearer hf_secret", "Cookie": "secret"}


def test_secrets_are_for_the_host_that_was_asked(server: FaultServer, client: HttpClient) -> None:
    server.sign()
    answer = client.get(f"{server.url}/file", span=(3, 9), headers=SECRETS)
    assert answer.body == CONTENT[3:9]
    assert answer.url == f"{server.store}/file?signature=secret0"
    assert [one.authorization for one in server.requests] == ["Bearer hf_secret", None]


def test_head_stops_at_another_host(server: FaultServer, client: HttpClient) -> None:
    server.then(Fault(status=503), Fault(status=307, headers={"Location": "file"}))
    server.sign(uses=0)  # nobody has gone there
    place = client.head(f"{server.url}/old", headers=SECRETS)
    assert place.url == f"{server.store}/file?signature=secret0"
    assert [(one.path, one.authorization) for one in server.requests] == [
        ("/old", "Bearer hf_secret"),
        ("/old", "Bearer hf_secret"),
        ("/file", "Bearer hf_secret"),
    ]


def test_redirects_that_go_on_and_on_are_named(server: FaultServer, client: HttpClient) -> None:
    server.then(*[Fault(status=302, headers={"Location": "/file"})] * 9)
    with pytest.raises(HttpError, match="More than 5 redirects"):
        client.get(f"{server.url}/file")


# Processes, threads, proxies.


def test_it_is_pickled_without_its_connections(server: FaultServer, client: HttpClient) -> None:
    client.get(f"{server.url}/file", span=(0, 9))
    copy = pickle.loads(pickle.dumps(client))
    assert copy.retry == NOW
    assert copy.get(f"{server.url}/file", span=(0, 9)).body == CONTENT[:9]
    assert server.connections == 2


def _read_in_child(client: HttpClient, url: str, start: int) -> bytes:
    return client.get(url, span=(start, start + 50_000)).body


def test_it_is_used_after_a_fork(server: FaultServer, client: HttpClient) -> None:
    url = f"{server.url}/file"
    client.get(url, span=(0, 9))
    starts = range(0, 900_000, 50_000)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_check_child, args=(client, url, start)) for start in starts]
    for child in children[:4]:
        child.start()
    for start in starts:  # the parent goes on using its own
        assert _read_in_child(client, url, start) == CONTENT[start : start + 50_000]
    for child in children[:4]:
        child.join()
    assert [child.exitcode for child in children[:4]] == [0] * 4


def _check_child(client: HttpClient, url: str, start: int) -> None:
    for _ in range(20):
        assert _read_in_child(client, url, start) == CONTENT[start : start + 50_000]


def test_threads_share_it(server: FaultServer, client: HttpClient) -> None:
    server.sometimes(0.1, Fault(status=503), Fault(cut=10))
    spans = [(start, start + 5000) for start in range(0, 1_000_000, 5000)]
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda span: client.get(f"{server.url}/file", span=span).body, spans)
        assert b"".join(found) == CONTENT[:1_000_000]
    assert server.connections < 100


class Proxy(BaseHTTPRequestHandler):
    """Answers every request itself with the URL that it was to be sent to."""

    def do_GET(self) -> None:
        body = f"{self.path} {self.headers.get('Proxy-Authorization')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


def test_the_proxy_of_the_environment_is_used(
    client: HttpClient, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.handle_request)
        thread.start()
        port = proxy.server_address[1]
        monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        found = client.get("http://far.example/file").body.decode()
        assert found == "http://far.example/file Basic bWU6d29yZA=="
        assert client.get(f"{server.url}/file", span=(0, 9)).body == CONTENT[:9]
        thread.join()
