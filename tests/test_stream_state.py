"""Options that are refused, ranks that are found, and the state of a stream."""

import json
import pickle
import shutil
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mella import RepositoryError, UnknownNameError, WhereError
from mella.errors import OptionError
from mella.place import StateError
from mella.stream import MellaStream
from mella.weights import WeightsError
from repositories import build, samples
from streams import CELLS, keys, ranks, stream


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS, shards=3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weights": {"th": 1}}, WeightsError, "name all cells, or all languages, or all sources"),
        ({"weights": {}}, WeightsError, "weights names nothing"),
        ({"weights": {"th": 1, "culture": 1}}, WeightsError, "names culture, th: name all"),
        ({"weights": {"th": 1, "ko": 1}}, UnknownNameError, "Unknown name in weights 'ko'"),
        (
            {"weights": {"th": -1, "vi": 1}},
            WeightsError,
            "A weight is a number from 0 to 1e.100, got 'th'",
        ),
        ({"weights": {"th": 0, "vi": 0}}, WeightsError, "leaves no sample"),
        ({"temperature": 0}, WeightsError, "temperature is a number from 0.01, got 0"),
        ({"epoch_samples": 0}, WeightsError, "epoch_samples is a whole number from 1"),
        ({"rank": 1}, OptionError, "give both or neither"),
        ({"rank": 2, "world_size": 2}, OptionError, "from 0 below world_size=2, got 2"),
        ({"batch_size": 0}, OptionError, "batch_size is a whole number from 1, got 0"),
        ({"chunk_bytes": -1}, OptionError, "chunk_bytes is a whole number from 1"),
        ({"batch_size": 1.5}, OptionError, "batch_size is a whole number from 1, got 1.5"),
        ({"seed": None}, OptionError, "seed is a whole number, got None"),
        ({"threads": -1}, OptionError, "threads is a whole number from 0, got -1"),
        ({"decode": False, "image_size": 8}, OptionError, "image_size=8 goes with decode=True"),
        ({"remainder": "drop", "batch_size": 99}, OptionError, "leaves nothing of 53 samples"),
        ({"on_error": "ignore"}, UnknownNameError, "Unknown on_error 'ignore'. Known: raise, skip"),
        ({"remainder": "pad"}, UnknownNameError, "Unknown remainder 'pad'. Known: drop, keep"),
        ({"view": "chat"}, UnknownNameError, "Unknown view 'chat'"),
        ({"columns": ["txt"]}, UnknownNameError, "Unknown column 'txt'. Did you mean 'text'"),
        ({"where": "wdth > 1"}, UnknownNameError, "Unknown column 'wdth'. Did you mean 'width'"),
        ({"where": "width >"}, WhereError, "is not a filter"),
        ({"lang": "ko"}, RepositoryError, "no samples in split 'train' for ko. It has: culture"),
        ({"split": "test"}, RepositoryError, "no samples in split 'test'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    repo: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        stream(repo, **options)


# Ranks


def test_where_samples_do_not_divide_the_remainder_is_kept_repeated_or_dropped(repo: Path) -> None:
    wanted = {"keep": [14, 13, 13, 13], "repeat": [14] * 4, "drop": [13] * 4}
    for remainder, lengths in wanted.items():
        found = [[*one] for one in ranks(repo, 4, remainder=remainder)]
        assert list(map(len, found)) == lengths
        times = Counter(key for rows in found for key in keys(rows))
        assert len(times) == (52 if remainder == "drop" else 53)
        assert sum(times.values()) == sum(lengths)


def test_ragged_ranks_are_warned_of_where_they_matter(repo: Path) -> None:
    with pytest.warns(UserWarning, match="53 samples do not divide by 2 ranks: the first 1 take"):
        MellaStream("all", repo=repo, rank=0, world_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = MellaStream("all", repo=repo, rank=0, world_size=2, batch_size=4)
        MellaStream("all", repo=repo, rank=0, world_size=2, remainder="drop")
        MellaStream("all", repo=repo)
    end = MellaStream("all", repo=repo, batch_size=51)
    next(iter(end))
    one = MellaStream("all", repo=repo, rank=0, world_size=3, batch_size=4)
    with pytest.warns(UserWarning, match="2 samples do not divide by 3 ranks: the first 2 take"):
        one.load_state_dict(end.state_dict())


def test_the_rank_is_found_in_the_environment(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    one = stream(repo)
    assert (one.rank, one.world_size) == (1, 3)
    assert keys(one) == keys(stream(repo, rank=1, world_size=3))
    one = stream(repo, rank=0, world_size=1)
    assert (one.rank, one.world_size) == (0, 1)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(
        OptionError, match=r"\$RANK='first' and \$WORLD_SIZE='3' are not two numbers"
    ):
        stream(repo)

    monkeypatch.delenv("RANK")
    with pytest.raises(OptionError, match=r"\$RANK=None and \$WORLD_SIZE='3' are not two numbers"):
        stream(repo)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert stream(repo).world_size == 1


# State


def test_two_iterators_of_one_stream_do_not_move_it_both(repo: Path) -> None:
    one = stream(repo)
    first, second = iter(one), iter(one)
    next(first)
    next(second)  # goes on where the first is
    with pytest.raises(StateError, match="was moved"):
        next(first)
    assert len({*keys(second)}) == 51


@pytest.mark.parametrize("step", ["set_epoch", "load_state_dict"])
def test_an_iterator_of_a_stream_that_was_moved_ends_in_an_error(repo: Path, step: str) -> None:
    one = stream(repo)
    reading = iter(one)
    next(reading)
    if step == "set_epoch":
        one.set_epoch(3)
    else:
        one.load_state_dict(one.state_dict())
    with pytest.raises(StateError, match="was moved"):
        next(reading)
    assert one.epoch == (3 if step == "set_epoch" else 0)


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"version": 1},
        {"version": 1, "epoch": -1, "done": [], "worker": None, "order": {}},
        {"version": 1, "epoch": 0, "done": [[1, 1, 1, "keep", -5]], "worker": None, "order": {}},
        {"version": 1, "epoch": 0, "done": [[1, "1", 1, "keep", 5]], "worker": None, "order": {}},
        {"version": 1, "epoch": 0, "done": [7], "worker": None, "order": {}},
    ],
)
def test_what_is_no_state_is_refused(repo: Path, state: Any) -> None:
    with pytest.raises(StateError, match="no state of a MellaStream"):
        stream(repo).load_state_dict(state)


