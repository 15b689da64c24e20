"""The Hub as storage: where its bytes come from, and what of it is there without a network."""

import hashlib
import os
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub_client import Client
from hub_server import HubServer
from mella.errors import RepositoryError
from mella.http import Retry
from mella.repository import Repository, open_repository
from repositories import build, samples

REPO = "org/mella"
CELL = ("culture", "th", "train")
SHARD = "culture/th/culture-th-train-00000-of-00002.tar"
INDEX = "index/culture/th/train.parquet"
NOW = Retry(attempts=3, first_wait=0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), {CELL: samples("culture", "th", 6)})


def opened(**options: Any) -> Repository:
    return open_repository(REPO, retry=NOW, **options)


def calls(hub: HubServer, path: str) -> list[tuple[str, str]]:
    """The method of each request for a file, and whether the Hub or its storage had it."""
    name = path.rpartition("/")[2]
    return [
        (seen.method, "hub" if seen.path.startswith("/datasets") else "storage")
        for seen in hub.requests
        if seen.path.endswith(name)
    ]


def read_ranges(count: int) -> list[bytes]:
    repository = opened()
    copy = pickle.loads(pickle.dumps(repository))
    return [(repository, copy)[n % 2].read_range(SHARD, n * 10, n * 10 + 10) for n in range(count)]


def test_ranges_of_a_file_cost_the_hub_one_request(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder, private=True)
    found = client(read_ranges, 6, token=hub.token)
    assert b"".join(found) == (folder / SHARD).read_bytes()[:60]
    # The copy was made before the first one was asked for: one request each.
    assert sorted(calls(hub, SHARD)) == [("GET", "storage")] * 6 + [("HEAD", "hub")] * 2


def test_a_hub_that_serves_files_itself_is_asked_with_the_token(
    client: Client, folder: Path, hub: HubServer
) -> None:
    hub.redirect_lfs = False
    hub.add_repo(REPO, folder, private=True)
    found = client(read_ranges, 2, token=hub.token)
    assert b"".join(found) == (folder / SHARD).read_bytes()[:20]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_expired_place_is_asked_for_again(
    hub: HubServer, client: Client, folder: Path, status: int
) -> None:
    hub.add_repo(REPO, folder)
    hub.fail_next(Path(SHARD).name, status, method="GET")
    found = client(read_ranges, 1)
    assert found == [(folder / SHARD).read_bytes()[:10]]
    assert calls(hub, SHARD) == [("HEAD", "hub"), ("GET", "storage")] * 2


def fetch() -> tuple[list[bytes], list[int], bool]:
    repository = opened()
    entry = next(one for one in repository.manifest.shards if one.path == SHARD)
    told: list[int] = []
    before = repository.local_path(SHARD)
    file = repository.fetch(entry, told.append)
    assert file == repository.local_path(SHARD) == repository.fetch(entry, told.append)
    content = [file.read_bytes(), repository.read_range(SHARD, 5, 50)]
    with pytest.raises(RepositoryError, match=r"has no culture/none\.tar"):
        repository.fetch(replace(entry, path="culture/none.tar"))
    return content, told, before is None


def test_a_file_is_fetched_once_and_then_read_from_the_hub_cache(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder)
    content = (folder / SHARD).read_bytes()
    assert client(fetch) == ([content, content[5:50]], [len(content)], True)
    assert calls(hub, SHARD).count(("GET", "storage")) == 1


def without_network(*, told: bool, fetched: bool = True) -> tuple[str, list[str]]:
    """Read what is in the cache, where the Hub is not; return the commit, and the warnings."""
    import huggingface_hub.constants as settings

    if told:
        settings.HF_HUB_OFFLINE = True
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        repository = opened()
        index = repository.index_file(repository.manifest.indexes[0])
        assert hashlib.sha256(index).hexdigest() == repository.manifest.indexes[0].sha256
    if fetched:
        assert repository.read_range(SHARD, 0, 9)
    with pytest.raises(RepositoryError, match=r"Cannot read|HF_HUB_OFFLINE"):
        repository.read_range(SHARD.replace("00000-", "00001-"), 0, 9)
    commit: str = getattr(repository.storage, "revision")  # noqa: B009
    return commit, [str(one.message) for one in warned]


def nothing_cached() -> str:
    import huggingface_hub.constants as settings

    settings.HF_HUB_OFFLINE = True
    with pytest.raises(RepositoryError) as caught:
        opened()
    return str(caught.value)


def test_without_a_network_there_is_what_is_cached(
    hub: HubServer, client: Client, folder: Path
) -> None:
    commit = hub.add_repo(REPO, folder)
    message = client(nothing_cached)
    assert "Cannot open the Hub data set 'org/mella' at revision main" in message
    assert "is not in the Hub cache, and HF_HUB_OFFLINE is set" in message
    client(open_and_fetch)
    hub.requests.clear()
    assert client(offline) == (commit, [])
    assert hub.requests == []
    hub.fail_next("", 503, times=1000)
    found, warned = client(unreachable)
    assert found == commit
    assert f"as it was when it was last read here, at commit {commit}" in warned[0]


def open_and_fetch() -> None:
    repository = opened()
    repository.index_file(repository.manifest.indexes[0])
    repository.fetch(next(one for one in repository.manifest.shards if one.path == SHARD))


def offline() -> tuple[str, list[str]]:
    return without_network(told=True)


def unreachable() -> tuple[str, list[str]]:
    return without_network(told=False)


def hub_client_reads_it() -> tuple[bytes, int]:
    from huggingface_hub import hf_hub_download, scan_cache_dir

    repository = opened()
    repository.index_file(repository.manifest.indexes[0])
    found = hf_hub_download(REPO, INDEX, repo_type="dataset", local_files_only=True)
    return Path(found).read_bytes(), len(scan_cache_dir().warnings)


def test_the_hub_client_finds_what_was_read(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    assert client(hub_client_reads_it) == ((folder / INDEX).read_bytes(), 0)


def cache_is_no_folder() -> bytes:
    from huggingface_hub.constants import HF_HUB_CACHE

    shutil.rmtree(HF_HUB_CACHE, ignore_errors=True)
    os.makedirs(os.path.dirname(HF_HUB_CACHE), exist_ok=True)  # noqa: PTH103, PTH120
    Path(HF_HUB_CACHE).write_bytes(b"")
    repository = opened()
    return repository.index_file(repository.manifest.indexes[0])


def test_a_cache_that_cannot_be_written_breaks_nothing(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder)
    assert client(cache_is_no_folder) == (folder / INDEX).read_bytes()
