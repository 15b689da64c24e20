"""What stands at the positions of a mixed order: rows of cells, and where their samples lie."""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeVar

import numpy as np

from mella.fetch import Segment, Take
from mella.order import CellOrder, Mix, Span
from mella.plan import Cell, metadata_rows

T = TypeVar("T")

_WINDOW = 4
"""Chunks whose samples are shuffled together, where there is one cell; with more cells, fewer."""
_POSITIONS = 1024
"""Positions whose order is computed at a time."""


class Positions:
    """The positions of an epoch, of which each is a sample of one cell.

    Args:
        cells: What is mixed.
        mix: How many of each go into an epoch, and in which order their turns come.
        seed: Of the order in each cell; None: as they lie.
    """

    def __init__(self, cells: Sequence[Cell], mix: Mix, seed: int | None) -> None:
        self._cells = cells
        self._mix = mix
        window = max(1, _WINDOW // len(cells))
        self._orders = [CellOrder(cell.chunk_ends, seed, cell.name, window) for cell in cells]

    def takes(self, spans: Sequence[Span], epoch: int) -> Iterator[Take]:
        """Yield where the samples of these positions lie, in their order."""
        return self._merged(spans, epoch, self._takes)

    def rows(self, spans: Sequence[Span], epoch: int) -> Iterator[dict[str, Any]]:
        """Yield the metadata of the samples of these positions, in their order."""
        return self._merged(spans, epoch, self._rows)

    def _merged(
        self, spans: Sequence[Span], epoch: int, of_cell: Callable[[int, int, int], Iterator[T]]
    ) -> Iterator[T]:
        """Yield what `of_cell` says of the positions, cell by cell as they are mixed."""
        for start, stop in spans:
            firsts, lasts = self._mix.before(start), self._mix.before(stop)
            streams = [
                of_cell(number, epoch * count + first, epoch * count + last)
                for number, (count, first, last) in enumerate(
                    zip(self._mix.counts, firsts, lasts, strict=True)
                )
            ]
            for at in range(start, stop, _POSITIONS):
                cells, _ = self._mix.between(at, min(at + _POSITIONS, stop))
                for number in cells.tolist():
                    yield next(streams[number])

    def _takes(self, number: int, start: int, stop: int) -> Iterator[Take]:
        cell = self._cells[number]
        for rows, chunks in self._orders[number].blocks(start, stop):
            segments = {
                chunk: Segment(cell, np.sort(rows[chunks == chunk]))
                for chunk in set(chunks.tolist())
            }
            yield from map(
                Take._make,
                zip(
                    repeat(cell),
                    rows.tolist(),
                    cell.shard[rows].tolist(),
                    cell.offset[rows].tolist(),
                    cell.nbytes[rows].tolist(),
                    cell.xxh3[rows].tolist(),
                    [segments[chunk] for chunk in chunks.tolist()],
                    strict=False,
                ),
            )

    def _rows(self, number: int, start: int, stop: int) -> Iterator[dict[str, Any]]:
        for rows, _ in self._orders[number].blocks(start, stop):
            yield from metadata_rows(self._cells[number], rows)