def test_numbers_of_numpy_are_numbers(repo: Path) -> None:
    size = [np.int64(8), 6]
    one = stream(repo, seed=np.int64(3), batch_size=np.int32(4), decode=True, image_size=size)
    next(iter(one))
    state = json.loads(json.dumps(one.state_dict()))
    again = stream(repo, seed=3, batch_size=4)
    again.load_state_dict(state)
    assert len([*again]) == 13


def test_a_state_of_another_order_is_refused_and_the_difference_named(
    repo: Path, tmp_path: Path
) -> None:
    state = stream(repo).state_dict()
    other = build(tmp_path, {**CELLS, ("culture", "vi", "train"): samples("culture", "vi", 9)})
    for changed, difference in [
        (stream(repo, seed=1), "seed=0 there and 1 here"),
        (stream(repo, shuffle=False), "seed=0 there and None here"),
        (stream(repo, chunk_bytes=9000), "chunk_bytes=8000 there and 9000 here"),
        (stream(repo, "th"), "culture/vi is not among the samples here"),
        (stream(repo, where="width > 24"), "culture/th has other samples or another weight"),
        (stream(repo, temperature=2), "has other samples or another weight"),
        (stream(other), "culture/vi has other samples"),
    ]:
        with pytest.raises(StateError, match=f"another order of samples: .*{difference}"):
            changed.load_state_dict(state)
    with pytest.raises(StateError, match="culture/vi was not among the samples there"):
        stream(repo).load_state_dict(stream(repo, "th").state_dict())
    with pytest.raises(StateError, match=r"This is no state of a MellaStream: \{'epoch': 3\}"):
        stream(repo).load_state_dict({"epoch": 3})


def test_a_state_is_small_and_stays_what_it_was(repo: Path) -> None:
    one = stream(repo)
    states = [(one.state_dict(), row["key"]) for row in one]
    assert len(json.dumps(states[20][0])) < 500
    for number in (0, 20, 51):
        state, key = states[number]
        again = stream(repo)
        again.load_state_dict(state)
        assert next(iter(again))["key"] == states[number + 1][1] != key


def test_the_data_may_have_moved(repo: Path, tmp_path: Path) -> None:
    one = stream(repo)
    begun = keys(islice(one, 20))
    moved = stream(Path(shutil.copytree(repo, tmp_path / "moved")))
    moved.load_state_dict(one.state_dict())
    assert begun + keys(moved) == keys(stream(repo))


def test_a_stream_goes_to_another_process(repo: Path) -> None:
    one = stream(repo)
    begun = keys(islice(one, 20))
    assert begun + keys(pickle.loads(pickle.dumps(one))) == keys(stream(repo))
