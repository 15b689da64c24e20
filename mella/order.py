"""The order of samples: pure functions of a seed, an epoch, sizes and weights.

Three layers, none of which needs more than the sizes of chunks, so that any position is found
without walking to it:

- `Mix` interleaves cells (a source in a language): the i-th of the n samples of a cell comes at
  about i/n of the epoch.
- `CellOrder` says which row of a cell is the p-th of an epoch: chunks are shuffled, and the samples
  of a few neighbouring chunks among each other.
- Spans: positions that are still to come, as half-open ranges. `remaining` and `share` divide them
  over ranks and workers, again and again where a run is resumed with another number of them.

Everything is integer arithmetic and SplitMix64, so the order is the same on every machine and with
every version of the libraries.
Source of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Span = tuple[int, int]
Remainder = Literal["keep", "repeat", "drop"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TIME_BITS = 62


def derive_seed(*parts: str | int) -> int:
    """Return 64 bits that depend on all the parts: a seed for one use among many."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def random_bits(seed: int, start: int, stop: int) -> npt.NDArray[np.uint64]:
    """Return 64 random bits for each of the numbers from `start` up to `stop` (SplitMix64)."""
    numbers = np.arange(start + 1, stop + 1, dtype=np.uint64)
    bits = np.uint64(seed) + numbers * _GOLDEN
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def permutation(seed: int, count: int) -> Ints:
    """Return the numbers below `count` in random order."""
    return np.argsort(random_bits(seed, 0, count), kind="stable")


