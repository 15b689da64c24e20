"""Run independent tasks: here, or on a pool of local processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Protocol, Self, TypeVar

from mella.builders.engine.step import StepError

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs tasks; whether they are repeated or lost is settled by the files they write."""

    def map(self, fn: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Yield `fn(task)` for every task, in any order."""
        ...


class LocalExecutor:
    """Tasks on a pool of processes of this machine.

    Processes are spawned, not forked: the parent's Arrow and model threads do not survive a fork.
    """

    def __init__(self, workers: int) -> None:
        """Start no process yet.

        Args:
            workers: Processes; with 1, tasks run in the calling process.
        """
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def map(self, fn: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """Yield `fn(task)` for every task, in the order in which they end.

        Raises:
            StepError: A process died (killed, out of memory, crashed in native code).
        """
        if self.workers == 1 or len(tasks) == 1:
            yield from map(fn, tasks)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context)
        futures = [self._pool.submit(fn, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise StepError(
                "A worker process died (killed, out of memory, or crashed in native code). What is "
                "finished is kept: run the build again, with fewer workers if memory was short."
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
