"""Measure loading beside peers, interleaved in one run, and print each goal with what was reached.

    python benchmarks/loading.py [--samples 4000] [--rounds 5] [--only ROW ...]

Every number is a median over the rounds. "CPU" is the time of the process and of those it started,
"wall" the time that passes; both without start-up unless the row is about that. A ratio is the
peer's cost over mella's, in the median of the rounds. What cannot run is named and left out; the
status is 1 where a contender failed, and 0 where a goal is missed.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from contenders import SHARES
from debian import MissingPackageError
from measure import ContenderError, Line, Run, by_turns, cpu_seconds, in_process, ratio
from photos import Data
from servers import Distance, distant, nginx

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from hub_server import HubServer, Seen

ROOT = Path(__file__).parent.parent / "build" / "bench-loading"
CONTENDERS = str(Path(__file__).with_name("contenders.py"))
REPO = "org/mella"
BATCHES = 48
PHOTOS, LARGE_PHOTOS = 150, 40
_BUSY = 0.5
STARTS = {
    "mella": """
import sys
from mella import MellaStream
next(iter(MellaStream("th", "culture", repo=sys.argv[1], decode=False, shuffle=False)))
assert "torch" not in sys.modules
""",
    "webdataset": """
import glob, json, sys
import webdataset
files = sorted(glob.glob(sys.argv[1] + "/culture/th/*.tar"))
json.loads(next(iter(webdataset.WebDataset(files, shardshuffle=False)))["json"])
""",
    "datasets": """
