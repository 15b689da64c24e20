"""Find all hashes within a Hamming distance of each other: none is missed, few are compared.

The 64 bits are cut into blocks. Two hashes that differ in at most `d` bits differ in at most `d`
blocks, so of `d + k` blocks at least `k` are equal (the pigeonhole principle). One table for each
choice of `k` blocks therefore brings all near hashes together, sorted by those blocks: this is the
search of G. S. Manku, A. Jain and A. Das Sarma (Detecting Near-Duplicates for Web Crawling, WWW
2007). A larger `k` makes more tables, in which fewer hashes share a key; which is chosen changes
the time, never the result.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from mella.builders.culture.images.phash import Flags, Hashes

Numbers = np.ndarray[tuple[int], np.dtype[np.int32]]

MAX_DISTANCE = 16
"""Beyond, two unlike pictures are hardly farther from each other than two alike."""

_BITS = 64
_KEY_BITS = 32
_MOST_BLOCKS = 4  # of a key
# What it takes to sort a hash into a table, and to compare two: about, in nanoseconds.
_SORT, _COMPARE = 150, 15


@dataclass(frozen=True)
class _Table:
    """One choice of blocks: hashes meet where these are equal.

    Attributes:
        chosen: A mask of each chosen block.
        before: A mask of each other block that stands before the last chosen one.
        shifts: How far each chosen block is from the right end, and how wide it is.
    """

    chosen: tuple[int, ...]
    before: tuple[int, ...]
    shifts: tuple[tuple[int, int], ...]

    def keys(self, hashes: Hashes) -> Hashes:
        """Return the bits of the chosen blocks, at most 32: equal blocks have equal keys."""
        keys = np.zeros_like(hashes)
        for shift, width in self.shifts:
            keys <<= np.uint64(width)
            keys |= (hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)
        return keys & np.uint64((1 << _KEY_BITS) - 1)

    def is_first(self, differences: Hashes) -> Flags:
        """Return whether no earlier table holds the pair: its first equal blocks are the chosen."""
        first = np.ones(len(differences), dtype=np.bool_)
        for mask in self.chosen:
            first &= differences & np.uint64(mask) == 0
        for mask in self.before:
            first &= differences & np.uint64(mask) != 0
        return first


def near_pairs(hashes: Hashes, distance: int) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield each pair of hashes that differ in at most `distance` bits, once.

    Takes time in proportion to the number of hashes where they are spread evenly, and about 50
    bytes of memory for each; hashes that share many bits cost more time, and no more memory.

    Args:
        hashes: Shape (n,); equal ones are `n` pairs each, so better each once.
        distance: 0 to 16.

    Yields:
        Two arrays of indices into `hashes`, of equal length, in no particular order.

    Raises:
        ValueError: `distance` is out of its range.
    """
    for table in _tables(len(hashes), len(hashes), distance):
        keys, order = _sorted(table.keys(hashes))
        ordered = hashes[order]
        left = np.arange(len(hashes))
        step = 1
        # Equal keys lie side by side: with the next one, then the next but one ...
        while len(left := left[: np.searchsorted(left, len(keys) - step)]):
            left = left[keys[left] == keys[left + step]]
            differences = ordered[left] ^ ordered[left + step]
            near = np.flatnonzero(np.bitwise_count(differences) <= distance)
            near = near[table.is_first(differences[near])]
            if len(near):
                yield order[left[near]], order[left[near] + step]
            step += 1


class HammingIndex:
    """Tells which hashes are near to one of some that are known before."""

    def __init__(self, known: Hashes, distance: int) -> None:
        """Sort the known hashes into tables: about 16 bytes for each in each of them.

        Args:
            known: Shape (n,).
            distance: In how many bits two near ones may differ, 0 to 16.

        Raises:
            ValueError: `distance` is out of its range.
        """
        self._known = np.unique(known)
        self._distance = distance
        size = len(self._known)
        self._tables = [
            (table, *_sorted(table.keys(self._known))) for table in _tables(size, size, distance)
        ]

    def contains(self, hashes: Hashes) -> Flags:
        """Return for each hash whether a known one is near. Shape (n,) both."""
        found = np.zeros(len(hashes), dtype=np.bool_)
        for table, keys, order in self._tables:
            asked = np.flatnonzero(~found)
            wanted = table.keys(hashes[asked])
            place = np.searchsorted(keys, wanted, side="left")
            end = np.searchsorted(keys, wanted, side="right")
            while len(asked):
                inside = place < end
                asked, place, end = asked[inside], place[inside], end[inside]
                differences = self._known[order[place]] ^ hashes[asked]
                near = np.bitwise_count(differences) <= self._distance
                found[asked[near]] = True
                asked, place, end = asked[~near], place[~near] + 1, end[~near]
        return found


def _tables(count: int, asked: int, distance: int) -> list[_Table]:
    """Return the tables that find all that is near, with keys as long as pays."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(
            f"A distance between hashes of {_BITS} bits is 0 to {MAX_DISTANCE}, got {distance!r}."
        )

    def cost(blocks: int) -> float:
        tables = math.comb(distance + blocks, blocks)
        bits = min(_KEY_BITS, _BITS * blocks // (distance + blocks))
        return count * tables * (_SORT + _COMPARE * asked / (1 << bits))

    chosen = min(range(1, _MOST_BLOCKS + 1), key=cost)
    blocks = distance + chosen
    edges = [_BITS * number // blocks for number in range(blocks + 1)]
    masks = [(1 << end) - (1 << start) for start, end in pairwise(edges)]
    return [
        _Table(
            tuple(masks[block] for block in choice),
            tuple(masks[block] for block in range(choice[-1]) if block not in choice),
            tuple((edges[block], edges[block + 1] - edges[block]) for block in choice),
        )
        for choice in combinations(range(blocks), chosen)
    ]


def _sorted(keys: Hashes) -> tuple[Any, Numbers]:
    """Return keys of at most 32 bits in order, and where each stood."""
    # One sort of numbers that hold both is several times faster than `argsort`.
    both = keys << np.uint64(_KEY_BITS) | np.arange(len(keys), dtype=np.uint64)
    both.sort()
    order = (both & np.uint64((1 << _KEY_BITS) - 1)).astype(np.int32)
    return (both >> np.uint64(_KEY_BITS)).astype(np.uint32), order
