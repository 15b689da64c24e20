"""Measure contenders by turns, each in a process of its own, and set the result beside a goal."""

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")


class ContenderError(Exception):
    """A contender ended with an error."""


@dataclass(frozen=True)
class Run:
    """What one pass of a contender cost.

    Attributes:
        samples: How many it gave.
        cpu: Seconds of its process and of the processes it started.
        wall: Seconds.
        peak: Largest resident memory of its process since its start, in bytes.
    """

    samples: int
    cpu: float
    wall: float
    peak: int


@dataclass(frozen=True)
class Line:
    """A goal and what was measured.

    Attributes:
        goal: What should be, or what is compared.
        measured: What is.
        reached: None where there is no goal, only something to compare with.
        detail: The numbers behind it.
    """

    goal: str
    measured: str
    reached: bool | None = None
    detail: str = ""


def whole(samples: Iterable[Any]) -> Run:
    """Time one pass from its start to its end."""
    return _clock(samples, None, 1)


def steady(batches: Iterable[Sequence[Any]], *, skip: int, take: int, size: int) -> Run:
    """Time `take` batches of `size` samples after the first `skip`: pipelines and caches are full.

    What a pipeline has made in advance is the same at both ends, so that it counts for nothing.
    """
    iterator = iter(batches)
    for _ in islice(iterator, skip):
        pass
    return _clock(iterator, take, size)


def _clock(samples: Iterable[Any], take: int | None, size: int) -> Run:
    cpu, wall = cpu_seconds(), time.perf_counter()
    count = sum(1 for _ in islice(samples, take))
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    return Run(count * size, cpu, wall, peak_memory())


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children, those that still run too.

    Of children that run, only those that `multiprocessing` started are found.
    """
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return ended + sum(_running(child.pid) for child in multiprocessing.active_children())


def _running(child: int | None) -> float:
    # Behind the name, which is in brackets: state is field 3, user and system time 14 and 15.
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def peak_memory() -> int:
    """Return the largest resident memory so far, in bytes.

    Not `ru_maxrss`: a new process takes that over from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def report(result: Run | Mapping[str, Any]) -> None:
    """Print a result for `in_process` to read."""
    print(json.dumps(asdict(result) if isinstance(result, Run) else result))


def in_process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run a Python script in a process of its own and return the JSON of its last line.

    Raises:
        ContenderError: It ended with an error.
    """
    process = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise ContenderError(f"{' '.join(command[1:3])}: {last[0]}")
    return json.loads(process.stdout.splitlines()[-1])


def by_turns(rounds: int, contenders: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Run every contender once a round, in an order that turns, and return what each gave."""
    results: dict[str, list[Any]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(contenders[name]())
    return results


def ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    """Return how many times ours the peer's cost is: the median over the rounds."""
    return statistics.median(theirs / own for theirs, own in zip(peer, ours, strict=True))
