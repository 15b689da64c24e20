"""`MellaStream`: samples in a seeded order, mixed, divided over ranks, resumable at any sample.

from mella import MellaStream

stream = MellaStream(["th", "vi"], batch_size=32, image_size=448, weights={"th": 2, "vi": 1})
for epoch in range(3):
    for batch in stream:
        ...
        state = stream.state_dict()  # a few integers
"""

import sys
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from mella.errors import OptionError, check_among, whole_number
from mella.fetch import Fetching, read
from mella.making import Skipped, checked_decoding, sample_maker
from mella.order import (
    Layout,
    Mix,
    Remainder,
    Share,
    Span,
    after,
    divide,
    length,
    remaining,
)
from mella.place import Place, StateError, from_state, to_state
from mella.plan import (
    CHUNK_BYTES,
    check_names,
    checked_where,
    chosen_columns,
    find_cells,
    plan_cell,
)
from mella.positions import Positions
from mella.ranks import cores_of_rank, find_rank, find_worker
from mella.repository import open_repository
from mella.threads import Threads
from mella.views import View, ViewName, resolve_view
from mella.weights import samples_per_epoch

if TYPE_CHECKING:
    import pyarrow.compute as pc
    from torch.utils.data import IterableDataset

    from mella.cache import RangeCache
    from mella.decode import Decoding

    # What `_register_with_torch` makes of it, where torch is loaded.
    _TorchIterable = IterableDataset[Any]
else:
    _TorchIterable = object


_DECODED_AHEAD = 16
"""Images that are decoded before they are needed, besides those that are being decoded."""
_PATIENCE = 5.0
"""Seconds that the end of an iterator waits for the images that are being decoded."""


@dataclass(frozen=True)
class CellProgress:
    """How far a cell has come.

    Attributes:
        name: "SOURCE/LANG".
        samples: That were chosen.
        per_epoch: Samples that it gives to an epoch of the stream.
        seen: Samples that all ranks together have taken, since epoch 0.
    """

    name: str
    samples: int
    per_epoch: int
    seen: int

    @property
    def epochs(self) -> float:
        """How often each of its samples was seen, on average."""
        return self.seen / self.samples if self.samples else 0.0