import glob, sys
import datasets
files = {"train": sorted(glob.glob(sys.argv[1] + "/culture/th/*.tar"))}
loaded = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
next(iter(loaded.cast_column("jpg", datasets.Image(decode=False))))
""",
    "python alone": "",
}

Runs = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class Bench:
    """What the rows share."""

    data: Data
    rounds: int

    def measure(self, *arguments: object, environment: Mapping[str, str] | None = None) -> Any:
        """Run a function of `contenders` in a process of its own and return what it reports."""
        settings = {
            "HF_HOME": str(self.data.root / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            **(environment or {}),
        }
        return in_process([CONTENDERS, *map(str, arguments)], settings)

    def run(self, *arguments: object) -> Run:
        """Like `measure`, for what reports a `Run`."""
        return Run(**self.measure(*arguments))

    def read(self, readers: Sequence[str], root: str) -> Runs:
        """Let readers pass over the repository by turns, under a folder or URL."""
        warm, repository = (f"{root}/{f.name}" for f in (self.data.warm, self.data.repository))
        return by_turns(
            self.rounds,
            {name: partial(self.run, "read", name, warm, repository) for name in readers},
        )

    def median(self, *arguments: object) -> dict[str, float]:
        """Return the medians of the numbers that a contender reports."""
        reports = [self.measure(*arguments) for _ in range(self.rounds)]
        return {name: statistics.median(one[name] for one in reports) for name in reports[0]}


def local(bench: Bench) -> Iterator[Line]:
    """Bytes + JSON, local, one process."""
    runs = bench.read(("mella", "webdataset", "datasets"), str(bench.data.root))
    yield _times(runs, "webdataset", 3, "cpu")
    yield _times(runs, "datasets", 5, "cpu")
    peak = statistics.median(run.peak for run in runs["mella"]) / 1e6
    yield Line("peak resident memory <= 150 MB", f"{peak:.0f} MB", peak <= 150)


def decode(bench: Bench) -> Iterator[Line]:
    """Decode + resize to 448 x 448, antialiased, one thread."""
    for folder, count, goal in (
        (bench.data.photos, PHOTOS, ">= 2 x PIL bicubic (same filter), 80 KB"),
        (bench.data.large, LARGE_PHOTOS, ">= 2 x PIL bicubic, 2000 px photos"),
    ):
        seconds = bench.measure("decode", folder, count, bench.rounds)
        times = ratio(seconds["PIL"], seconds["mella"])
        costs = ", ".join(f"{who} {_milli(values)}" for who, values in seconds.items())
        yield Line(goal, f"{times:.2f} x CPU", times >= 2, f"CPU an image: {costs}")


def batches(bench: Bench) -> Iterator[Line]:
    """Batches of 32 at 448 x 448 on 2 cores: mella 2 threads, peers a DataLoader of 2 workers."""
    readers = ("mella_batches", "webdataset_pil_batches", "webdataset_fast_batches")
    available = bench.data.samples // 32 - 16
    count = min(BATCHES, available)
    runs = by_turns(
        bench.rounds,
        {who: partial(bench.run, "batches", who, bench.data.repository, count) for who in readers},
    )
    yield _times(runs, "webdataset_pil_batches", 2.5, "wall", ours="mella_batches")
    yield _times(runs, "webdataset_fast_batches", 1.2, "wall", ours="mella_batches")


def start(bench: Bench) -> Iterator[Line]:
    """Start to the first raw sample, whole process, local, no torch."""
    repository = str(bench.data.repository)
    runs = by_turns(
        1 + bench.rounds, {who: partial(_process, code, repository) for who, code in STARTS.items()}
    )
    wall = {who: statistics.median(run.wall for run in some[1:]) for who, some in runs.items()}
    cpu = {who: statistics.median(run.cpu for run in some[1:]) for who, some in runs.items()}
    detail = ", ".join(f"{who} {wall[who]:.2f} s ({cpu[who]:.2f} s CPU)" for who in runs)
    yield Line("<= 0.35 s wall", f"{wall['mella']:.2f} s", wall["mella"] <= 0.35, detail)


def keys(bench: Bench) -> Iterator[Line]:
    """One sample by its key; opening an index of 1 M rows."""
    p50 = bench.median("by_key", bench.data.repository)["p50"] * 1e6
    yield Line("by key, warm, p50 <= 60 us", f"{p50:.0f} us", p50 <= 60)
    times = bench.median("open_million", bench.data.one_shard, bench.data.million)
    milliseconds = {name: seconds * 1e3 for name, seconds in times.items()}
    # What is opened lazily is open when it gives a sample.
    first = milliseconds["by_number"]
    detail = (
        f"opened, and its length {milliseconds['open']:.0f} ms; to a sample by number "
        f"{first:.0f} ms; to a sample by key {milliseconds['by_key']:.0f} ms"
    )
    yield Line("opening 1 M rows <= 50 ms", f"{first:.0f} ms", first <= 50, detail)


def web(bench: Bench) -> Iterator[Line]:
    """HTTP from nginx on loopback."""
    readers = ("mella", "http_ranges", "http_bytes", "datasets")
    with nginx(bench.data.root, bench.data.root) as url:
        runs = bench.read(readers, url)
    yield _times(runs, "http_ranges", 0.6, "wall", samples=bench.data.samples)
    yield _times(runs, "http_bytes", None, "wall", samples=bench.data.samples)
    yield _times(runs, "datasets", 8, "wall", samples=bench.data.samples)


def far(bench: Bench) -> Iterator[Line]:
    """HTTP with 20 ms latency and 40 MB/s on each connection."""
    with distant(bench.data.root) as url:
        runs = bench.read(("mella", "http_stream"), url)
    yield _times(runs, "http_stream", 4, "wall")
    best = bench.data.samples * Distance().rate / _nbytes(bench.data.repository)
    speed = statistics.median(run.samples / run.wall for run in runs["mella"])
    yield Line("for comparison: connections kept busy", f"{speed / best:.1f}")


def resume(bench: Bench) -> Iterator[Line]:
    """Resume a shuffled stream over 1 M samples; a new process each time."""
    million, states = bench.data.million, bench.data.root / "states.json"
    bench.measure("save_states", million, states)
    runs = by_turns(
        bench.rounds,
        {share: partial(bench.measure, "resume", million, states, share) for share in SHARES},
    )
    medians = {
        share: statistics.median(one["resume"] for one in reports)
        for share, reports in runs.items()
    }
    opened = statistics.median(one["open"] for reports in runs.values() for one in reports)
    listed = ", ".join(f"at {share} {median:.3f} s" for share, median in medians.items())
    middle, times = medians["50 %"], max(medians.values()) / min(medians.values())
    detail = f"{listed}; opening before that {opened:.2f} s"
    yield Line("state to first sample <= 1 s", f"{middle:.3f} s", middle <= 1, detail)
    yield Line("independent of the position", f"slowest / fastest {times:.2f}", times <= 1.5)


def hub(bench: Bench) -> Iterator[Line]:
    """Calls to the Hub, counted at a local server that speaks its protocol."""
    calls = _calls(bench, "hub_first")
    asked = [one for one in calls if not one.path.startswith("/lfs/")]
    names = ", ".join(f"{one.method} {one.path.rpartition('/')[2]}" for one in asked)
    detail = f"{names}; and {len(calls) - len(asked)} to the storage that it names"
    yield Line("open to first sample <= 4 calls", f"{len(asked)}", len(asked) <= 4, detail)
    none, two = (_calls(bench, "hub_epoch", workers) for workers in (0, 2))
    extra = _metadata(two) - _metadata(none)
    detail = (
        f"where a shard lies was asked {_heads(two)} times by 2 workers, "
        f"{_heads(none)} times without workers"
    )
    yield Line("metadata calls of 2 workers: 0", f"{extra}", extra <= 0, detail)


ROWS: tuple[Callable[[Bench], Iterator[Line]], ...] = (
    local,
    decode,
    batches,
    start,
    keys,
    web,
    far,
    resume,
    hub,
)


def _times(
    runs: Runs,
    peer: str,
    goal: float | None,
    clock: Literal["cpu", "wall"],
    *,
    ours: str = "mella",
    samples: int | None = None,
) -> Line:
    """Compare with a peer, which has a goal by one clock and shows the other beside it."""
    costs = {
        (who, what): [getattr(run, what) / (samples or run.samples) for run in runs[who]]
        for who in (ours, peer)
        for what in ("cpu", "wall")
    }
    ratios = {what: ratio(costs[peer, what], costs[ours, what]) for what in ("cpu", "wall")}
    each = ", ".join(
        f"{who} {_micro(costs[who, 'cpu'])} CPU {_micro(costs[who, 'wall'])} wall"
        for who in (ours, peer)
    )
    measured = f"{ratios['cpu']:.2f} x CPU, {ratios['wall']:.2f} x wall"
    detail = f"a sample: {each}"
    if goal is None:
        return Line(f"for comparison: {peer}", measured, None, detail)
    by = {"cpu": "CPU", "wall": "wall"}[clock]
    return Line(f">= {goal:g} x {peer} ({by})", measured, ratios[clock] >= goal, detail)


def _micro(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1e6:.0f} us"


def _milli(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.2f} ms"


def _process(code: str, repository: str) -> Run:
    """Run a Python process from its start to its end."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    command = [sys.executable, "-c", code, repository]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise ContenderError(process.stderr.strip().splitlines()[-1])
    return Run(1, cpu_seconds() - cpu, time.perf_counter() - wall, 0)


