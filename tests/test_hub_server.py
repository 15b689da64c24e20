"""The local Hub itself: rights and faults as real clients meet them, ranges, connections."""

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_client import BIG, FILES, REPO, Client, failure
from hub_server import HubServer


def connect_outside() -> None:
    import socket

    socket.create_connection(("192.0.2.1", 80))


def test_a_client_that_leaves_the_machine_is_stopped(client: Client) -> None:
    with pytest.raises(BrokenProcessPool):
        client(connect_outside)


def look(repo_id: str) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    from huggingface_hub import HfApi, hf_hub_download

    return (
        failure(HfApi().dataset_info, repo_id),
        failure(hf_hub_download, repo_id, "culture/th/a.tar", repo_type="dataset"),
    )


def whoami() -> str:
    from huggingface_hub import HfApi

    return str(HfApi().whoami()["name"])


def test_a_private_repository_looks_like_none(hub: HubServer, client: Client) -> None:
    hub.add_repo("org/private", FILES, private=True)
    for repo_id in ("org/private", "org/none"):
        hidden = "RepositoryNotFoundError"
        assert client(look, repo_id) == ((hidden, 401),) * 2
        assert client(look, repo_id, token=hub.reader_token) == ((hidden, 404),) * 2
    assert client(look, "org/private", token="hf_wrong") == (("HfHubHTTPError", 401),) * 2
    assert client(look, "org/private", token=hub.token) == (("none", None),) * 2


def test_a_gated_repository_is_seen_but_not_opened(hub: HubServer, client: Client) -> None:
    hub.add_repo("org/gated", FILES, gated=True)
    seen = ("none", None)
    assert client(look, "org/gated") == (seen, ("GatedRepoError", 401))
    assert client(look, "org/gated", token=hub.reader_token) == (seen, ("GatedRepoError", 403))
    assert client(look, "org/gated", token=hub.token) == (seen, seen)
    assert client(whoami, token=hub.reader_token) == hub.reader_token


def test_a_token_goes_to_the_hub_and_not_to_its_storage(hub: HubServer, client: Client) -> None:
    hub.add_repo(REPO, FILES, private=True)
    client(look, REPO, token=hub.token)
    sent = {seen.path.split("/")[1]: seen.authorization for seen in hub.requests}
    assert sent["datasets"] == f"Bearer {hub.token}"
    assert sent["lfs"] is None


def write_as_reader() -> list[tuple[str, int | None]]:
    from huggingface_hub import HfApi

    api, options = HfApi(), {"repo_id": REPO, "repo_type": "dataset"}
    upload = {"path_or_fileobj": b"x", "path_in_repo": "x.txt", **options}
    return [
        failure(api.create_repo, "org/other", repo_type="dataset"),
        failure(api.create_tag, tag="v1", **options),
        failure(api.upload_file, **upload),
    ]


