"""Streams from a server that fails: nothing is lost, nothing comes twice, damage is named."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fault_server import Fault, FaultServer
from mella import FormatError, MellaStream, RangeCache, RepositoryError, load_mella
from mella.fetch import Fetching
from mella.http import Retry
from repositories import build, samples

pytestmark = pytest.mark.filterwarnings("ignore:.*does not serve ranges:UserWarning")
CELLS = {
    ("culture", "th", "train"): samples("culture", "th", 40),
    ("linguistics", "th", "train"): samples("linguistics", "th", 20),
}
# Quick, and stubborn: where every third request fails, eight failures in a row do occur.
RETRY = Retry(attempts=40, first_wait=0.001, longest_wait=0.01, longest_asked=0.05)
TAR = ".tar"
FAULTS = {
    "500": Fault(status=500, suffix=TAR),
    "503": Fault(status=503, suffix=TAR),
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "0.02"}, suffix=TAR),
    "no answer": Fault(silent=True, suffix=TAR),
    "closed in the middle": Fault(cut=1500, suffix=TAR),
    "reset before the body": Fault(reset=0, suffix=TAR),
    "reset in the middle": Fault(reset=1500, suffix=TAR),
    "a slow body": Fault(drip=0.002, suffix=TAR),
    "wrong bytes": Fault(flip=700, suffix=TAR),
    "shorter than asked for": Fault(short=600, suffix=TAR),
    "the whole file": Fault(whole=True, suffix=TAR),
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS, shards=3)


def stream(repo: Path | str, **options: Any) -> MellaStream:
    fetching = Fetching(connections=3, retry=RETRY)
    return MellaStream(
        "th", repo=repo, **{"chunk_bytes": 8000, "decode": False, "fetching": fetching, **options}
    )


@pytest.fixture(scope="module")
def whole(repo: Path) -> list[dict[str, Any]]:
    return [*stream(repo)]


class FailingFileSystem(MemoryFileSystem):
    """A file system whose every other reading fails."""

    protocol = "failing"
    calls = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.rpartition("://")[2].strip("/")

    def cat_file(self, path: str, **span: Any) -> bytes:
        FailingFileSystem.calls += 1
        if FailingFileSystem.calls % 2:
            raise ConnectionResetError("by peer")
        return bytes(super().cat_file(path, **span))


def test_a_file_system_that_fails_is_read_again(repo: Path, whole: list[dict[str, Any]]) -> None:
    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    files = MemoryFileSystem()
    files.put(str(repo), "/failing-repo", recursive=True)
    FailingFileSystem.calls = 0
    try:
        assert [*stream("failing://failing-repo")] == whole
        assert FailingFileSystem.calls > 10
    finally:
        files.rm("/failing-repo", recursive=True)


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_borne(repo: Path, whole: list[dict[str, Any]], name: str) -> None:
    with FaultServer(repo, seed=3) as server:
        one = stream(server.url)
        # A sample is read four times at most: so often, that fails in none of millions of tests.
        server.sometimes(1 / 30 if name == "wrong bytes" else 1 / 3, FAULTS[name])
        assert [*one] == whole
        assert len(server.requests) > 30


def test_everything_at_once_is_borne(repo: Path, whole: list[dict[str, Any]]) -> None:
    with FaultServer(repo, seed=4) as server:
        one = stream(server.url)
        server.sometimes(1 / 3, *FAULTS.values())
        assert [*one] == whole
        statuses = {asked.status for asked in server.requests}
        assert {206, 503} < statuses


def test_all_ranks_share_an_epoch_exactly_in_spite_of_faults(
    repo: Path, whole: list[dict[str, Any]]
) -> None:
    with FaultServer(repo, seed=5) as server:
        ranks = [stream(server.url, rank=r, world_size=3, batch_size=4) for r in range(3)]
        server.sometimes(1 / 3, *FAULTS.values())
        found = [row for rank in ranks for batch in rank for row in batch]
    assert found == whole


def test_resuming_is_exact_in_spite_of_faults(repo: Path, whole: list[dict[str, Any]]) -> None:
    with FaultServer(repo, seed=6) as server:
        one = stream(server.url)
        server.sometimes(1 / 3, *FAULTS.values())
        rows = iter(one)
        begun = [next(rows) for _ in range(23)]
        again = stream(server.url)
        again.load_state_dict(one.state_dict())
        assert [*begun, *again] == whole


def test_load_mella_bears_it_too(repo: Path) -> None:
    with FaultServer(repo, seed=7) as server:
        loaded = load_mella("th", repo=server.url, decode=False)
        server.then(*(FAULTS[name] for name in ("closed in the middle", "wrong bytes")))
        assert [*loaded] == [*load_mella("th", repo=repo, decode=False)]


def test_a_redirect_that_expires_is_asked_for_again(
    repo: Path, whole: list[dict[str, Any]]
) -> None:
    with FaultServer(repo) as server:
        server.sign(uses=2)
        assert [*stream(server.url)] == whole
        assert not any(asked.authorization for asked in server.requests)


# What does not pass.


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(flip=700, suffix="th-train-00001-of-00003.tar"), id="wrong bytes"),
        pytest.param(Fault(truncate=3000, suffix="th-train-00001-of-00003.tar"), id="truncated"),
    ],
)
def test_lasting_damage_is_named(repo: Path, fault: Fault) -> None:
    with FaultServer(repo) as server:
        one = stream(server.url)
        server.then(*[fault] * 200)
        wrong = r"culture-th-train-00001-of-00003\.tar (has other bytes|is cut short).* at sample "
        with pytest.raises(FormatError, match=wrong):
            list(one)


def test_lasting_damage_is_skipped_and_counted(tmp_path: Path, repo: Path) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    tar = folder / "culture/th/culture-th-train-00001-of-00003.tar"
    tar.write_bytes(tar.read_bytes()[:9000])
    with FaultServer(folder, seed=8) as server:
        one = stream(server.url, on_error="skip")
        server.sometimes(1 / 3, *FAULTS.values())
        with pytest.warns(UserWarning, match="samples were skipped: .*is cut short at sample"):
            found = [*one]
    assert len(found) + len(one.skipped) == 60
    assert len(one.skipped) == len({skipped.key for skipped in one.skipped}) > 8
    assert {row["key"] for row in found}.isdisjoint(skipped.key for skipped in one.skipped)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_server_that_stays_down_is_an_error_that_names_it(repo: Path, on_error: str) -> None:
    with FaultServer(repo) as server:
        retry = Retry(attempts=3, first_wait=0.001, longest_wait=0.001)
        one = stream(server.url, on_error=on_error, fetching=Fetching(retry=retry))
        server.sometimes(1, Fault(status=503))
        with pytest.raises(RepositoryError, match=r"Cannot read .*\.tar of http://127.*503"):
            list(one)
        assert one.skipped == []
        # Nothing was lost: when the server is back, reading goes on.
        server.sometimes(0)
        assert len([*one]) == 60


# The cache.


def test_with_a_cache_everything_is_fetched_once(
    repo: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    cache = RangeCache(tmp_path / "cache", 100 << 20)
    with FaultServer(repo) as server:
        one = stream(server.url, cache=cache)
        assert [*one] == whole
        fetched = len(server.requests)
        one.set_epoch(0)
        assert [*one] == whole
        assert [*stream(server.url, cache=cache)] == whole
        later = {asked.path for asked in server.requests[fetched:]}
        assert later == {"/manifest.json"}


def test_wrong_bytes_do_not_stay_in_a_cache(
    repo: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    cache = RangeCache(tmp_path / "cache", 100 << 20)
    with FaultServer(repo) as server:
        server.then(FAULTS["wrong bytes"])
        assert [*stream(server.url, cache=cache)] == whole
        fetched = len(server.requests)
        assert [*stream(server.url, cache=cache)] == whole
        assert {asked.path for asked in server.requests[fetched:]} == {"/manifest.json"}


def test_a_damaged_cache_is_read_anew(
    repo: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    cache = RangeCache(tmp_path / "cache", 100 << 20)
    with FaultServer(repo) as server:
        server.sometimes(1 / 30, FAULTS["wrong bytes"])  # what is kept may be wrong from the start
        assert [*stream(server.url, cache=cache)] == whole
        server.sometimes(0)
        for file in (tmp_path / "cache").rglob("*"):
            if file.is_file() and file.stat().st_size > 2000:
                content = bytearray(file.read_bytes())
                content[1000] ^= 1
                file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [*stream(server.url, cache=cache)] == whole