def _nbytes(repository: Path) -> int:
    return sum(shard.stat().st_size for shard in repository.glob("culture/th/*.tar"))


def _calls(bench: Bench, contender: str, *arguments: object) -> list[Seen]:
    """Return the requests of a contender to a Hub that has the photos."""
    files = {
        str(file.relative_to(bench.data.one_shard)): file.read_bytes()
        for file in bench.data.one_shard.rglob("*")
        if file.is_file()
    }
    with HubServer() as server, TemporaryDirectory() as home:
        server.add_repo(REPO, files)
        settings = {"HF_ENDPOINT": server.endpoint, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
        bench.measure(contender, REPO, *arguments, environment=settings)
        return list(server.requests)


def _metadata(requests: Sequence[Seen]) -> int:
    """Count the requests that are not for a shard."""
    return sum(not one.path.endswith(".tar") for one in requests)


def _heads(requests: Sequence[Seen]) -> int:
    """Count the requests for a shard that bring none of its bytes."""
    return sum(one.path.endswith(".tar") and one.method == "HEAD" for one in requests)


def main() -> int:
    """Print the table; return the exit status."""
    names = [row.__name__ for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="ROW")
    options = parser.parse_args()
    bench = Bench(Data(ROOT.resolve(), options.samples), options.rounds)
    ROOT.mkdir(parents=True, exist_ok=True)
    print(_header(options.samples, options.rounds), flush=True)
    if os.getloadavg()[0] > _BUSY:
        print("This machine is busy with other work: wall times will tell little.", flush=True)
    failed = False
    for row in ROWS:
        if row.__name__ in options.only:
            print(f"\n{row.__name__}: {row.__doc__}", flush=True)
            failed |= not _show(row, bench)
    return int(failed)


def _header(samples: int, rounds: int) -> str:
    packages = ("mella", "webdataset", "datasets", "pillow", "torch", "cykooz-resizer")
    return (
        f"{samples} photos, {rounds} rounds, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {', '.join(f'{one} {_version(one)}' for one in packages)}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _show(row: Callable[[Bench], Iterator[Line]], bench: Bench) -> bool:
    """Print the lines of a row; return whether all contenders ran."""
    verdicts = {True: "reached", False: "missed", None: ""}
    try:
        for line in row(bench):
            print(f"  {verdicts[line.reached]:<8} {line.goal:<44} {line.measured}", flush=True)
            if line.detail:
                print(f"{'':11}{line.detail}", flush=True)
    except MissingPackageError as error:
        print(f"  skipped: {error}", flush=True)
    except ContenderError as error:
        print(f"  failed: {error}", flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