class MellaStream(_TorchIterable):
    """Samples in a seeded order, mixed from cells, divided over ranks and workers.

    A *cell* is one source in one language. The order is a pure function of the seed, the epoch, the
    weights and what was chosen. Each rank, and each worker of a torch `DataLoader`, reads a stretch
    of its own, by byte ranges: no sample twice, none lost, none fetched in vain. The state is a few
    integers, the same on every rank, and may be loaded with another number of ranks or workers.

    Iterating yields what is left of the epoch, then the next epoch begins. `len()` is the number of
    steps (batches, or samples) of this rank in the epoch.
    """

    def __init__(
        self,
        lang: str | Iterable[str],
        source: str = "both",
        *,
        split: str = "train",
        repo: str | Path | None = None,
        revision: str | None = None,
        where: "pc.Expression | str | None" = None,
        columns: Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        temperature: float = 1.0,
        epoch_samples: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        batch_size: int | None = None,
        remainder: Remainder = "keep",
        rank: int | None = None,
        world_size: int | None = None,
        decode: "bool | Decoding" = True,
        image_size: int | Sequence[int] | None = None,
        output: str = "pil",
        view: ViewName | View | None = None,
        threads: int | None = None,
        on_error: str = "raise",
        cache: "RangeCache | None" = None,
        fetching: Fetching | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """Choose samples, and plan their order; no image byte is read.

        Args:
            lang: A language code, several, or "all"; see `load_mella`.
            source: "culture", "linguistics" or "both".
            split: "train", "validation" or "test".
            repo: A folder, a URL or a Hub id; see `load_mella`.
            revision: Branch, tag or commit of a Hub repository; pinned to a commit here.
            where: Keep only these samples; applied to the index before any image byte is read.
            columns: Keep only these columns; without "image" no shard is read.
            weights: Shares of cells ("culture/th"), languages or sources in an epoch. Default: each
                sample once an epoch. See `mella.weights.samples_per_epoch`.
            temperature: Above 1, small cells count for more than their size.
            epoch_samples: Samples of an epoch, of all ranks. Default: as many as there are.
            shuffle: False: the order of the index within each cell; cells are mixed all the same.
            seed: Of the order. Another seed, another order.
            batch_size: Samples of a batch, which is a list; None: samples come one by one.
            remainder: What happens where samples do not divide by ranks: "keep", "repeat" or
                "drop"; see `mella.order.Layout`.
            rank: Of this process. Default: that of torch.distributed where it is initialised, else
                $RANK, else 0.
            world_size: Number of ranks. Default: likewise, $WORLD_SIZE.
            decode: False: "image" is the JPEG bytes. A `mella.decode.Decoding`: all there is to say
                of it, in place of the next two.
            image_size: Pixels of the short side, or (width, height); see `mella.decode.Decoding`.
            output: "pil", "numpy" or "torch".
            view: What is made of each sample: a function, or "raw", "pair", "messages" or
                "prompt_completion"; see `mella.views`.
            threads: That decode. Default: the cores, divided by $LOCAL_WORLD_SIZE; none in several
                workers, or where nothing is decoded.
            on_error: "raise", or "skip": a damaged sample is left out, counted in `skipped`, and
                named in a warning at the end of the epoch. A repository out of reach always raises.
            cache: Keeps what was fetched on a disk; see `mella.cache.RangeCache`.
            fetching: Connections and read-ahead.
            chunk_bytes: Size of the runs of samples that are shuffled and fetched whole. Part of
                the order.

        Raises:
            UnknownNameError: Unknown language, source, split, column, view or option.
            OptionError: An option is out of its range.
            WhereError: `where` is not a filter of the columns of the index.
            WeightsError: `weights`, `temperature` or `epoch_samples` cannot be followed.
            RepositoryError: No repository there, or it holds nothing of what was asked for.
            FormatError: Its manifest or an index is damaged. A damaged sample: while iterating.
        """
        wanted = check_names(lang, source, split)
        self._columns = chosen_columns(columns)
        expression = checked_where(where)
        check_among("on_error", on_error, ("raise", "skip"))
        check_among("remainder", remainder, ("keep", "repeat", "drop"))
        seed = whole_number("seed", seed)
        batch_size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
        chunk_bytes = whole_number("chunk_bytes", chunk_bytes, 1)
        threads = None if threads is None else whole_number("threads", threads, 0)
        self._view = None if view is None else resolve_view(view)
        decodes = decode is not False and "image" in self._columns
        if image_size is not None and decode is not True:
            raise OptionError(
                f"image_size={image_size!r} goes with decode=True; a Decoding has a size of its "
                "own, and with decode=False the bytes stay as they are."
            )
        self._decoding = checked_decoding(decode, image_size, output) if decodes else None
        self.rank, self.world_size = find_rank(rank, world_size)
        self.batch_size = batch_size
        self._remainder = remainder
        self._threads = threads
        self._on_error = on_error
        self._fetching = fetching or Fetching()
        self._repository = open_repository(repo, revision, cache=cache, retry=self._fetching.retry)
        self._cells = [
            plan_cell(
                self._repository,
                entry,
                where=expression,
                columns=self._columns,
                chunk_bytes=chunk_bytes,
            )
            for entry in find_cells(self._repository, wanted)
        ]
        self._mix = Mix(
            samples_per_epoch(
                {cell.name: len(cell) for cell in self._cells},
                weights=weights,
                temperature=temperature,
                epoch_samples=epoch_samples,
            )
        )
        self._positions = Positions(self._cells, self._mix, seed if shuffle else None)
        self._identity = {
            "seed": seed if shuffle else None,
            "chunk_bytes": chunk_bytes,
            "cells": {
                cell.name: [cell.digest, count]
                for cell, count in zip(self._cells, self._mix.counts, strict=True)
            },
        }
        self._place = Place()
        self.skipped: list[Skipped] = []
        """What this process has skipped, with `on_error="skip"`."""
        if remainder == "drop" and not self.layout(1).shares(self._mix.total)[0].samples:
            raise OptionError(
                f"remainder='drop' leaves nothing of {self._mix.total} samples: {world_size or 1} "
                f"ranks with batches of {batch_size or 1} need more."
            )
        self._warn_of_ragged_ranks()
        _register_with_torch()

    # Where it stands.

    @property
    def epoch(self) -> int:
        """The epoch that iterating goes on with."""
        return self._place.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless it is the one that is under way.

        To begin that one anew, load the state of a stream that has not begun.
        """
        epoch = whole_number("epoch", epoch, 0)
        if epoch != self._place.epoch:
            self._place = Place(epoch)

    def __len__(self) -> int:
        """Steps of this rank in the epoch, those that are done included."""
        spans, done = self._resume(self.layout(1))
        steps = divide(spans, self.layout(1))[self.rank][0].steps
        return steps + sum(taken for _, taken in self._place.done) - done

    def __repr__(self) -> str:
        cells = ", ".join(f"{cell.name}: {len(cell)}" for cell in self._cells)
        return (
            f"MellaStream({self._repository.storage.name}; {cells}; epoch {self.epoch}, "
            f"rank {self.rank} of {self.world_size})"
        )

    def progress(self) -> list[CellProgress]:
        """Return how far each cell has come, on all ranks together."""
        spans = self._remaining(self._place.done)
        left = np.zeros(len(self._cells), dtype=np.int64)
        for start, stop in spans:
            left += np.subtract(self._mix.before(stop), self._mix.before(start))
        return [
            CellProgress(cell.name, len(cell), count, count * (self.epoch + 1) - int(left[number]))
            for number, (cell, count) in enumerate(zip(self._cells, self._mix.counts, strict=True))
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return where this stream stands, as JSON-like values: the same on every rank.

        The workers of a torch `DataLoader` run ahead in other processes and move copies of this
        stream: read through `mella.loader.StreamLoader`, which counts what was handed out, or
        through torchdata's `StatefulDataLoader`, which keeps the states of all workers.
        """
        return to_state(self._place, self._identity)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another stream stood; ranks, workers and batch size may differ from then.

        Raises:
            StateError: It is the state of another choice of samples, or of another order.
        """
        place = from_state(state, self._identity)
        # A worker's own state goes back to it; in the main process it stands for the rank.
        self._place = place if find_worker() is not None else replace(place, worker=None)
        self._warn_of_ragged_ranks()

    def layout(self, workers: int) -> Layout:
        """Return how the samples are divided when each rank has so many workers."""
        return Layout(self.world_size, workers, self.batch_size or 1, self._remainder)

    def _remaining(self, done: Iterable[tuple[Layout, int]]) -> list[Span]:
        spans: list[Span] = [(0, self._mix.total)]
        for layout, steps in done:
            spans = remaining(spans, layout, steps)
        return spans

    def steps_done(self, layout: Layout) -> int:
        """Return how many steps of the division that is under way are done; 0 of a new one."""
        return self._resume(layout)[1]

    @property
    def place(self) -> Place:
        """Where the stream stands: for `move` and `end_epoch`."""
        return self._place

    def move(self, since: Place, layout: Layout, steps: int, worker: int | None = None) -> Place:
        """Say that so many steps of a division are done: for who reads through other processes.

        Args:
            since: Where the reader believes the stream to be: what its last move returned.
            layout: The division, that of the stream before or a new one.
            steps: Of each rank.
            worker: The part that this process reads, where it is not the whole of the rank.

        Returns:
            Where the stream is now.

        Raises:
            StateError: Somebody else has moved the stream since.
        """
        self._check_not_moved(since)
        self._place = since.moved(layout, steps, worker)
        return self._place

    def end_epoch(self, since: Place) -> None:
        """Say that the epoch is over.

        Raises:
            StateError: Somebody else has moved the stream since.
        """
        self._check_not_moved(since)
        self._place = Place(since.epoch + 1)

    def _check_not_moved(self, since: Place) -> None:
        if self._place is not since:
            raise StateError(
                "The stream was moved (by set_epoch, load_state_dict or another iterator) while "
                "this iterator was reading: its samples would be counted twice or not at all. "
                "Make a new iterator of the stream, or a second MellaStream."
            )

    def _resume(self, layout: Layout) -> tuple[list[Span], int]:
        """Return the positions that this layout divides, and how many steps of it are done."""
        done = self._place.done
        if done and done[-1][0] == layout:
            return self._remaining(done[:-1]), done[-1][1]
        return self._remaining(done), 0

    # Iterating.

    def __iter__(self) -> Iterator[Any]:
        """Yield batches or samples: those of this worker, in a worker of a torch DataLoader."""
        worker, workers = find_worker() or (0, 1)
        return self._iterate(worker, workers, moves=True)

    def __getitem__(self, number: int) -> NoReturn:
        """Raise TypeError: a stream has no random access."""
        raise TypeError(
            "A MellaStream is read in order. If this comes from a torch DataLoader: import torch "
            "before the stream is made, or use mella.loader.StreamLoader. For random access: "
            "load_mella(..., streaming=False) or open_samples."
        )

    def parts(self, count: int) -> list[Iterator[Any]]:
        """Return iterators that divide what is left of the epoch of this rank, one for each thread.

        They do not move the stream: `set_epoch` does.
        """
        whole_number("count", count, 1)
        return [self._iterate(worker, count, moves=False) for worker in range(count)]

    def _iterate(self, worker: int, workers: int, *, moves: bool) -> Iterator[Any]:
        layout, place = self.layout(workers), self._place
        epoch = place.epoch
        spans, done = self._resume(layout)
        # A DataLoader begins with its first worker, which so takes the next step.
        part = self._place.worker if self._place.worker is not None else (worker + done) % workers
        share, parts = divide(spans, layout)[self.rank]
        mine = after(parts[part], share.taken(part, workers, done))
        steps = range(done + (part - done) % workers, share.steps, workers)
        samples = self._samples(mine, epoch, in_parts=workers > 1)
        skipped: list[Skipped] = []
        try:
            for step, batch in self._batches(samples, share, steps, skipped):
                if moves:
                    place = self.move(place, layout, step + 1, part if workers > 1 else None)
                if self.batch_size is not None:
                    yield batch
                else:
                    yield from batch
            if moves:
                self.end_epoch(place)
        finally:
            samples.close()
            self.report(skipped)

    def _batches(
        self, samples: Iterator[Any], share: Share, steps: Iterable[int], skipped: list[Skipped]
    ) -> Iterator[tuple[int, list[Any]]]:
        for step in steps:
            batch = []
            for sample in islice(samples, share.size(step)):
                if type(sample) is Skipped:
                    self.skipped.append(sample)
                    skipped.append(sample)
                else:
                    batch.append(sample)
            yield step, batch

    def _samples(
        self, spans: list[Span], epoch: int, *, in_parts: bool
    ) -> Generator[Any, None, None]:
        """Yield the samples of these positions, or what was skipped."""
        view = self._view
        if "image" not in self._columns:
            rows = self._positions.rows(spans, epoch)
            yield from rows if view is None else map(view, rows)
            return
        make = sample_maker(
            self._repository,
            self._columns[1:],
            decoding=self._decoding,
            view=view,
            skip=self._on_error == "skip",
        )
        reads = read(self._repository, self._positions.takes(spans, epoch), self._fetching)
        threads = self._threads
        if threads is None:
            threads = 0 if in_parts or self._decoding is None else cores_of_rank()
        with closing(reads):
            if not threads:
                yield from map(make, reads)
                return
            with Threads(threads, patience=_PATIENCE) as pool:
                # Decoded pictures are large: so many of them wait at most.
                yield from pool.map(make, reads, ahead=threads + min(3 * threads, _DECODED_AHEAD))

    def report(self, skipped: Sequence[Skipped]) -> None:
        """Name skipped samples in a warning."""
        if skipped:
            named = "; ".join(f"{one.key} ({one.reason})" for one in skipped[:3])
            more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
            warnings.warn(
                f"{len(skipped)} samples were skipped: {named}{more}. MellaStream.skipped has all.",
                stacklevel=3,
            )

    def _warn_of_ragged_ranks(self) -> None:
        spans, _ = self._resume(self.layout(1))
        total = length(spans)
        steps = [share.steps for share in self.layout(1).shares(total)]
        if min(steps) < max(steps):
            more = steps.count(max(steps))
            warnings.warn(
                f"{total} samples do not divide by {self.world_size} ranks: the first {more} take "
                "one step more. Where all must take as many, as in training, give "
                "remainder='repeat' or 'drop', or a larger batch_size.",
                stacklevel=3,
            )


def _register_with_torch() -> None:
    """Make streams what torch takes for iterable, where it is loaded."""
    data: Any = sys.modules.get("torch.utils.data")
    if data:
        data.IterableDataset.register(MellaStream)
