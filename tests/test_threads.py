"""Threads that work in order, end when they should, and never keep a process from ending."""

import subprocess
import sys
import threading
import time
import weakref

import pytest

from mella.threads import Threads, result_of

LEFT = """
import os, sys, time
from mella.threads import Threads, result_of

def work():
    os.write(1, b"begun ")
    time.sleep(0.5)
    os.write(1, b"done ")

patience, way = float(sys.argv[1]), sys.argv[2]
def values():
    with Threads(1, patience=patience) as pool:
        yield from pool.map(lambda work: work(), [int, *[work] * 9], ahead=4)
left = values()
next(left)
time.sleep(0.1)
if way == "ended":
    left.close()
"""


def test_results_come_in_the_order_of_the_items() -> None:
    with Threads(3) as pool:
        assert list(pool.map(lambda number: number**2, range(50), ahead=5)) == [
            number**2 for number in range(50)
        ]
        assert list(pool.map(str, [], ahead=5)) == []


def test_no_more_than_so_many_items_are_under_way() -> None:
    drawn: list[int] = []
    with Threads(2) as pool:
        items = (drawn.append(number) or number for number in range(20))  # type: ignore[func-returns-value]
        for had, _ in enumerate(pool.map(int, items, ahead=4)):
            assert len(drawn) <= had + 4


def test_what_work_raises_is_raised_where_its_result_is_wanted() -> None:
    with Threads(2) as pool:
        results = pool.map(lambda number: 6 // number, [3, 2, 0], ahead=3)
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_a_result_that_is_a_timeout_is_raised() -> None:
    def work() -> None:
        raise TimeoutError("of the work itself")

    with Threads(1) as pool, pytest.raises(TimeoutError, match="of the work itself"):
        result_of(pool.submit(work))


def test_what_waits_is_not_begun_when_the_pool_ends() -> None:
    may_end, begun = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        may_end.wait()

    with Threads(1) as pool:
        running = pool.submit(first)
        waiting = pool.submit(int)
        begun.wait()
    assert not running.done()  # nor is what runs waited for
    may_end.set()
    running.result()
    assert not waiting.done()


def test_a_pool_with_patience_waits_for_what_runs() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        may_end.wait()
        return "done"

    with Threads(1, patience=60) as pool:
        running = pool.submit(work)
        begun.wait()
        threading.Timer(0.05, may_end.set).start()
    assert running.done()


def test_a_pool_may_end_in_one_of_its_own_threads() -> None:
    # As when the garbage collector runs there and finds an iterator that was left.
    pool = Threads(2, patience=60)
    pool.submit(lambda: pool.__exit__(None, None, None)).result()  # or it raises


def test_threads_that_wait_keep_no_result() -> None:
    class Result:
        pass

    with Threads(1) as pool:
        result = pool.submit(Result).result()
        kept = weakref.ref(result)
        del result
        for _ in range(1000):  # the thread is done with it a little later
            if kept() is None:
                break
            time.sleep(0.01)
        assert kept() is None


@pytest.mark.parametrize("way", ["left", "ended"])
@pytest.mark.parametrize(("patience", "told"), [(60, "begun done "), (0, "begun ")])
def test_a_process_that_ends_has_patience_with_what_runs(
    way: str, patience: float, told: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LEFT, str(patience), way],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == (told, "")
