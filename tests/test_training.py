"""A training run that is killed and resumed is the run that nobody disturbed."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from repositories import Cell, Sample, build, samples
from training_loop import STEPS

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 130),
    ("linguistics", "th", "train"): samples("linguistics", "th", 73),
}
ALL = {one.key for stored in CELLS.values() for one in stored}
STEPS_OF_AN_EPOCH = 51  # 203 samples, 4 a batch
LOOP = Path(__file__).with_name("training_loop.py")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repo"), CELLS, shards=3)


def start(repo: Path, folder: Path, num_workers: int) -> subprocess.Popen[bytes]:
    """Begin to train, or go on, in a session of its own."""
    folder.mkdir(exist_ok=True)
    with (folder / "errors").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, LOOP, repo, folder, str(num_workers)],
            stderr=errors,
            start_new_session=True,
        )


def finish(run: subprocess.Popen[bytes], folder: Path) -> None:
    assert run.wait(timeout=300) == 0, (folder / "errors").read_text()


def train(repo: Path, folder: Path, num_workers: int) -> None:
    finish(start(repo, folder, num_workers), folder)


def train_and_kill(repo: Path, folder: Path, num_workers: int, step: int) -> int:
    """Go on until a step is in the log, then kill -9 the main process, wherever it is by then."""
    run = start(repo, folder, num_workers)
    while not any(number >= step for number, _, _ in logged(folder)):
        assert run.poll() is None, (folder / "errors").read_text()
        time.sleep(0.002)
    run.kill()
    run.wait()
    return run.pid


def wait_for_workers(session: int) -> None:
    """Return when nobody is left: workers see in seconds that none takes what they read."""
    with suppress(ProcessLookupError):
        while True:
            os.killpg(session, 0)
            time.sleep(0.02)


def logged(folder: Path) -> list[tuple[int, int, list[str]]]:
    """The whole lines of the log: step, epoch and keys."""
    log = folder / "log"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


def by_step(folder: Path) -> dict[int, Any]:
    """What each step saw; one that was done again must have seen the same."""
    found: dict[int, Any] = {}
    for step, *seen in logged(folder):
        assert found.setdefault(step, seen) == seen
    assert sorted(found) == list(range(1, STEPS + 1))
    return found


def model(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoint", weights_only=True)
    assert state["step"] == STEPS
    weights: dict[str, torch.Tensor] = state["model"]
    return weights


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_that_is_killed_sees_and_learns_the_same(
    repo: Path, tmp_path: Path, num_workers: int
) -> None:
    undisturbed, killed, other = (tmp_path / name for name in ("undisturbed", "killed", "other"))
    quiet = start(repo, undisturbed, num_workers)
    kills = sorted(random.Random(num_workers).sample(range(20, STEPS - 20), 3))
    sessions = [train_and_kill(repo, killed, num_workers, step) for step in kills]
    shutil.copytree(killed, other)
    train(repo, killed, num_workers)
    finish(quiet, undisturbed)
    for session in sessions:
        wait_for_workers(session)

    seen = by_step(undisturbed)
    assert by_step(killed) == seen
    assert len(logged(killed)) >= STEPS  # steps behind a checkpoint were done again
    weights = model(undisturbed)
    for name, value in model(killed).items():
        assert torch.equal(value, weights[name]), name

    # With another number of workers it goes on too: to other samples, but leaves none out.
    train(repo, other, num_workers + 1)
    _check_epochs(other)
    _check_epochs(undisturbed)


def _check_epochs(folder: Path) -> None:
    """Every sample comes once in each epoch, of which the last is not whole."""
    # What was done again, with other workers, took the place of what was done at first.
    last = {step: keys for step, _, keys in logged(folder)}
    order = [key for step in range(1, STEPS + 1) for key in last[step]]
    for start in range(0, len(order), len(ALL)):
        counts = Counter(order[start : start + len(ALL)])
        assert set(counts.values()) == {1}
        assert counts.keys() <= ALL
