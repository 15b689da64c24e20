"""Do work in threads that never keep a process from ending."""

import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_STEP = 1.0
"""Seconds after which an interrupt that was missed is seen."""
_Queue = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class Threads:
    """A pool of daemon threads, inside its `with`.

    That of `concurrent.futures` waits, when the interpreter ends, for what runs: an iterator that
    was left while a server was slow would keep the process.
    """

    def __init__(self, count: int, *, patience: float = 0.0) -> None:
        """Start so many threads.

        Args:
            count: Of the threads.
            patience: Seconds that the end of the `with`, or of the process, waits for what runs.
                Work that ends soon and runs native code needs some: where the end of the
                interpreter cuts a thread off inside such code, the process may abort.
        """
        if count < 1:
            raise ValueError(f"A pool has one thread or more, got count={count}.")
        self._work: _Queue = queue.SimpleQueue()
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        # Also where an iterator was left half-way, and the process ends with it.
        self._end = weakref.finalize(self, _end, self._work, threads, patience)

    def submit(self, work: Callable[[], R]) -> "Future[R]":
        """Have it done; the future holds what it returns or raises."""
        future: Future[R] = Future()
        self._work.put((future, work))
        return future

    def map(self, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
        """Yield `work(item)` in the order of the items, with up to `ahead` of them under way."""
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(self.submit(lambda item=item: work(item)))  # type: ignore[misc]
            if len(under_way) >= ahead:
                yield result_of(under_way.popleft())
        while under_way:
            yield result_of(under_way.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do not begin what waits, and have patience with what runs."""
        self._end()

    def _run(self) -> None:
        while (todo := self._work.get()) is not None:
            future, work = todo
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  (raised again where it is asked for)
                future.set_exception(error)
            del todo, future, work  # the result is not this thread's to keep while it waits


def result_of(future: "Future[R]") -> R:
    """Wait for a future, and return what it holds or raise it.

    In steps: CPython misses an interrupt that comes just before it begins to wait, until the wait
    is over.
    """
    while not future.done():
        with suppress(TimeoutError):
            future.exception(timeout=_STEP)
    return future.result()


def _end(work: _Queue, threads: list[threading.Thread], patience: float) -> None:
    with suppress(queue.Empty):
        while True:
            work.get_nowait()
    for _ in threads:
        work.put(None)
    until = time.monotonic() + patience
    for thread in threads:
        if thread is not threading.current_thread():  # one may collect a left iterator as garbage
            thread.join(max(0.0, until - time.monotonic()))
