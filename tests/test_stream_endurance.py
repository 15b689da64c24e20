"""Streams that run for long, or are left half-way: memory, threads, files, and the end."""

import gc
import json
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import pytest

from fault_server import Fault, FaultServer
from mella.loader import StreamLoader
from mella.stream import MellaStream
from repositories import build, samples

MIB = 1 << 20
LONG = """
import gc, json, os, sys, threading, time
from mella import Fetching
from mella.stream import MellaStream

options = json.loads(sys.argv[1])
leave, on_web = options.pop("leave"), options["repo"].startswith("http")
stream = MellaStream("th", chunk_bytes=60000, batch_size=8, **options)

def measure():
    while threading.active_count() > 1:  # those that fetched end when they see that they may
        time.sleep(0.01)
    gc.collect()
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident, len(gc.get_objects()), len(os.listdir("/proc/self/fd"))

had = 0
for epoch in range(1, 51):
    stream.set_epoch(epoch)
    for step, batch in enumerate(stream):
        had += len(batch)
        if leave and step == 4:
            break
    if epoch == 5:
        before = measure()
print(json.dumps([had, before, measure()]))
"""
LEAVE = """
import ast, sys
from mella.stream import MellaStream

def make():
    return MellaStream("th", chunk_bytes=60000, **ast.literal_eval(sys.argv[1]))

def inside():
    samples = iter(make())
    next(samples)

match sys.argv[2]:
    case "held to the end":
        samples = iter(make())
        next(samples)
    case "left in a function":
        inside()
    case "left in a cycle":
        box = [iter(make())]
        box.append(box)
        next(box[0])
        del box
    case "exit in the loop":
        for _ in make():
            sys.exit()
print("at the end")
"""
READ_ALL = """
import signal, sys
from mella.stream import MellaStream
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
stream = MellaStream("th", repo=sys.argv[1], shuffle=False, chunk_bytes=60000, threads=0)
for number, _ in enumerate(stream, start=1):
    print(number, flush=True)
"""
LEAVE_WORKERS = """
import sys
from itertools import islice
from torch.utils.data import DataLoader
from mella.loader import StreamLoader
from mella.stream import MellaStream

stream = MellaStream("th", repo=sys.argv[1], decode=False, batch_size=2, chunk_bytes=60000)
batches = iter(StreamLoader(stream, num_workers=2))
next(batches)
for persistent in (False, True):
    other = DataLoader(stream, batch_size=None, num_workers=1, persistent_workers=persistent)
    others = iter(other)
    next(others)
print("at the end")
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 samples of 10 KB, in 20 chunks of 60 KB."""
    cells = {("culture", "th", "train"): samples("culture", "th", 100, side=96)}
    return build(tmp_path_factory.mktemp("repo"), cells, shards=3)


@pytest.fixture(scope="module")
def small_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = {("culture", "th", "train"): samples("culture", "th", 100)}
    return build(tmp_path_factory.mktemp("small"), cells, shards=3)


# 50 epochs