def test_writing_needs_the_right_to(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    assert client(write_as_reader, token=hub.reader_token) == [("HfHubHTTPError", 403)] * 3
    assert client(write_as_reader) == [("HfHubHTTPError", 401)] * 3
    assert hub.repos[REPO].tags == {}
    assert hub.repos[REPO].branches["main"].id == first
    assert list(hub.repos) == [REPO]


def list_files() -> list[str]:
    from huggingface_hub import HfApi

    return HfApi().list_repo_files(REPO, repo_type="dataset")


@pytest.mark.parametrize(("status", "headers"), [(500, {}), (429, {"Retry-After": "0"})])
def test_a_failed_request_is_tried_again(
    hub: HubServer, client: Client, status: int, headers: dict[str, str]
) -> None:
    hub.add_repo(REPO, FILES)
    hub.fail_next("/tree/main", status, times=2, headers=headers)
    hub.fail_next("/tree/main", 500, method="HEAD")  # another method: never met
    assert sorted(client(list_files)) == sorted(FILES)
    assert sum(seen.path.endswith("/tree/main") for seen in hub.requests) == 3


def commit_twice(parent: str) -> list[tuple[str, int | None]]:
    from huggingface_hub import CommitOperationAdd, HfApi

    return [
        failure(
            HfApi().create_commit,
            REPO,
            [CommitOperationAdd("once.txt", b"once")],
            commit_message="once",
            repo_type="dataset",
            parent_commit=parent,
        )
        for _ in range(2)
    ]


def test_a_lost_answer_is_a_commit_all_the_same(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    hub.lose_next("/commit/main")

    lost, again = client(commit_twice, first, token=hub.token)

    assert lost == ("RemoteProtocolError", None)
    # The client sees the file there and makes no empty commit.
    assert again == ("none", None)
    head = hub.repos[REPO].branches["main"]
    assert head.files["once.txt"].content == b"once"
    assert head.parent is not None
    assert head.parent.id == first


def fetch(
    hub: HubServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"))
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): text for name, text in answer.getheaders()}, body


@pytest.fixture(scope="module")
def plain() -> Iterator[HubServer]:
    with HubServer(redirect_lfs=False) as server:
        server.add_repo(REPO, {"a.bin": BIG})
        yield server


@given(first=st.integers(0, len(BIG) + 9), length=st.integers(1, len(BIG) + 9))
def test_a_range_is_exactly_that_part(plain: HubServer, first: int, length: int) -> None:
    asked = f"bytes={first}-{first + length - 1}"
    status, headers, body = fetch(plain, f"/datasets/{REPO}/resolve/main/a.bin", Range=asked)
    if first >= len(BIG):
        assert (status, headers["content-range"]) == (416, f"bytes */{len(BIG)}")
    else:
        assert (status, body) == (206, BIG[first : first + length])
        last = first + len(body) - 1
        assert headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=-10", 206, BIG[-10:]),
        ("bytes=-99999999", 206, BIG),
        ("bytes=16000-", 206, BIG[16000:]),
        ("bytes=0-1,5-6", 200, BIG),
        ("lines=0-1", 200, BIG),
        ("bytes=-", 200, BIG),
    ],
)
def test_open_suffix_and_odd_ranges(plain: HubServer, asked: str, status: int, body: bytes) -> None:
    answer = fetch(plain, f"/datasets/{REPO}/resolve/main/a.bin", Range=asked)
    assert (answer[0], answer[2]) == (status, body)


def test_a_large_file_is_served_from_a_signed_address(hub: HubServer) -> None:
    commit = hub.add_repo(REPO, FILES)
    status, headers, body = fetch(hub, f"/datasets/{REPO}/resolve/main/culture/th/a.tar", "HEAD")
    assert (status, body) == (302, b"")
    assert headers["x-repo-commit"] == commit
    assert headers["x-linked-size"] == str(len(BIG))
    assert headers["x-linked-etag"] == f'"{hashlib.sha256(BIG).hexdigest()}"'
    signed = headers["location"].removeprefix(hub.storage.removesuffix("/lfs"))
    assert fetch(hub, signed)[::2] == (200, BIG)
    assert fetch(hub, signed.replace("signature=", "signature=0"))[0] == 403
    assert fetch(hub, signed, Authorization=f"Bearer {hub.token}")[0] == 400


def test_a_missing_file_names_the_commit_it_is_missing_from(hub: HubServer) -> None:
    commit = hub.add_repo(REPO, FILES)
    path = f"/datasets/{REPO}/resolve/main/%E0%B8%81"
    status, headers, _ = fetch(hub, path)
    assert (status, headers["x-error-code"]) == (404, "EntryNotFound")
    assert headers["x-repo-commit"] == commit
    assert hub.requests[-1].path == f"/datasets/{REPO}/resolve/main/\u0e01"


def test_one_connection_carries_many_requests_and_chunked_bodies(hub: HubServer) -> None:
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"))
    body = json.dumps({"content": "no front matter", "repoType": "dataset"}).encode()
    for _ in range(3):
        parts = iter([body[:10], body[10:]])
        connection.request("POST", "/api/validate-yaml", parts, encode_chunked=True)
        first_socket = connection.sock
        answer = json.loads(connection.getresponse().read())
        assert "empty or missing" in answer["warnings"][0]["message"]
        assert connection.sock is first_socket
    connection.request("GET", "/api/models/gpt2")
    assert connection.getresponse().status == 501
    connection.close()


def test_leaving_ends_idle_connections_and_every_thread() -> None:
    before = threading.active_count()
    with HubServer() as hub:
        connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"))
        connection.request("GET", "/api/agent-harnesses")
        connection.getresponse().read()
        assert threading.active_count() > before
    assert threading.active_count() == before
    assert connection.sock.recv(1) == b""
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        fetch(hub, "/")


def test_the_same_history_has_the_same_ids(hub: HubServer) -> None:
    ids = []
    for name in ("org/one", "org/two"):
        first = hub.add_repo(name, FILES)
        ids.append((first, hub.commit(name, {"x": b"1"}), hub.commit(name, {"x": b"2"})))
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3
    assert [hub.files("org/one", commit).get("x") for commit in ids[0]] == [None, b"1", b"2"]
