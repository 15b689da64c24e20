"""The order of streams: shared exactly by ranks and workers, mixed by weight, resumed exactly."""

import json
import pickle
from collections import Counter
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest

from mella.stream import MellaStream
from mella.weights import samples_per_epoch
from repositories import build
from streams import ALL, CELLS, SIZE, keys, ranks, stream

# Not all positions divide by all numbers of ranks: test_stream_state.py has the warning.
pytestmark = pytest.mark.filterwarnings("ignore:.*do not divide by:UserWarning")
MIXES: dict[str, dict[str, Any]] = {
    "one cell": {"lang": "th", "source": "culture"},
    "by size": {"lang": "all"},
    "weighted": {"lang": "all", "weights": {"th": 1, "vi": 2}, "epoch_samples": 60},
    "unshuffled": {"lang": "all", "shuffle": False},
}


@pytest.fixture(scope="module")
def repos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same samples in 1 to 9 shards a cell."""
    return {n: build(tmp_path_factory.mktemp(f"in{n}"), CELLS, shards=n) for n in range(1, 10)}


@pytest.fixture
def repo(repos: dict[int, Path]) -> Path:
    return repos[3]


# The grid: world size 1-8 x workers 0-4 x shards 1-9 x mixing.


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("shards", range(1, 10))
def test_ranks_and_workers_share_an_epoch_exactly(
    repos: dict[int, Path], shards: int, mix: str
) -> None:
    options = {**MIXES[mix], "columns": ["key"]}
    whole = keys(stream(repos[shards], **options))
    if mix != "weighted":
        wanted = CELLS if options["lang"] == "all" else [("culture", "th", "train")]
        assert sorted(whole) == sorted(one.key for cell in wanted for one in CELLS[cell])
    for world_size, batch_size in product(range(1, 9), (None, 4)):
        of_ranks = [*ranks(repos[shards], world_size, batch_size=batch_size, **options)]
        for workers in (1, 2, 3, 4, 0):
            check_division(of_ranks, workers, whole)


def check_division(of_ranks: list[MellaStream], workers: int, whole: list[str]) -> None:
    """The ranks of an epoch, read by so many workers each: 0 is the stream itself."""
    found = []
    steps = []
    for one in of_ranks:
        length = len(one)
        parts = [list(part) for part in (one.parts(workers) if workers else [iter(one)])]
        found.append([key for part in parts for key in keys(part)])
        steps.append(sum(map(len, parts)))
        assert steps[-1] == length
    flat = [key for of_rank in found for key in of_rank]
    assert Counter(flat) == Counter(whole)
    if workers == 0:  # the ranks, one after another, have the order of a single one
        assert flat == whole
    assert max(map(len, found)) - min(map(len, found)) <= 1
    assert len(set(steps)) == 1 or of_ranks[0].batch_size is None


@pytest.mark.parametrize("mix", MIXES)
def test_resuming_at_another_world_size_goes_on_with_the_same_sequence(
    repo: Path, mix: str
) -> None:
    options = {**MIXES[mix], "columns": ["key"]}
    whole = keys(stream(repo, **options))
    for position in range(0, len(whole) + 1, 10):
        first = stream(repo, **options)
        begun = keys(islice(first, position))
        assert begun == whole[:position]
        state = json.loads(json.dumps(first.state_dict()))
        for world_size in range(1, 9):
            rest = [keys(one) for one in ranks(repo, world_size, state, **options)]
            assert begun + [key for of_rank in rest for key in of_rank] == whole


@pytest.mark.parametrize("mix", MIXES)
def test_resuming_from_several_ranks_to_several_others_is_exact(repo: Path, mix: str) -> None:
    options = {**MIXES[mix], "columns": ["key"], "batch_size": 2}
    whole = Counter(keys(stream(repo, **options)))
    for before, after, steps in product((1, 2, 3, 8), (1, 2, 5, 8), (1, 2, 3)):
        begun: list[str] = []
        states = []
        for one in ranks(repo, before, **options):
            begun += keys(islice(one, steps))
            states.append(one.state_dict())
        assert all(state == states[0] for state in states)  # any rank's will do
        if states[0]["epoch"] == 1:  # all was taken: what comes next is the next epoch
            assert Counter(begun) == whole
            continue
        middle: list[str] = []
        for one in ranks(repo, after, states[0], **options):
            middle += keys(islice(one, 2))
            state = one.state_dict()
        rest = [key for one in ranks(repo, before + 1, state, **options) for key in keys(one)]
        if state["epoch"] == 1:
            rest = []
        assert Counter(begun) + Counter(middle) + Counter(rest) == whole


def test_a_run_that_is_resumed_as_it_was_sees_what_it_would_have_seen(repo: Path) -> None:
    for world_size, batch_size in product((1, 3), (None, 4)):
        for rank in range(world_size):
            options = {"rank": rank, "world_size": world_size, "batch_size": batch_size}
            undisturbed = [*stream(repo, **options)]
            for stop in range(len(undisturbed) + 1):
                one = stream(repo, **options)
                begun = [*islice(one, stop)]
                again = stream(repo, **options)
                again.load_state_dict(pickle.loads(pickle.dumps(one.state_dict())))
                assert len(again) == len(undisturbed)
                assert [*begun, *again] == undisturbed


def test_the_next_epoch_follows_and_is_in_another_order(repo: Path) -> None:
    one = stream(repo)
    epochs = [keys(one) for _ in range(3)]
    assert one.epoch == 3
    assert all(sorted(epoch) == ALL for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    one.set_epoch(1)
    assert keys(one) == epochs[1]
    fresh = stream(repo)
    fresh.set_epoch(2)
    assert keys(fresh) == epochs[2]


def test_setting_the_epoch_that_is_under_way_loses_nothing(repo: Path) -> None:
    one = stream(repo)
    whole = keys(one)
    state = stream(repo)
    begun = keys(islice(state, 20))
    state.set_epoch(0)
    assert begun + keys(state) == whole


def test_seeds_have_orders_of_their_own_and_keep_them(repo: Path) -> None:
    assert keys(stream(repo, seed=1)) == keys(stream(repo, seed=1))
    assert keys(stream(repo, seed=1)) != keys(stream(repo, seed=2))


def test_without_shuffling_each_cell_comes_as_it_is_stored(repo: Path) -> None:
    found = [*stream(repo, shuffle=False)]
    for source, lang, _ in CELLS:
        of_cell = [row["key"] for row in found if (row["source"], row["lang"]) == (source, lang)]
        stored = CELLS[source, lang, "train"]
        assert of_cell == [one.key for number in range(3) for one in stored[number::3]]
    assert found == [*stream(repo, shuffle=False)]


def test_what_is_yielded_is_what_is_stored(repo: Path) -> None:
    for row in stream(repo):
        stored = SIZE[row["key"]]
        assert row == {"image": stored.image, **stored.metadata}


# Weights


def test_an_epoch_has_of_each_cell_what_the_weights_say(repo: Path) -> None:
    weights = {"culture/th": 1, "culture/vi": 1, "linguistics/th": 2}
    one = stream(repo, weights=weights, epoch_samples=80)
    assert [(p.name, p.per_epoch) for p in one.progress()] == [
        ("culture/th", 20),
        ("culture/vi", 20),
        ("linguistics/th", 40),
    ]
    seen: Counter[str] = Counter()
    for epoch in range(1, 8):
        rows = [*one]
        assert Counter((r["source"], r["lang"]) for r in rows) == {
            ("culture", "th"): 20,
            ("culture", "vi"): 20,
            ("linguistics", "th"): 40,
        }
        # Any stretch is mixed alike.
        for start in range(0, 80, 8):
            part = Counter((r["source"], r["lang"]) for r in rows[start : start + 8])
            assert part == {("culture", "th"): 2, ("culture", "vi"): 2, ("linguistics", "th"): 4}
        seen.update(r["key"] for r in rows)
        for progress in one.progress():
            cell = (*progress.name.split("/"), "train")
            times = [seen[stored.key] for stored in CELLS[cell]]  # type: ignore[index]
            assert sum(times) == progress.seen == progress.per_epoch * epoch
            assert max(times) - min(times) <= 1  # every sample equally often
            assert progress.epochs == progress.seen / progress.samples


def test_progress_counts_all_ranks_in_the_middle_of_an_epoch(repo: Path) -> None:
    one = stream(repo, rank=1, world_size=2, batch_size=5)
    next(iter(one))
    assert sum(progress.seen for progress in one.progress()) == 10


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [90, 9, 1]),
        ({"epoch_samples": 10}, [9, 1, 0]),
        ({"temperature": 2}, [70, 22, 8]),  # 9.49 : 3 : 1
        ({"temperature": float("inf")}, [34, 33, 33]),
        ({"weights": {"culture": 1, "linguistics": 0}}, [91, 9, 0]),
        ({"weights": {"th": 1, "vi": 1}, "epoch_samples": 182}, [90, 91, 1]),
        ({"weights": {"culture/th": 2, "culture/vi": 1, "linguistics/th": 1}}, [50, 25, 25]),
    ],
)
def test_weights(options: dict[str, Any], wanted: list[int]) -> None:
    sizes = {"culture/th": 90, "culture/vi": 9, "linguistics/th": 1}
    assert samples_per_epoch(sizes, **options) == wanted
