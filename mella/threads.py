"""Do work in threads that never keep a process from ending."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """A pool of daemon threads, inside its `with`.

    That of `concurrent.futures` waits, when the interpreter ends, for what runs: an iterator that
    was left while a server was slow would keep the process.
    """

    def __init__(self, count: int) -> None:
        """Start so many threads."""
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._work = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

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
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Do not begin what waits, nor wait for what runs."""
        try:
            while True:
                self._work.get_nowait()
        except queue.Empty:
            pass
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (todo := self._work.get()) is not None:
            future, work = todo
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  (raised again where it is asked for)
                future.set_exception(error)
