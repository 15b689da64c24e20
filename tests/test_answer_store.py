"""The store of answers: what arrived is not asked for again, and what was cut off does no harm."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetching import answer, other, params, site
from mella.builders.culture.fetch.answer_store import AnswerStore
from mella.builders.culture.fetch.fetcher import Fetched, Fetcher

__all__ = ["other", "site"]  # fixtures

NOW = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
BODIES = (b"one", b"", bytes(range(256)) * 3)


@pytest.fixture
def keep(tmp_path):
    """Return a function that fetches with a store, each time by another fetcher."""

    def fetch(urls, **changes):
        return Fetcher(params(store=str(tmp_path / "store"), **changes)).fetch(urls)

    return fetch


def answers(*bodies):
    made = (f"http://a.example/{number}" for number in range(len(bodies)))
    return [
        Fetched(url, url, 200, {"etag": f'"{url}"'}, body, fetched_at=NOW)
        for url, body in zip(made, bodies, strict=True)
    ]


def store_in(folder):
    return AnswerStore(params(store=str(folder)))


def only_file(folder):
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


# Through the fetcher


def test_what_arrived_is_not_asked_again(site, keep):
    site.pages |= {"/a": (200, {"X-Robots-Tag": "noai"}, b"ok"), "/empty": b"", "/b": (302, {
        "Location": "/a"}, b""), "/gone": (410, {}, b"")}  # fmt: skip
    urls = [site.url + path for path in ("/a", "/empty", "/b", "/gone", "/a#part")]
    first = keep(urls)
    asked = Counter(site.log)
    assert keep(urls) == first
    assert Counter(site.log) == asked
    assert [f.body for f in first] == [b"ok", b"", b"ok", None, b"ok"]
    assert first[3].reason == "fetch:http_410"
    assert first[0].headers["x-robots-tag"] == "noai"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_asked_again(site, keep, status):
    site.pages["/a"] = [(status, {}, b""), b"ok"]
    assert keep([f"{site.url}/a"], retries=0)[0].reason == f"fetch:http_{status}"
    assert keep([f"{site.url}/a"])[0].body == b"ok"


def test_a_body_that_is_too_large_now_is_refused_from_the_store_too(site, keep):
    site.pages["/a"] = bytes(100)
    assert keep([f"{site.url}/a"])[0].body == bytes(100)
    got = keep([f"{site.url}/a"], max_bytes=99)[0]
    assert (got.reason, got.body) == ("fetch:too_large", None)


def test_rules_that_were_not_asked_for_are_not_got_around(site, keep):
    site.pages |= {"/robots.txt": b"User-agent: *\nDisallow: /a\n", "/a": b"secret"}
    assert keep([f"{site.url}/a"])[0].body == b"secret"
    assert keep([f"{site.url}/a"], respect_robots=True)[0].reason == "fetch:robots"
    assert keep([f"{site.url}/a"], allow_private=False)[0].reason == "fetch:private_address"
    assert keep([f"{site.url}/a"], user_agent="another/1")[0].body == b"secret"
    assert site.log.count("/a") == 2


def test_an_old_answer_is_asked_for_again_if_it_has_changed(site, keep):
    state = {"body": b"first", "etag": '"1"', "tag": "all"}

    def page(handler):
        known = handler.headers.get("If-None-Match") == state["etag"]
        body = b"" if known else state["body"]
        answer(
            handler, f"ETag: {state['etag']}", f"X-Robots-Tag: {state['tag']}",
            "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT",
            *([] if known else [f"Content-Length: {len(body)}"]),
            body=body, status=304 if known else 200,
        )  # fmt: skip

    site.redirect("/moved", "/a")
    site.pages["/a"] = page
    for url in (f"{site.url}/a", f"{site.url}/moved"):
        state |= {"body": b"first", "etag": '"1"', "tag": "all"}
        (first,) = keep([url])
        state["tag"] = "noai"
        (second,) = keep([url], store_fresh_s=0)
        assert (second.status, second.body, second.reason) == (200, b"first", None)
        assert second.headers["x-robots-tag"] == "noai"
        assert second.fetched_at >= first.fetched_at
        assert site.headers[-1]["if-modified-since"] == "Wed, 21 Oct 2015 07:28:00 GMT"
        assert keep([url]) == [second]  # what came with the 304 is kept
        state |= {"body": b"second", "etag": '"2"'}
        assert keep([url], store_fresh_s=0)[0].body == b"second"
        assert keep([url])[0].body == b"second"


def test_a_validator_that_cannot_be_sent_back_is_not(site, keep):
    def page(handler):
        handler.wfile.write('HTTP/1.1 200 OK\r\nETag: "é"\r\nContent-Length: 2\r\n\r\nok'.encode())

    site.pages["/a"] = page
    assert keep([f"{site.url}/a"])[0].body == b"ok"
    assert keep([f"{site.url}/a"], store_fresh_s=0)[0].body == b"ok"
    assert "if-none-match" not in site.headers[-1]


def test_a_304_that_nobody_asked_for_is_no_answer(site, keep):
    site.pages["/a"] = (304, {"Content-Length": "0"}, b"")
    assert [f.reason for f in keep([f"{site.url}/a"])] == ["fetch:http_304"]


def test_robots_is_obeyed_when_an_old_answer_is_asked_for_again(site, keep):
    site.pages |= {"/a": b"ok"}
    assert keep([f"{site.url}/a"], respect_robots=True)[0].body == b"ok"
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /\n"
    got = keep([f"{site.url}/a"], respect_robots=True, store_fresh_s=0)
    assert got[0].reason == "fetch:robots"


def test_a_fetch_that_is_killed_goes_on_where_it_was(site, tmp_path):
    script = """