class Mix:
    """Interleaves cells evenly: position <-> (cell, how many of that cell came before).

    The i-th of the n samples of a cell has the time (2 i + 1) / (2 n); positions follow time, then
    the number of the cell. So any stretch of the order holds each cell in proportion to its count,
    within one sample, and all cells end together.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        """Interleave so many samples of each cell."""
        self.counts = tuple(counts)
        self.total = sum(counts)
        # Times as integers of equal scale, as fine as 64 bits allow: 2 n << bits is below 2 ** 62.
        self._bits = _TIME_BITS - (2 * max(counts, default=1)).bit_length()

    def before(self, position: int) -> tuple[int, ...]:
        """Return how many samples of each cell come before a position."""
        taken, cells, _ = self._around(position, position)
        head = cells[: position - sum(taken)]
        extra = np.bincount(head, minlength=len(self.counts)).tolist()
        return tuple(t + e for t, e in zip(taken, extra, strict=True))

    def between(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return the cell, and the number within the cell, of each position from start to stop."""
        taken, cells, numbers = self._around(start, stop)
        first = start - sum(taken)
        return cells[first : first + stop - start], numbers[first : first + stop - start]

    def _around(self, start: int, stop: int) -> tuple[tuple[int, ...], Ints, Ints]:
        """Return a little more than what lies between, and the counts before that."""
        # By a time below `time`, n time / one samples of a cell have come, give or take a half.
        one, spare, total = 1 << self._bits, len(self.counts), max(1, self.total)
        low = self._earlier(max(0, (start - spare) * one // total))
        high = self._earlier((stop + spare) * one // total + 1)
        cells = np.concatenate(
            [np.full(b - a, cell) for cell, (a, b) in enumerate(zip(low, high, strict=True))]
        )
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
        double = 2 * np.array(self.counts, dtype=np.int64)[cells]
        times = ((2 * numbers + 1) << self._bits) // double
        order = np.lexsort((numbers, cells, times))
        return low, cells[order], numbers[order]

    def _earlier(self, time: int) -> tuple[int, ...]:
        """Return how many samples of each cell have a time below `time`."""
        one = 1 << self._bits
        # (2 i + 1) * one // (2 n) < time  <=>  i < (2 n time / one - 1) / 2
        return tuple(min(n, max(0, -((one - 2 * n * time) // (2 * one)))) for n in self.counts)


class Block(NamedTuple):
    """Neighbouring positions of a cell whose rows lie in a few chunks.

    Attributes:
        rows: Of the index of the cell, in the order of the positions.
        chunks: Of each row.
    """

    rows: Ints
    chunks: Ints


class CellOrder:
    """The order of the rows of one cell in each of its epochs."""

    def __init__(self, chunk_ends: Ints, seed: int | None, name: str, window: int) -> None:
        """Order the rows of a cell.

        Args:
            chunk_ends: Row behind the last of each chunk, ascending.
            seed: None: the order of the index.
            name: Of the cell, so that every cell has an order of its own.
            window: Chunks whose samples are shuffled among each other.
        """
        self.size = int(chunk_ends[-1]) if len(chunk_ends) else 0
        self._starts = np.concatenate([[0], chunk_ends])
        self._seed = seed
        self._name = name
        self._window = window if seed is not None else 1
        # One epoch, one block at a time; a sample that is repeated may need the block before.
        self._epoch = lru_cache(maxsize=2)(self._compute_epoch)
        self._block = lru_cache(maxsize=2)(self._compute_block)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._starts[1:], self._seed, self._name, self._window)

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """Yield the rows of positions, counted on from epoch to epoch, block by block."""
        while start < stop:
            epoch, place = divmod(start, self.size)
            _, ends = self._epoch(epoch)
            number = int(np.searchsorted(ends, place, side="right"))
            begin = int(ends[number - 1]) if number else 0
            upto = min(int(ends[number]), place + stop - start)
            block = self._block(epoch, number)
            yield Block(*(part[place - begin : upto - begin] for part in block))
            start += upto - place

    def _compute_epoch(self, epoch: int) -> tuple[Ints, Ints]:
        """Return the order of the chunks and where each block ends."""
        count = len(self._starts) - 1
        if self._seed is None:
            chunks = np.arange(count)
        else:
            chunks = permutation(derive_seed(self._seed, "chunks", self._name, epoch), count)
        sizes = np.diff(self._starts)[chunks]
        ends = np.cumsum(sizes)
        last = np.minimum(np.arange(self._window, count + self._window, self._window), count) - 1
        return chunks, ends[last]

    def _compute_block(self, epoch: int, number: int) -> Block:
        chunks, _ = self._epoch(epoch)
        mine = chunks[number * self._window : (number + 1) * self._window]
        spans = [(int(self._starts[chunk]), int(self._starts[chunk + 1])) for chunk in mine]
        rows = np.concatenate([np.arange(a, b) for a, b in spans])
        of = np.concatenate(
            [np.full(b - a, chunk) for chunk, (a, b) in zip(mine, spans, strict=True)]
        )
        if self._seed is None:
            return Block(rows, of)
        seed = derive_seed(self._seed, "samples", self._name, epoch)
        order = np.argsort(
            np.concatenate([random_bits(seed, a, b) for a, b in spans]), kind="stable"
        )
        return Block(rows[order], of[order])


@dataclass(frozen=True)
class Layout:
    """How the samples of an epoch are divided.

    Attributes:
        world_size: Ranks.
        workers: Of each rank; they take its batches in turn, as those of a torch DataLoader do.
        batch_size: Samples of a batch; 1 where samples are yielded one by one.
        remainder: What happens where samples do not divide by ranks. "keep": each comes exactly
            once; batches differ by one sample, or, where there are no batches, ranks do. "repeat":
            some come twice, so that all ranks have as many. "drop": some are left out, so that all
            ranks have as many, and all batches are full.
    """

    world_size: int = 1
    workers: int = 1
    batch_size: int = 1
    remainder: Remainder = "keep"

    def shares(self, total: int) -> list["Share"]:
        """Return what each rank gets of `total` samples.

        All have the same number of batches wherever every rank can have a sample in each: only
        with "keep", and fewer samples than ranks or batches of one, some have one batch less.
        """
        each, more = divmod(total, self.world_size)
        if self.remainder == "drop":
            each, more = each // self.batch_size * self.batch_size, 0
        elif self.remainder == "repeat":
            each, more = each + (more > 0), 0
        sizes = [each + (rank < more) for rank in range(self.world_size)]
        steps = -(-sizes[0] // self.batch_size)
        return [_share(size, self.batch_size, steps) for size in sizes]


class Share(NamedTuple):
    """The batches of a rank: all of the same size but the last ones.

    Attributes:
        samples: Of all batches.
        steps: Batches.
        batch_size: Of all but the last ones.
        last: Sizes of the last batches.
    """

    samples: int
    steps: int
    batch_size: int
    last: tuple[int, ...]

    def size(self, step: int) -> int:
        """Return how many samples a batch has."""
        from_end = self.steps - step
        return self.last[-from_end] if from_end <= len(self.last) else self.batch_size

    def taken(self, worker: int, workers: int, steps: int) -> int:
        """Return how many samples one of the workers has in the first `steps` batches."""
        steps = min(steps, self.steps)
        equal = self.steps - len(self.last)
        first = len(range(worker, min(steps, equal), workers)) * self.batch_size
        return first + sum(self.size(i) for i in range(equal, steps) if i % workers == worker)


def _share(samples: int, batch_size: int, steps: int) -> Share:
    full, rest = divmod(samples, batch_size)
    last: tuple[int, ...] = (rest,) if rest else ()
    if full and full + len(last) < steps and batch_size > 1:
        full, last = full - 1, (batch_size - 1, 1)  # the others have a sample more: none waits
    return Share(samples, full + len(last), batch_size, last)


def divide(spans: Sequence[Span], layout: Layout) -> list[tuple[Share, list[list[Span]]]]:
    """Return, for each rank, its share of the positions, and those of each of its workers.

    Every worker gets a stretch of its own, so that no two read the same chunks.
    """
    total = length(spans)
    shares = layout.shares(total)
    supply = _Supply(spans, again=layout.remainder == "repeat")
    workers = range(layout.workers)
    return [
        (share, [supply.take(share.taken(k, layout.workers, share.steps)) for k in workers])
        for share in shares
    ]


def remaining(spans: Sequence[Span], layout: Layout, steps: int) -> list[Span]:
    """Return the positions that are still to come when all ranks have taken `steps` batches."""
    rest: list[Span] = []
    total = 0
    for share, parts in divide(spans, layout):
        for worker, part in enumerate(parts):
            total += length(part)
            rest += after(part, share.taken(worker, layout.workers, steps))
    # What "drop" leaves out of this division may still find a place in the next.
    return _joined([*rest, *after(spans, total)])


def length(spans: Iterable[Span]) -> int:
    """Return how many positions there are."""
    return sum(stop - start for start, stop in spans)


def after(spans: Iterable[Span], count: int) -> list[Span]:
    """Return the positions behind the first `count`."""
    rest = []
    for start, stop in spans:
        skipped = min(count, stop - start)
        count -= skipped
        if start + skipped < stop:
            rest.append((start + skipped, stop))
    return rest


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Return the same positions in the same order, in as few spans as possible."""
    joined: list[Span] = []
    for start, stop in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


class _Supply:
    """Hands out positions from the front."""

    def __init__(self, spans: Sequence[Span], *, again: bool) -> None:
        self._all = [span for span in spans if span[0] < span[1]]
        self._left = list(reversed(self._all))
        self._again = again

    def take(self, count: int) -> list[Span]:
        taken = []
        while count:
            if not self._left and self._again:
                self._left = list(reversed(self._all))
            start, stop = self._left.pop()
            upto = min(stop, start + count)
            taken.append((start, upto))
            if upto < stop:
                self._left.append((upto, stop))
            count -= upto - start
        return _joined(taken)


def apportion(total: int, shares: Sequence[float]) -> list[int]:
    """Divide `total` in proportion to `shares`, by largest remainder: the parts sum to `total`."""
    whole = sum(shares)
    exact = [total * share / whole for share in shares]
    parts = [int(value) for value in exact]
    by_rest = sorted(range(len(shares)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_rest[: total - sum(parts)]:
        parts[i] += 1
    return parts