def endure(repo: Path | str, **options: object) -> int:
    """How many samples 50 epochs yielded: with no more memory or files than the first five."""
    ran = subprocess.run(
        [sys.executable, "-c", LONG, json.dumps({"repo": str(repo), "leave": False, **options})],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    had, before, after = json.loads(ran.stdout)
    # An epoch has 1 MB of images: were one kept of each, or of every tenth, it would show.
    assert after[0] - before[0] < 4 * MIB
    # Over HTTP, a connection that a busy machine opens later, and keeps, has some 25 objects; what
    # an epoch left behind of a request would be more than four.
    assert after[1] - before[1] < (200 if str(repo).startswith("http") else 40)
    assert after[2] <= before[2]
    return int(had)


@pytest.mark.parametrize(
    "options",
    [
        {"decode": False},
        {"decode": False, "leave": True},
        {"image_size": 64, "threads": 3},
        {"image_size": 64, "threads": 3, "leave": True},
        {"columns": ["key", "text"]},
    ],
    ids=str,
)
def test_epochs_of_a_folder_take_no_more_memory(repo: Path, options: dict[str, object]) -> None:
    assert endure(repo, **options) == 50 * (40 if options.get("leave") else 100)


@pytest.mark.parametrize("leave", [False, True])
def test_epochs_over_http_take_no_more_memory(repo: Path, *, leave: bool) -> None:
    with FaultServer(repo) as server:
        had = endure(server.url, leave=leave, decode=False)
        assert had == 50 * (40 if leave else 100)
        assert server.connections < 50  # kept from epoch to epoch


def test_epochs_with_workers_leave_no_file_open_and_no_process(repo: Path) -> None:
    stream = MellaStream("th", repo=repo, decode=False, batch_size=8)
    batches = StreamLoader(stream, num_workers=2)

    def open_after(epochs: int) -> int:
        for _ in range(epochs):
            assert len(list(islice(batches, 5))) == 5
            assert len(list(batches)) == 8
        gc.collect()
        assert multiprocessing.active_children() == []
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_after(1)
    assert open_after(5) < before + 5  # others may open one; a leak would be one an epoch


# Left half-way

WAYS = ["held to the end", "left in a function", "left in a cycle", "exit in the loop"]


def leave(way: str, first: str = "", **options: object) -> None:
    """Leave an iterator half-way, and see the process end of itself and without a word."""
    command = [sys.executable, "-c", first + LEAVE, repr(options), way]
    _ends_quietly(subprocess.Popen(command, stdout=-1, stderr=-1, text=True))


def _ends_quietly(process: "subprocess.Popen[str]") -> None:
    try:
        _, errors = process.communicate(timeout=120)  # a process that hangs fails the test
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("way", WAYS)
def test_a_process_ends_when_a_folder_is_left_half_way(repo: Path, way: str) -> None:
    leave(way, repo=str(repo), decode=False)


@pytest.mark.parametrize("way", WAYS)
def test_a_process_ends_while_images_are_decoded(small_pictures: Path, way: str) -> None:
    # Enlarged, so that the threads are nearly always inside the native code of the resizer.
    leave(way, repo=str(small_pictures), image_size=(1000, 1000), threads=6)


def test_a_process_with_torch_ends_while_images_are_decoded(small_pictures: Path) -> None:
    # Its modules are taken apart before what the main module holds.
    leave("held to the end", "import torch", repo=str(small_pictures), image_size=64, threads=4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("decode", [True, False])
def test_a_process_ends_while_a_server_is_slow(repo: Path, way: str, *, decode: bool) -> None:
    with FaultServer(repo) as server:
        _get_slow(server)
        leave(way, repo=server.url, decode=decode, shuffle=False)


def _get_slow(server: FaultServer) -> None:
    """Take minutes for what is read of the last shard: ahead of need, where nothing is shuffled."""
    server.then(*[Fault(drip=60, suffix="-00002-of-00003.tar")] * 100)


def test_a_process_that_waits_for_a_slow_server_can_be_interrupted(repo: Path) -> None:
    with FaultServer(repo) as server:
        _get_slow(server)
        process = subprocess.Popen(
            [sys.executable, "-c", READ_ALL, server.url], stdout=-1, stderr=-1, text=True
        )
        assert process.stdout is not None
        while process.stdout.readline() != "66\n":  # samples of the shards before
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert "Exception ignored" not in errors


def test_a_process_ends_when_loaders_are_left_half_way(repo: Path) -> None:
    command = [sys.executable, "-c", LEAVE_WORKERS, str(repo)]
    _ends_quietly(subprocess.Popen(command, stdout=-1, stderr=-1, text=True))


def test_threads_end_when_an_iterator_is_left(repo: Path) -> None:
    before = threading.active_count()
    with FaultServer(repo) as server:
        iterators = [
            iter(MellaStream("th", repo=server.url, chunk_bytes=60000, threads=2, image_size=32))
            for _ in range(3)
        ]
        for iterator in iterators:
            next(iterator)
        assert threading.active_count() > before + 6
        del iterators, iterator
        gc.collect()
    while threading.active_count() > before:  # one that never ends is a test that never ends
        time.sleep(0.01)
