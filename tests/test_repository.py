"""Repositories: folders, URLs and the Hub give the same bytes, and say clearly what is wrong."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fault_server import FaultServer
from mella.cache import RangeCache
from mella.errors import FormatError, RepositoryError
from mella.http import Retry
from mella.manifest import MANIFEST
from mella.repository import FolderStorage, Repository, open_repository
from repositories import build, manifest_of, samples, serve

CELL = ("culture", "th", "train")
SHARD = "culture/th/culture-th-train-00000-of-00002.tar"
INDEX = "index/culture/th/train.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), {CELL: samples("culture", "th", 6)})


def _folder(folder: Path) -> Iterator[str]:
    yield str(folder)


def _file_url(folder: Path) -> Iterator[str]:
    yield folder.as_uri()


def _memory(folder: Path) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/toy", recursive=True)
    yield "memory://toy/"
    memory.rm("/toy", recursive=True)


def _web(folder: Path) -> Iterator[str]:
    with serve(folder) as server:
        yield server.url


def _web_without_ranges(folder: Path) -> Iterator[str]:
    with serve(folder, ranges=False) as server:
        yield f"{server.url}/"


def _zip(folder: Path) -> Iterator[str]:
    archive = shutil.make_archive(str(folder.parent / "toy"), "zip", folder)
    yield f"zip://::{archive}"


PLACES = [_folder, _file_url, _memory, _web, _web_without_ranges, _zip]


@pytest.fixture(params=PLACES, ids=[place.__name__[1:] for place in PLACES])
def repo(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    place: Callable[[Path], Iterator[str]] = request.param
    yield from place(folder)


def test_a_file_url_is_a_folder(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "a b")
    assert isinstance(open_repository(copy.as_uri()).storage, FolderStorage)


def test_every_place_gives_the_same_bytes(repo: str, folder: Path) -> None:
    repository = open_repository(repo)
    manifest = repository.manifest
    assert manifest == manifest_of(folder)
    assert repository.index_file(manifest.indexes[0]) == (folder / INDEX).read_bytes()
    content = (folder / SHARD).read_bytes()
    size = len(content)
    for start, end in [(0, 1), (512, 1700), (0, size), (size - 3, size), (3, size)]:
        assert repository.read_range(SHARD, start, end) == content[start:end]
    # Beyond the end there is less, or nothing: the caller knows what it should have got.
    assert repository.read_range(SHARD, size - 3, size + 100) == content[-3:]
    assert repository.read_range(SHARD, size + 5, size + 100) == b""


def test_a_missing_file_is_named_wherever_it_is_missing(repo: str) -> None:
    repository = open_repository(repo)
    missing = "culture/th/none.tar"
    with pytest.raises(RepositoryError, match=rf"has no {missing}\. The manifest names it"):
        repository.read_range(missing, 0, 10)


def test_a_repository_goes_to_another_process(repo: str) -> None:
    repository = open_repository(repo)
    copy = pickle.loads(pickle.dumps(repository))
    assert copy.manifest == repository.manifest
    assert copy.storage.name == repository.storage.name


def test_a_web_server_sends_no_more_than_is_asked_for(folder: Path) -> None:
    with serve(folder) as server:
        repository = open_repository(server.url)
        repository.read_range(SHARD, 100, 150)
        assert repository.local_path(SHARD) is None
        assert [(seen.path, seen.range, seen.sent) for seen in server.requests] == [
            (f"/{SHARD}", "bytes=100-149", 50)
        ]


def test_a_whole_file_is_brought_from_every_place(
    repo: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path / "downloads"))
    repository = open_repository(repo)
    entry = next(one for one in repository.manifest.shards if one.path == SHARD)
    told: list[int] = []
    file = repository.fetch(entry, told.append)
    assert file.read_bytes() == (folder / SHARD).read_bytes()
    is_here = repository.local_path(SHARD) is not None
    assert is_here == (file == folder / SHARD)
    assert sum(told) == (0 if is_here else entry.bytes)
    assert repository.fetch(entry) == file
    with pytest.raises(RepositoryError, match=r"has no culture/none\.tar\. The manifest names it"):
        repository.fetch(replace(entry, path="culture/none.tar", sha256="0" * 64))


# With a cache.


def test_what_is_cached_is_not_read_again(folder: Path, tmp_path: Path) -> None:
    content = (folder / SHARD).read_bytes()
    cache = RangeCache(tmp_path, 1 << 20)
    for _ in range(2):
        with serve(folder) as server:
            repository = open_repository(server.url, cache=cache)
            for _ in range(2):
                assert repository.read_range(SHARD, 100, 600) == content[100:600]
                assert repository.index_file(repository.manifest.indexes[0])
            seen = [one.path for one in server.requests]
    assert seen == ["/manifest.json"]


def test_what_is_wrong_in_the_cache_is_replaced(folder: Path, tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 1 << 20)
    with serve(folder) as server:
        repository = open_repository(server.url, cache=cache)
        (sha256,) = [one.sha256 for one in repository.manifest.shards if one.path == SHARD]
        cache.put(sha256, 0, 5, b"wrong")
        assert repository.read_range(SHARD, 0, 5) == b"wrong"
        right = (folder / SHARD).read_bytes()[:5]
        assert repository.read_range(SHARD, 0, 5, fresh=True) == right
        assert repository.read_range(SHARD, 0, 5) == right


def test_what_is_on_this_machine_is_not_cached(folder: Path, tmp_path: Path) -> None:
    repository = open_repository(folder, cache=RangeCache(tmp_path, 1 << 20))
    repository.read_range(SHARD, 0, 5)
    assert not list(tmp_path.iterdir())


# Secrets in a URL.


def test_a_password_and_a_signature_are_sent_and_not_shown(folder: Path) -> None:
    with FaultServer(folder) as server:
        url = server.url.replace("http://", "http://me:pass%40word@")
        repository = open_repository(f"{url}/?signature=hidden", retry=Retry(attempts=1))
        assert repository.storage.name == server.url
        with pytest.raises(RepositoryError) as caught:  # the server takes it for one of its own
            repository.manifest  # noqa: B018  reads it
        assert "hidden" not in str(caught.value)
        assert "word" not in str(caught.value)
        (seen,) = server.requests
        assert seen.authorization == "Basic bWU6cGFzc0B3b3Jk"


# What is not there.


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    for repo in (tmp_path / "none", str(tmp_path / "none"), "./none", "none", "a/b/c"):
        with pytest.raises(RepositoryError, match="neither a folder that exists, nor a URL, nor"):
            open_repository(repo)


def test_a_folder_without_a_manifest_is_none(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"has no manifest.json\. Is this a mella repository"):
        open_repository(tmp_path).manifest  # noqa: B018  reads it


def test_a_file_is_no_repository(folder: Path) -> None:
    with pytest.raises(RepositoryError, match="neither a folder"):
        open_repository(folder / MANIFEST)


def test_a_folder_comes_before_a_hub_id(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    assert open_repository("org/name").manifest == manifest_of(folder)


def test_a_folder_stays_the_same_when_the_process_moves(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    repository = open_repository(folder.name)
    monkeypatch.chdir(tmp_path)
    assert repository.manifest == manifest_of(folder)


def test_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_repository(f"~/{folder.name}").manifest == manifest_of(folder)


def test_the_environment_names_the_repository(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELLA_REPO", str(folder))
    assert open_repository(None).storage.name == str(folder)
    assert open_repository(tmp_path).storage.name == str(tmp_path)  # what is given comes first


def test_a_revision_needs_the_hub(folder: Path) -> None:
    for repo in (folder, str(folder), "memory://toy"):
        with pytest.raises(RepositoryError, match="revision='v1' needs a Hub repository"):
            open_repository(repo, revision="v1")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://none", "memory://none has no manifest.json"),
        ("nosuch://bucket/x", "Cannot read manifest.json of nosuch://bucket/x: .*nosuch"),
        ("http://127.0.0.1:9", "Cannot read manifest.json of http://127.0.0.1:9: .*Connect"),
    ],
)
def test_a_url_that_leads_nowhere_is_named(url: str, message: str) -> None:
    with pytest.raises(RepositoryError, match=message):
        open_repository(url).manifest  # noqa: B018  reads it


def test_a_folder_that_may_not_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(RepositoryError, match=r"Cannot read manifest.json of .*IsADirectory"):
        open_repository(tmp_path).manifest  # noqa: B018  reads it


# What is there and wrong.


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A repository of its own for a test to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def index_of(folder: Path) -> bytes:
    repository = open_repository(folder)
    return repository.index_file(repository.manifest.indexes[0])


def test_a_damaged_manifest_is_named(copy: Path) -> None:
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text()[:100])
    with pytest.raises(FormatError, match=rf"{copy}/manifest.json is not JSON"):
        index_of(copy)


def test_a_missing_index_is_named(copy: Path) -> None:
    (copy / INDEX).unlink()
    with pytest.raises(RepositoryError, match=rf"{copy} has no {INDEX}\. The manifest names it"):
        index_of(copy)


def test_an_index_cut_short_is_named(copy: Path) -> None:
    content = (copy / INDEX).read_bytes()
    (copy / INDEX).write_bytes(content[:-5])
    size = len(content)
    with pytest.raises(FormatError, match=rf"{INDEX} is not .* {size - 5} bytes of {size}"):
        index_of(copy)


def test_an_index_of_the_right_size_and_other_content_is_named(copy: Path) -> None:
    content = bytearray((copy / INDEX).read_bytes())
    content[100] ^= 1
    (copy / INDEX).write_bytes(content)
    with pytest.raises(FormatError, match=rf"{copy}/{INDEX} is not the file .* another hash"):
        index_of(copy)


def with_tombstones(folder: Path, content: bytes | None) -> Repository:
    text = (folder / MANIFEST).read_text()
    named = text.replace('"tombstones": null', '"tombstones": "tombstones.parquet"')
    (folder / MANIFEST).write_text(named)
    if content is not None:
        (folder / "tombstones.parquet").write_bytes(content)
    return open_repository(folder)


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def test_takedowns_are_read(copy: Path) -> None:
    assert open_repository(copy).tombstones.to_pylist() == []
    content = parquet(key=["a", "b"], reason=["asked", None])
    assert with_tombstones(copy, content).tombstones.to_pylist() == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"PAR1", parquet(name=["a"]), parquet(key=[[1]])])
def test_damaged_takedowns_stop_the_reading(copy: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"tombstones.parquet is not a table of takedowns"):
        with_tombstones(copy, content).tombstones  # noqa: B018  reads them


def test_missing_takedowns_stop_the_reading(copy: Path) -> None:
    with pytest.raises(RepositoryError, match=r"has no tombstones.parquet\. The manifest names it"):
        with_tombstones(copy, None).tombstones  # noqa: B018  reads them
