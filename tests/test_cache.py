"""The cache of ranges: what it gives is right, whatever happens to its files and processes."""

import hashlib
import multiprocessing
import os
import pickle
import random
import resource
import signal
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.cache import RangeCache

SHA = hashlib.sha256(b"a shard").hexdigest()
OTHER = hashlib.sha256(b"another shard").hexdigest()


def data(sha256: str, start: int, end: int) -> bytes:
    """The bytes of a range: any other range has others."""
    return random.Random(f"{sha256} {start}").randbytes(end - start)


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*-*"))


def fill(cache: RangeCache, spans: list[tuple[int, int]], sha256: str = SHA) -> None:
    for start, end in spans:
        cache.put(sha256, start, end, data(sha256, start, end))


def held(cache: RangeCache, spans: list[tuple[int, int]]) -> list[int]:
    return [start for start, end in spans if cache.get(SHA, start, end) is not None]


SPANS = [(start, start + 1000) for start in range(0, 20_000, 1000)]


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path / "new", 1 << 20)
    assert cache.get(SHA, 0, 1000) is None
    fill(cache, SPANS)
    fill(cache, SPANS[:1], OTHER)
    again = pickle.loads(pickle.dumps(cache))
    assert held(again, SPANS) == [start for start, _ in SPANS]
    assert again.get(SHA, 0, 1000) == data(SHA, 0, 1000)
    assert again.get(OTHER, 0, 1000) == data(OTHER, 0, 1000)
    assert again.get(SHA, 0, 999) is None
    assert again.get(OTHER, 1000, 2000) is None


def test_what_is_put_again_replaces(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 1 << 20)
    cache.put(SHA, 0, 3, b"bad")
    cache.put(SHA, 0, 3, b"new")
    assert cache.get(SHA, 0, 3) == b"new"


def test_less_than_a_range_is_not_kept(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 1 << 20)
    cache.put(SHA, 0, 10, b"short")
    assert cache.get(SHA, 0, 10) is None


@settings(max_examples=60, deadline=None)
@given(damage=st.data())
def test_a_damaged_file_is_a_miss(
    tmp_path_factory: pytest.TempPathFactory, damage: st.DataObject
) -> None:
    cache = RangeCache(tmp_path_factory.mktemp("cache"), 1 << 20)
    fill(cache, SPANS[:1])
    (file,) = cache.folder.rglob("*-*")
    content = bytearray(file.read_bytes())
    if damage.draw(st.booleans()):
        content[damage.draw(st.integers(0, len(content) - 1))] ^= damage.draw(st.integers(1, 255))
    else:
        del content[damage.draw(st.integers(0, len(content) - 1)) :]
    file.write_bytes(content)
    assert cache.get(SHA, 0, 1000) is None
    fill(cache, SPANS[:1])
    assert cache.get(SHA, 0, 1000) == data(SHA, 0, 1000)


def test_a_file_of_another_range_is_a_miss(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 1 << 20)
    fill(cache, SPANS[:1])
    (file,) = tmp_path.rglob("*-*")
    file.rename(file.with_name(f"{SHA}-1000-2000"))
    assert cache.get(SHA, 1000, 2000) is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 10_500)
    for number, span in enumerate(SPANS[:10]):
        fill(cache, [span])
        (file,) = tmp_path.rglob(f"*-{span[0]}-*")
        os.utime(file, (number, number))
    assert cache.get(SHA, 0, 1000)  # used now, so 1000-2000 is the oldest
    fill(cache, SPANS[10:11])
    assert size(tmp_path) <= 10_500
    assert held(cache, SPANS) == [0, *range(2000, 11_000, 1000)]


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 2000)
    fill(cache, [(0, 1000), (5000, 8000)])
    assert held(cache, [(0, 1000), (5000, 8000)]) == [0]


@pytest.mark.parametrize("count", ["", "junk", "0", "99999999"])
def test_a_wrong_count_is_put_right(tmp_path: Path, count: str) -> None:
    cache = RangeCache(tmp_path, 10_500)
    fill(cache, SPANS[:5])
    (tmp_path / "count").write_text(count)
    fill(cache, SPANS * 3)
    assert 5000 < size(tmp_path) <= 10_500 + 5 * 1016  # a count that says too little is possible
    fill(cache, SPANS * 3)
    assert 5000 < size(tmp_path) <= 10_500


@pytest.mark.parametrize("size", [0, -1])
def test_room_for_nothing_is_an_error(tmp_path: Path, size: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes={size} leaves room for nothing"):
        RangeCache(tmp_path, size)


def test_what_is_no_hash_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        RangeCache(tmp_path, 1).get("../../etc", 0, 1)


# A disk that fails.


def test_a_folder_that_cannot_be_used_warns_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = RangeCache(tmp_path / "file" / "cache", 1 << 20)
    with pytest.warns(UserWarning, match="cannot be used .* Reading goes on") as warned:
        fill(cache, SPANS)
    with warnings.catch_warnings(action="error"):
        assert held(cache, SPANS) == []
    assert len(warned) == 1


def _on_a_full_disk(folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    cache = RangeCache(folder, 1 << 20)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fill(cache, SPANS)
        assert held(cache, SPANS) == []
    assert len(warned) == 1
    assert not list(folder.rglob(".*.tmp"))


def test_a_full_disk_breaks_nothing(tmp_path: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=_on_a_full_disk, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0


# Many processes.


def _hammer(folder: Path, seed: int, rounds: int) -> None:
    cache, chance = RangeCache(folder, 100_000), random.Random(seed)
    for _ in range(rounds):
        start = chance.randrange(0, 300) * 1000
        found = cache.get(SHA, start, start + 1000)
        assert found in (None, data(SHA, start, start + 1000))
        if found is None:
            fill(cache, [(start, start + 1000)])


def test_many_processes_share_it_and_some_are_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_hammer, args=(tmp_path, n, 200)) for n in range(4)]
    victims = [context.Process(target=_hammer, args=(tmp_path, n, 10**9)) for n in (10, 11)]
    for process in (*processes, *victims):
        process.start()
    for victim in victims:
        time.sleep(0.1)
        assert victim.pid
        os.kill(victim.pid, signal.SIGKILL)
    for process in (*processes, *victims):
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert [victim.exitcode for victim in victims] == [-signal.SIGKILL] * 2
    assert 50_000 < size(tmp_path) <= 100_000 + 6 * 1016
    _hammer(tmp_path, 5, 400)  # nobody is left holding the lock
    assert size(tmp_path) <= 100_000


def test_what_a_killed_process_left_is_thrown_away(tmp_path: Path) -> None:
    cache = RangeCache(tmp_path, 10_500)
    fill(cache, SPANS[:1])
    left, new = (tmp_path / SHA[:2] / f".{name}.tmp" for name in ("left", "new"))
    for file in (left, new):
        file.write_bytes(b"part")
    os.utime(left, (0, 0))
    fill(cache, SPANS)
    assert not left.exists()
    assert new.exists()  # somebody may be writing it
