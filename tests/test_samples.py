"""Random access: samples by key and by number, from folders and servers, whole or refused."""

import multiprocessing
import pickle
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.blocks import LocalShards
from mella.errors import FormatError, MellaError, RepositoryError, UnknownNameError
from mella.manifest import MANIFEST
from mella.plan import COLUMNS
from mella.samples import KeyFinder, NoSuchRowError, Samples, UnknownKeyError, open_samples
from repositories import Cell, Sample, build, samples, serve, stored_order

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "sr", "train"): samples("culture", "sr", 4),
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("linguistics", "th", "train"): samples("linguistics", "th", 3),
}
TH = {cell: stored for cell, stored in CELLS.items() if cell[1] == "th"}
ORDER = stored_order(TH)
TH_SHARD = "culture/th/culture-th-train-00001-of-00002.tar"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where whole files are kept, empty for each test."""
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copy(repo: Path, tmp_path: Path) -> Path:
    """A repository of its own for a test to damage."""
    return Path(shutil.copytree(repo, tmp_path / "copy"))


def as_sample(stored: Sample) -> dict[str, object]:
    """A sample as it is returned, its columns in order."""
    values = {"image": stored.image, **stored.metadata}
    return {name: values[name] for name in COLUMNS}


def spoil(shard: Path, stored: Sample) -> None:
    """Change a byte of an image in a shard."""
    content = bytearray(shard.read_bytes())
    content[content.index(stored.image) + 40] ^= 1
    shard.write_bytes(content)


# What is returned.


def test_samples_come_by_key_and_by_number(repo: Path) -> None:
    opened = open_samples("th", repo=repo)
    for number, stored in enumerate(ORDER):
        for found in (opened[stored.key], opened.at(number), opened.at(number - len(ORDER))):
            assert found == as_sample(stored)
            assert list(found) == list(COLUMNS)
            assert type(found["image"]) is bytes


def test_a_large_index_is_read_by_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mella.index.ROW_GROUP", 3)
    monkeypatch.setattr("mella.repository._MAPPED", 1)
    repo = build(tmp_path / "repository", TH)

    def groups(opened: Samples) -> list[bool]:
        """Whether each was read."""
        return ["plan" in vars(part) for cell in opened._cells for part in cell.parts]

    opened = open_samples("th", repo=repo)
    assert groups(opened) == [False] * 4  # of 7 culture samples three, of 3 linguistics one
    assert opened.at(4) == as_sample(ORDER[4])
    assert groups(opened) == [False, True, False, False]
    assert opened.at(-1) == as_sample(ORDER[-1])
    assert groups(opened) == [False, True, False, True]
    assert "no-such-key" not in opened  # beyond all: told from the least and greatest keys
    assert groups(opened) == [False, True, False, True]
    assert dict(opened) == {one.key: as_sample(one) for one in ORDER}
    assert all(groups(opened))
    for one in ORDER:
        assert opened[one.key] == as_sample(one)


def test_it_is_a_mapping(repo: Path) -> None:
    opened = open_samples("th", repo=repo)
    assert len(opened) == len(ORDER)
    assert list(opened) == [one.key for one in ORDER]
    assert dict(opened) == {one.key: as_sample(one) for one in ORDER}
    assert all(one.key in opened for one in ORDER)
    assert opened.get("0" * 32) is None


def test_cells_are_chosen(repo: Path) -> None:
    th = CELLS["culture", "th", "train"][0].key
    assert th not in open_samples("sr", repo=repo)
    assert th not in open_samples("th", "linguistics", repo=repo)
    assert len(open_samples(["th", "sr"], "culture", repo=repo)) == 11
    assert len(open_samples("all", repo=repo)) == 14


def test_what_is_not_there_is_refused_as_in_load_mella(repo: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown source 'cultural'"):
        open_samples("th", "cultural", repo="nosuch://place")
    with pytest.raises(RepositoryError, match="has no samples in split 'test' for th"):
        open_samples("th", split="test", repo=repo)


@pytest.mark.parametrize("key", ["0" * 32, "f" * 32, "", "x", "0" * 99, "ключ", "\ud800", "a\0"])
def test_an_unknown_key_is_named_with_the_place(repo: Path, key: str) -> None:
    opened = open_samples("th", repo=repo)
    assert key not in opened
    with pytest.raises(UnknownKeyError) as caught:
        opened[key]
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, MellaError)
    assert str(caught.value) == (
        f"No sample of {repo} has the key {key!r} "
        "(looked in culture/th/train, linguistics/th/train)."
    )


def test_a_key_is_a_text_and_a_number_has_its_own_method(repo: Path) -> None:
    opened = open_samples("th", repo=repo)
    assert 0 not in opened  # type: ignore[comparison-overlap]
    with pytest.raises(KeyError, match=r"use `\.at\(n\)`"):
        opened[0]  # type: ignore[index]


@pytest.mark.parametrize("number", [10, -11, 10**30])
def test_a_number_beyond_the_last_is_named(repo: Path, number: int) -> None:
    with pytest.raises(NoSuchRowError, match=rf"no sample {number}: there are 10, from 0"):
        open_samples("th", repo=repo).at(number)
    assert issubclass(NoSuchRowError, IndexError)


def test_what_was_taken_down_is_not_found(tmp_path: Path) -> None:
    gone = [ORDER[0].key, ORDER[8].key, "unknown"]
    opened = open_samples("th", repo=build(tmp_path / "r", TH, tombstones=gone))
    left = [one.key for one in ORDER if one.key not in gone]
    assert len(opened) == len(left) == 8
    assert list(opened) == left
    assert [opened.at(number)["key"] for number in range(8)] == left
    assert not any(key in opened for key in gone)
    with pytest.raises(UnknownKeyError):
        opened[gone[0]]


# What is read.


def test_nothing_but_the_manifest_is_read_before_a_sample(repo: Path) -> None:
    with serve(repo) as server:
        opened = open_samples("th", repo=server.url)
        assert len(opened) == 10
        assert list(server.read("")) == [f"/{MANIFEST}"]


def test_from_a_server_a_sample_is_one_range(repo: Path) -> None:
    with serve(repo) as server:
        opened = open_samples("th", "culture", repo=server.url)
        for one in ORDER[:7]:
            assert opened[one.key] == as_sample(one)
        sent = [seen.sent for seen in server.requests if seen.path.endswith(".tar")]
        assert len(sent) == 7
        assert sum(sent) == sum(
            (repo / path).stat().st_size - 1024 for path in (TH_SHARD, TH_SHARD.replace("1-", "0-"))
        )


def test_a_shard_is_fetched_once_where_that_is_asked_for(repo: Path) -> None:
    with serve(repo) as server:
        for _ in range(2):
            opened = open_samples("th", "culture", repo=server.url, fetch=True)
            for one in (ORDER[5], ORDER[4], ORDER[5]):
                assert opened[one.key] == as_sample(one)
        assert server.read(".tar") == {f"/{TH_SHARD}": (repo / TH_SHARD).stat().st_size}


# Threads and processes.

_opened: Samples


def _read_all(opened: Samples | None = None) -> list[tuple[str, object]]:
    return [(key, sample["image"]) for key, sample in (opened or _opened).items()]


def test_processes_read_on(repo: Path) -> None:
    global _opened  # noqa: PLW0603  a forked process has what the module has
    _opened = open_samples("th", repo=repo)
    wanted = [(one.key, one.image) for one in ORDER]
    assert _read_all() == wanted  # shards are open
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert [pool.submit(_read_all).result() for _ in range(2)] == [wanted] * 2
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(_read_all, _opened).result() == wanted
    assert _read_all() == wanted


def test_a_pickled_copy_is_small(tmp_path: Path) -> None:
    many = build(tmp_path, {("culture", "th", "train"): samples("culture", "th", 200, side=8)})
    opened = open_samples("th", repo=many)
    opened.at(0)
    copied = pickle.dumps(opened)
    assert len(copied) < 4000
    assert pickle.loads(copied).at(7) == opened.at(7)


def test_threads_share_more_shards_than_are_held_open(tmp_path: Path) -> None:
    stored = samples("culture", "th", 150, side=8)
    opened = open_samples(
        "th", repo=build(tmp_path, {("culture", "th", "train"): stored}, shards=75)
    )
    images = {one.key: one.image for one in stored}
    wanted = [key for seed in range(4) for key in random.Random(seed).sample(sorted(images), 150)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda key: opened[key]["image"], wanted)) == [
            images[key] for key in wanted
        ]
    assert len(list(Path("/proc/self/fd").iterdir())) < 150


# Damage names the shard and the sample, and touches no other.


def test_a_changed_byte_is_named(copy: Path) -> None:
    victim = ORDER[5]
    spoil(copy / TH_SHARD, victim)
    opened = open_samples("th", repo=copy)
    with pytest.raises(FormatError) as caught:
        opened[victim.key]
    assert str(caught.value) == (
        f"{copy}/{TH_SHARD} has other bytes than the index says at sample {victim.key}. "
        "Fetch or build the shard again."
    )
    assert [opened[one.key] for one in ORDER if one != victim] == [
        as_sample(one) for one in ORDER if one != victim
    ]


def test_damage_on_a_server_is_named(copy: Path) -> None:
    spoil(copy / TH_SHARD, ORDER[5])
    with serve(copy) as server:
        opened = open_samples("th", repo=server.url)
        with pytest.raises(FormatError, match=f"{server.url}/{TH_SHARD} has other bytes than"):
            opened[ORDER[5].key]
        assert opened[ORDER[4].key] == as_sample(ORDER[4])


def test_a_shard_cut_short_is_named(copy: Path) -> None:
    content = (copy / TH_SHARD).read_bytes()
    (copy / TH_SHARD).write_bytes(content[: content.index(ORDER[5].image) + 100])
    opened = open_samples("th", repo=copy)
    assert opened[ORDER[4].key] == as_sample(ORDER[4])
    for lost in ORDER[5:7]:
        with pytest.raises(FormatError, match=f"{TH_SHARD} is cut short at sample {lost.key}"):
            opened[lost.key]


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / TH_SHARD).unlink()
    opened = open_samples("th", repo=copy)
    assert opened.at(0) == as_sample(ORDER[0])
    with pytest.raises(RepositoryError, match=f"{TH_SHARD}"):
        opened.at(5)


def test_a_shard_put_back_is_read_again(copy: Path) -> None:
    whole = (copy / TH_SHARD).read_bytes()
    opened = open_samples("th", repo=copy)
    spoil(copy / TH_SHARD, ORDER[5])
    with pytest.raises(FormatError):
        opened.at(5)
    (copy / TH_SHARD).unlink()
    (copy / TH_SHARD).write_bytes(whole)
    assert opened.at(5) == as_sample(ORDER[5])


def test_an_index_of_another_length_than_the_manifest_says_is_named(copy: Path) -> None:
    text = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(text.replace('"samples": 7', '"samples": 8'))
    opened = open_samples("th", "culture", repo=copy)
    with pytest.raises(FormatError, match=r"th/train.parquet has 7 rows, but the manifest says 8"):
        opened.at(7)


def test_a_shard_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=f"Cannot read {tmp_path}: .*directory"):
        LocalShards().read(str(tmp_path), 0, 10, 0, lambda: "k")


# Finding keys: the order of the rows does not matter.

_hex = st.text("0123456789abcdef", min_size=8, max_size=8)
_any = st.text(min_size=0, max_size=9).filter(lambda key: "\0" not in key)


def _arrays(keys: list[str]) -> Iterator[pa.Array]:
    yield pa.array(keys, pa.string())
    yield pa.array(keys, pa.large_string())
    yield pa.array(["before", *keys, "behind"], pa.string()).slice(1, len(keys))


@given(
    keys=st.lists(_hex, unique=True, max_size=40) | st.lists(_any, unique=True, max_size=40),
    others=st.lists(_hex | _any, max_size=10),
    ascending=st.booleans(),
)
def test_every_key_is_found_at_its_row_and_no_other(
    keys: list[str], others: list[str], *, ascending: bool
) -> None:
    keys = sorted(keys) if ascending else keys
    for array in _arrays(keys):
        finder = KeyFinder(array)
        assert [finder.find(key) for key in keys] == list(range(len(keys)))
        assert all(finder.find(other) is None for other in others if other not in keys)