import os, signal, sys
from mella.builders.culture.fetch.fetcher import Fetcher, FetchParams
params = FetchParams(contact="a@b.example", allow_private=True, respect_robots=False,
                     per_host_delay_s=0.0, store=sys.argv[1])
for number, fetched in enumerate(Fetcher(params).stream(sys.argv[2:])):
    assert fetched.body
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    site.pages |= {f"/{i}": b"%d" % i for i in range(40)}
    urls = [f"{site.url}/{i}" for i in range(40)]
    command = [sys.executable, "-c", script, str(tmp_path), *urls]
    killed = subprocess.run(command, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    before = Counter(site.log)
    assert 6 <= len(before) < 40
    time.sleep(0.1)  # what was under way when it was killed is answered to nobody
    got = Fetcher(params(store=str(tmp_path))).fetch(urls)
    assert [f.body for f in got] == [b"%d" % i for i in range(40)]
    again = Counter(site.log) - before
    assert len([url for url in again if url in before]) <= 1  # one may have been under way


def test_a_folder_in_which_nothing_can_be_kept_costs_no_answer(site, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    site.pages |= {"/a": b"ok", "/b": b"ok"}
    fetcher = Fetcher(params(store=str(tmp_path / "file" / "store")))
    assert [f.body for f in fetcher.fetch([f"{site.url}/a", f"{site.url}/b"])] == [b"ok", b"ok"]
    assert "cannot be kept" in caplog.text


# Files


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 10_000))
def test_what_was_cut_off_is_dropped_and_the_next_is_kept(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("store")
    made = answers(*BODIES)
    store = store_in(folder)
    ends = []
    for one in made:
        store.put(one)
        ends.append(only_file(folder).stat().st_size)
    cut %= ends[-1] + 1
    os.truncate(only_file(folder), cut)
    store = store_in(folder)
    whole = [one if end <= cut else None for one, end in zip(made, ends, strict=True)]
    assert [store.get(one.url) for one in made] == whole
    store.put(replace(made[0], body=b"anew"))
    store = store_in(folder)
    assert store.get(made[0].url).body == b"anew"
    assert [store.get(one.url) for one in made[1:]] == whole[1:]
    shutil.rmtree(folder)


@settings(deadline=None, max_examples=100)
@given(at=st.integers(0, 10_000), mask=st.integers(1, 255))
def test_what_is_damaged_is_never_taken_for_an_answer(tmp_path_factory, at, mask):
    folder = tmp_path_factory.mktemp("store")
    made = answers(*BODIES)
    store = store_in(folder)
    for one in made:
        store.put(one)
    path = only_file(folder)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= mask
    path.write_bytes(data)
    store = store_in(folder)
    got = [store.get(one.url) for one in made]
    assert all(g is None or g == one for g, one in zip(got, made, strict=True))
    assert None in got
    store.put(made[2])
    assert store_in(folder).get(made[2].url) == made[2]
    shutil.rmtree(folder)


def test_hosts_have_files_of_their_own_and_are_found_again(tmp_path):
    store = store_in(tmp_path)
    hosts = [f"host{number}.example" for number in range(50)]
    made = [
        Fetched(f"http://{host}/", f"http://{host}/", 200, {}, host.encode(), fetched_at=NOW)
        for host in hosts
    ]
    for one in made:
        store.put(one)
    assert [store.get(one.url) for one in made] == made
    assert [store_in(tmp_path).get(one.url) for one in made] == made
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 50
    assert store.get("http://none.example/") is None


def test_two_processes_may_keep_answers_of_one_host(tmp_path):
    script = """
import sys
from mella.builders.culture.fetch.answer_store import AnswerStore
from mella.builders.culture.fetch.fetcher import Fetched, FetchParams
store = AnswerStore(FetchParams(store=sys.argv[1], respect_robots=False, allow_private=True))
for number in range(300):
    url = f"http://a.example/{sys.argv[2]}/{number}"
    body = sys.argv[2].encode() * 5000
    store.put(Fetched(url, url, 200, {}, body, fetched_at="2024-01-01T00:00:00Z"))
"""
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b")
    ]
    assert [process.wait() for process in both] == [0, 0]
    store = store_in(tmp_path)
    for name in ("a", "b"):
        for number in range(300):
            got = store.get(f"http://a.example/{name}/{number}")
            assert got.body == name.encode() * 5000


def test_the_age_of_an_answer_counts(tmp_path):
    store = AnswerStore(params(store=str(tmp_path), store_fresh_s=3600))
    one = answers(b"a")[0]
    assert store.is_fresh(one)
    assert not store.is_fresh(replace(one, fetched_at="2024-01-01T00:00:00Z"))
    assert not store.is_fresh(replace(one, fetched_at=None))
