"""Fetch the blocks of samples: in place from a folder, ahead of need from anywhere else."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

import xxhash

from mella.blocks import LocalShards, check_blocks
from mella.errors import FormatError, MellaError, RepositoryError, whole_number
from mella.http import Retry
from mella.plan import Cell, Ints
from mella.repository import FolderStorage, Repository, missing_file
from mella.threads import Threads, result_of

_AGAIN = 3
"""How often a sample that is not what the index promises is read once more."""


@dataclass(frozen=True)
class Fetching:
    """How samples are fetched from anywhere but a folder.

    Attributes:
        connections: Requests at the same time.
        read_ahead: Bytes that are held, or on their way, before they are needed. What is needed
            at once (a few chunks of each cell) is fetched even where it is more.
        gap: Bytes between two wanted samples that are read too, to make one request of two.
        request_bytes: Of one request; larger ranges are read in parts, at the same time.
        retry: What is tried again, and when. Default: as `mella.http.Retry` says.
    """

    connections: int = 8
    read_ahead: int = 64 << 20
    gap: int = 64 << 10
    request_bytes: int = 4 << 20
    retry: Retry | None = None

    def __post_init__(self) -> None:
        least = {"connections": 1, "read_ahead": 0, "gap": 0, "request_bytes": 1}
        for name, value in least.items():
            whole_number(name, getattr(self, name), value)


class Segment:
    """Samples of one chunk that are fetched together."""

    def __init__(self, cell: Cell, rows: Ints) -> None:
        """Fetch these rows, ascending."""
        self.cell = cell
        self.rows = rows
        self.nbytes = int(cell.nbytes[rows].sum())
        self.left = len(rows)
        self.parts: list[tuple[int, Future[bytes]]] | None = None


class Take(NamedTuple):
    """One sample to read: where it lies, and what it should be."""

    cell: Cell
    row: int
    shard: int
    offset: int
    nbytes: int
    xxh3: int
    segment: Segment | None

    def key(self) -> str:
        """Return the key of the sample."""
        return str(self.cell.key[self.row].as_py())


def decoded(
    decode: Callable[[bytes | memoryview], Any],
    image: bytes | memoryview,
    take: Take,
    repository: Repository,
) -> Any:
    """Return what `decode` makes of the image of a sample.

    Raises:
        FormatError: It cannot be decoded; names shard and key.
    """
    try:
        return decode(image)
    except MellaError as error:
        shard = take.cell.shards[take.shard]
        raise FormatError(
            f"{repository.storage.name}/{shard} at sample {take.key()}: {error}"
        ) from error


Read = tuple[Take, bytes | memoryview | MellaError]
"""A sample and its blocks, which are those that the index promises, or why there are none."""
Reads = Generator[Read, None, None]


def read(repository: Repository, takes: Iterable[Take], how: Fetching) -> Reads:
    """Yield the blocks of samples, in the order given.

    Raises:
        RepositoryError: The repository cannot be reached. A shard that it does not have is not
            raised but yielded, for each of its samples.
    """
    if isinstance(repository.storage, FolderStorage):
        return _read_folder(repository.storage, takes)
    return _read_ahead(repository, takes, how)


def _read_folder(storage: FolderStorage, takes: Iterable[Take]) -> Reads:
    files = LocalShards()
    for take in takes:
        cell, _, shard, offset, nbytes, xxh3, _ = take
        path = cell.shards[shard]
        try:
            blocks = files.read(f"{storage.folder}/{path}", offset, nbytes, xxh3, take.key)
        except RepositoryError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            yield take, missing_file(storage, path) if missing else error
        except FormatError as error:
            yield take, error
        else:
            yield take, blocks


def _read_ahead(repository: Repository, takes: Iterable[Take], how: Fetching) -> Reads:
    """Walk ahead over the samples, start fetching where a segment begins, and follow behind."""
    ahead: deque[Take] = deque()
    coming = iter(takes)
    held = 0
    done = False
    with Threads(how.connections) as threads:
        while True:
            while not done and (held < how.read_ahead or not ahead):
                take = next(coming, None)
                if take is None:
                    done = True
                    break
                ahead.append(take)
                segment = _segment(take)
                if segment.parts is None:
                    segment.parts = _fetch(repository, segment, how, threads)
                    held += segment.nbytes
            if not ahead:
                return
            take = ahead.popleft()
            segment = _segment(take)
            yield take, _blocks(repository, take, segment)
            segment.left -= 1
            if not segment.left:
                segment.parts = []
                held -= segment.nbytes


def _segment(take: Take) -> Segment:
    assert take.segment is not None  # noqa: S101  (for the type checker)
    return take.segment


def _fetch(
    repository: Repository, segment: Segment, how: Fetching, threads: Threads
) -> list[tuple[int, Future[bytes]]]:
    """Begin to fetch a segment; return where each range starts, and its bytes to be."""
    cell, rows = segment.cell, segment.rows
    path = cell.shards[cell.shard[rows[0]]]
    ranges = coalesce(cell.offset[rows].tolist(), cell.nbytes[rows].tolist(), how)

    def get(start: int, end: int) -> Callable[[], bytes]:
        return lambda: repository.read_range(path, start, end)

    return [(start, threads.submit(get(start, end))) for start, end in ranges]


def coalesce(offsets: list[int], sizes: list[int], how: Fetching) -> list[tuple[int, int]]:
    """Return byte ranges that hold samples whole, neighbours in one range.

    Args:
        offsets: Of the samples, ascending.
        sizes: Of the samples, in bytes.
        how: See `gap` and `request_bytes`.
    """
    ranges: list[tuple[int, int]] = []
    for start, size in zip(offsets, sizes, strict=True):
        if ranges:
            first, last = ranges[-1]
            if start - last <= how.gap and start + size - first <= how.request_bytes:
                ranges[-1] = first, start + size
                continue
        ranges.append((start, start + size))
    return ranges


def _blocks(repository: Repository, take: Take, segment: Segment) -> memoryview | MellaError:
    parts = segment.parts or []
    number = sum(start <= take.offset for start, _ in parts) - 1
    start, future = parts[number]
    path = take.cell.shards[take.shard]
    begin, end = take.offset - start, take.offset - start + take.nbytes
    try:
        blocks = memoryview(result_of(future))[begin:end]
        # Something on the way, or what the cache has, may be damaged.
        for _ in range(_AGAIN):
            if xxhash.xxh3_64_intdigest(blocks) == take.xxh3:
                return blocks
            # The whole range, for that is what a cache keeps, and others of it may be damaged too.
            last = start + max(len(future.result()), end)
            again = repository.read_range(path, start, last, fresh=True)
            future = Future()
            future.set_result(again)
            parts[number] = start, future
            blocks = memoryview(again)[begin:end]
        check_blocks(blocks, take.nbytes, take.xxh3, f"{repository.storage.name}/{path}", take.key)
    except FormatError as error:
        return error
    except RepositoryError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return error
        raise
    return blocks
