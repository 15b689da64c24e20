"""Downloads of whole files: resumed, checked, and done once by however many processes."""

import hashlib
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from fault_server import Fault, FaultServer
from mella.download import download
from mella.errors import FormatError, RepositoryError
from mella.http import HttpError, Retry
from mella.manifest import Entry
from mella.repository import Repository
from mella.storage import HttpStorage

CONTENT = bytes(range(256)) * 80_000  # 20 MB: three steps
ENTRY = Entry(
    "a.tar", "culture", "th", "train", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), 1
)
NOW = Retry(attempts=2, first_wait=0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.tar").write_bytes(CONTENT)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path))
    return tmp_path


def fetch(server: FaultServer, progress: Any = None) -> Path:
    return HttpStorage(server.url, retry=NOW).fetch(ENTRY, progress)


def test_an_interrupted_download_goes_on_where_it_stopped(folder: Path) -> None:
    with FaultServer(folder) as server:
        server.then(Fault(), Fault(cut=1 << 20), *[Fault(silent=True)] * 9)
        with pytest.raises(HttpError):
            fetch(server)
        server.requests.clear()
        server._next.clear()
        told: list[int] = []
        assert fetch(server, told.append).read_bytes() == CONTENT
        assert [one.range for one in server.requests] == [
            f"bytes={8 << 20}-{(16 << 20) - 1}",
            f"bytes={16 << 20}-{len(CONTENT) - 1}",
        ]
        assert told[0] == 8 << 20
        assert sum(told) == len(CONTENT)


@pytest.mark.parametrize("fault", [Fault(flip=77), Fault(truncate=9 << 20)], ids=["flip", "short"])
def test_a_wrong_file_is_named_and_not_kept(folder: Path, cache: Path, fault: Fault) -> None:
    with FaultServer(folder) as server:
        server.then(fault, *[fault] * (fault.truncate is not None) * 2)
        with pytest.raises(FormatError, match=r"a\.tar is not the file that the manifest names"):
            Repository(HttpStorage(server.url, retry=NOW)).fetch(ENTRY)
        assert not [file for file in cache.rglob("*") if file.suffix != ".lock" and file.is_file()]
        assert fetch(server).read_bytes() == CONTENT


def test_a_part_of_something_else_is_thrown_away(folder: Path, cache: Path) -> None:
    part = cache / "files" / ENTRY.sha256[:2] / f"{ENTRY.sha256}.part"
    part.parent.mkdir(parents=True)
    with FaultServer(folder) as server:
        part.write_bytes(bytes(len(CONTENT) + 10))
        assert fetch(server).read_bytes() == CONTENT
        part.with_suffix("").unlink()
        part.write_bytes(bytes(10))
        with pytest.raises(FormatError):
            fetch(server)
        assert fetch(server).read_bytes() == CONTENT


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with FaultServer(tmp_path) as server:
        repository = Repository(HttpStorage(server.url, retry=NOW))
        with pytest.raises(RepositoryError, match=r"has no a\.tar"):
            repository.fetch(ENTRY)


def _fetch_in_child(url: str) -> None:
    assert HttpStorage(url, retry=NOW).fetch(ENTRY).read_bytes() == CONTENT


def test_processes_download_a_file_once(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    with FaultServer(folder) as server:
        children = [context.Process(target=_fetch_in_child, args=(server.url,)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0] * 4
        assert sum(one.sent for one in server.requests) == len(CONTENT)


def test_a_folder_may_be_given(tmp_path: Path) -> None:
    read = lambda _, start, end: CONTENT[start:end]  # noqa: E731
    found = download(ENTRY, read, folder=tmp_path / "own")
    assert found.is_relative_to(tmp_path / "own")
