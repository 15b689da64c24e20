"""A torch `DataLoader` over a `MellaStream` that can be resumed exactly, with workers.

from mella.loader import StreamLoader

stream = MellaStream("th", batch_size=32, image_size=448)
loader = StreamLoader(stream, num_workers=4)
for batch in loader:
    ...
    state = stream.state_dict()
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mella.errors import MellaError
from mella.making import Skipped
from mella.order import Layout, derive_seed
from mella.stream import MellaStream


class LoaderError(MellaError, ValueError):
    """A stream that a loader cannot count."""


class StreamLoader(DataLoader[Any]):
    """Reads a stream in worker processes, and moves it as its batches are handed out.

    So `stream.state_dict()` says what the training loop has had, not what workers have read ahead,
    and may be loaded with another number of workers or ranks. Workers are started for each epoch.
    The random numbers of the main process are left alone, so that a resumed run has the same ones;
    those of workers depend on its seed, the rank and the place in the stream.
    """

    def __init__(
        self,
        stream: MellaStream,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        prefetch_factor: int | None = None,
        pin_memory: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | None = None,
    ) -> None:
        """Read a stream.

        Args:
            stream: With a `batch_size`: the batches are made by it, not here.
            num_workers: Processes; 0: this one.
            collate_fn: Makes of a batch, a list, what is handed out. Default: the list.
            prefetch_factor: See `torch.utils.data.DataLoader`, as for those that follow.
            pin_memory: See there.
            timeout: See there.
            worker_init_fn: See there.
            multiprocessing_context: See there.

        Raises:
            LoaderError: The stream yields samples one by one.
        """
        if stream.batch_size is None:
            raise LoaderError("Give the stream a batch_size: its batches are what is counted here.")
        IterableDataset.register(MellaStream)
        self._stream = stream
        collate_fn = collate_fn or _as_it_is
        super().__init__(
            stream,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=_WithSkipped(collate_fn) if num_workers else collate_fn,
            prefetch_factor=prefetch_factor,
            pin_memory=pin_memory,
            timeout=timeout,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield what is left of the epoch of the stream; then the next begins."""
        stream = self._stream
        layout = stream.layout(max(1, self.num_workers))
        done = stream.steps_done(layout)
        self.generator.manual_seed(
            derive_seed(torch.initial_seed(), stream.rank, stream.epoch, done)
        )
        batches = super().__iter__()
        if self.num_workers == 0:
            return batches  # read in this process, the stream moves itself
        return _counted(batches, stream, layout, done)


def _counted(
    batches: Iterator[Any], stream: MellaStream, layout: Layout, done: int
) -> Iterator[Any]:
    """Move the stream as batches are handed out."""
    place = stream.place
    for steps, (batch, skipped) in enumerate(batches, start=done + 1):
        stream.skipped += skipped
        place = stream.move(place, layout, steps)
        yield batch
    stream.end_epoch(place)


class _WithSkipped:
    """Collates in a worker, and hands out what was skipped with the batch it is missing from."""

    def __init__(self, collate_fn: Callable[[Any], Any]) -> None:
        self._collate_fn = collate_fn

    def __call__(self, batch: Any) -> tuple[Any, list[Skipped]]:
        info: Any = get_worker_info()
        skipped: list[Skipped] = info.dataset.skipped
        new = [*skipped]
        skipped.clear()
        return self._collate_fn(batch), new


def _as_it_is(batch: Any) -> Any:
    return batch
