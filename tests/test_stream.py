"""`MellaStream`: every sample once, on any number of ranks and workers, wherever it is resumed."""

import json
import pickle
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from mella import FormatError, RepositoryError, UnknownNameError, WhereError
from mella.errors import OptionError
from mella.fetch import Fetching
from mella.http import Retry
from mella.place import StateError
from mella.stream import MellaStream
from mella.weights import WeightsError, samples_per_epoch
from repositories import Cell, Sample, build, samples, serve

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 31),
    ("culture", "vi", "train"): samples("culture", "vi", 8),
    ("linguistics", "th", "train"): samples("linguistics", "th", 14),
}
ALL = sorted(one.key for stored in CELLS.values() for one in stored)
SIZE = {one.key: one for stored in CELLS.values() for one in stored}
DOCS = Path(__file__).parent.parent / "docs" / "loading.md"
CHUNK = 8000  # bytes: about two samples
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


def stream(repo: Path | str, lang: Any = "all", **options: Any) -> MellaStream:
    # Sample by sample, ranks may differ by one: the tests want to see every sample once.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* do not divide by .* ranks")
        return MellaStream(lang, repo=repo, **{"chunk_bytes": CHUNK, "decode": False, **options})


def keys(found: Any) -> list[str]:
    """The keys of samples or of batches."""
    return [row["key"] for one in found for row in (one if isinstance(one, list) else [one])]


def ranks(
    repo: Path | str, world_size: int, state: Any = None, **options: Any
) -> Iterator[MellaStream]:
    first = stream(repo, rank=0, world_size=world_size, **options)
    for rank in range(world_size):
        one = copy(first)  # ranks have the same plan, and making it takes most of the time
        one.rank = rank
        if state is not None:
            one.load_state_dict(state)
        yield one


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


# What is read: a web server counts.


def stored_bytes(repo: Path) -> int:
    """All samples, without the two blocks that end each shard."""
    return sum(tar.stat().st_size - 1024 for tar in repo.rglob("*.tar"))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_all_ranks_together_fetch_every_byte_once(repo: Path, world_size: int) -> None:
    with serve(repo) as server:
        found = [key for one in ranks(server.url, world_size) for key in keys(one)]
        assert sorted(found) == ALL
        assert sum(server.read(".tar").values()) == stored_bytes(repo)
        assert found == keys(stream(repo))


def test_after_resuming_only_what_is_left_is_fetched(repo: Path) -> None:
    one, whole = stream(repo), keys(stream(repo))
    with serve(repo) as server:
        assert keys(islice(one, 40)) == whole[:40]
        resumed = stream(server.url)
        resumed.load_state_dict(one.state_dict())
        assert keys(resumed) == whole[40:]
        left = sum(len(SIZE[key].image) + 4096 for key in whole[40:])
        assert sum(server.read(".tar").values()) <= left


def test_a_filter_comes_before_the_order(repo: Path) -> None:
    for where in ("category == 'food' and width == 24", pc.field("quality_score") < 1):
        wanted = sorted(row["key"] for row in stream(repo) if _holds(row, where))
        found = keys(stream(repo, where=where))
        assert sorted(found) == wanted
        assert 0 < len(found) < len(ALL)


def _holds(row: dict[str, Any], where: Any) -> bool:
    if isinstance(where, str):
        return bool(row["category"] == "food" and row["width"] == 24)
    return bool(row["quality_score"] < 1)


def test_a_filter_that_holds_for_none_gives_nothing(repo: Path) -> None:
    one = stream(repo, where="width > 9000")
    assert [*one] == []
    assert len(one) == 0
    assert one.epoch == 1


def test_without_the_image_no_shard_is_read(repo: Path) -> None:
    with serve(repo) as server:
        found = [*stream(server.url, columns=["text", "key", "width"])]
        assert server.read(".tar") == {}
    assert [list(row) for row in found] == [["text", "key", "width"]] * 53
    assert keys(found) == keys(stream(repo))
    assert all(row["text"] == SIZE[row["key"]].metadata["text"] for row in found)


def test_columns_are_chosen(repo: Path) -> None:
    found = [*stream(repo, columns=["key", "image", "text"])]
    assert [list(row) for row in found] == [["image", "text", "key"]] * 53
    assert all(row["image"] == SIZE[row["key"]].image for row in found)


def test_takedowns_are_never_yielded(tmp_path: Path) -> None:
    gone = [CELLS["culture", "th", "train"][number].key for number in (0, 7)]
    found = keys(stream(build(tmp_path, CELLS, tombstones=gone)))
    assert sorted(found) == sorted(set(ALL) - set(gone))


# Threads


def test_parts_are_read_in_a_plain_thread_pool(repo: Path) -> None:
    one = stream(repo, batch_size=3)
    with ThreadPoolExecutor(4) as pool:
        found = [keys(batches) for batches in pool.map(lambda part: [*part], one.parts(4))]
    assert sorted(key for part in found for key in part) == ALL
    assert one.epoch == 0  # parts do not move the stream


def test_threads_decode_the_same_in_the_same_order(repo: Path) -> None:
    plain = [(row["key"], row["image"].tobytes()) for row in stream(repo, decode=True, threads=0)]
    for threads in (1, 4):
        found = stream(repo, decode=True, threads=threads)
        assert [(row["key"], row["image"].tobytes()) for row in found] == plain


@pytest.mark.parametrize("output", ["pil", "numpy", "torch"])
def test_images_come_in_the_size_and_form_that_is_asked_for(repo: Path, output: str) -> None:
    row = next(iter(stream(repo, decode=True, image_size=(16, 12), output=output)))
    shape = {"pil": "size", "numpy": "shape", "torch": "shape"}[output]
    wanted = {"pil": (16, 12), "numpy": (12, 16, 3), "torch": (3, 12, 16)}[output]
    assert tuple(getattr(row["image"], shape)) == wanted


def test_views(repo: Path) -> None:
    image, text = next(iter(stream(repo, view="pair")))
    assert (image, text) == (with_text(text).image, text)
    chat = next(iter(stream(repo, view="messages", batch_size=2)))
    assert [one["messages"][0]["role"] for one in chat] == ["user", "user"]
    named = next(iter(stream(repo, view=lambda row: row["key"])))
    assert named in SIZE


def with_text(text: str) -> Sample:
    return next(one for one in SIZE.values() if one.metadata["text"] == text)


# Damage


@pytest.fixture
def damaged(repo: Path, tmp_path: Path) -> tuple[Path, list[Sample]]:
    """A repository in which three samples have a changed byte: image, text, header."""
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    victims = [CELLS["culture", "th", "train"][number] for number in (3, 9, 15)]
    parts = [
        victims[0].image,
        victims[1].metadata["text"].encode(),
        f"{victims[2].key}.json".encode(),
    ]
    for tar in folder.rglob("culture-th-*.tar"):
        content = bytearray(tar.read_bytes())
        for part in parts:
            if (at := content.find(part)) >= 0:
                content[at + len(part) // 2] ^= 4
        tar.write_bytes(content)
    return folder, victims


@pytest.mark.parametrize("remote", [False, True])
def test_damage_is_named(damaged: tuple[Path, list[Sample]], *, remote: bool) -> None:
    folder, victims = damaged
    with serve(folder) as server:
        found: list[str] = []
        with pytest.raises(FormatError) as caught:
            found.extend(row["key"] for row in stream(server.url if remote else folder))
    first = next(key for key in keys(stream(folder, columns=["key"])) if key in keys_of(victims))
    assert found == keys(stream(folder, columns=["key"]))[: len(found)]
    assert f"has other bytes than the index says at sample {first}. " in str(caught.value)
    assert "culture/th/culture-th-train-0000" in str(caught.value)


def keys_of(stored: list[Sample]) -> list[str]:
    return [one.key for one in stored]


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_damaged_samples_are_skipped_counted_and_named(
    damaged: tuple[Path, list[Sample]], batch_size: int | None, *, remote: bool
) -> None:
    folder, victims = damaged
    with serve(folder) as server:
        one = stream(server.url if remote else folder, on_error="skip", batch_size=batch_size)
        with pytest.warns(UserWarning, match="3 samples were skipped: .*has other bytes"):
            found = [*one]
    assert sorted(keys(found)) == sorted(set(ALL) - set(keys_of(victims)))
    assert sorted(skipped.key for skipped in one.skipped) == sorted(keys_of(victims))
    assert {skipped.cell for skipped in one.skipped} == {"culture/th"}
    if batch_size:
        assert len(found) == len(one) == 14


@pytest.mark.parametrize("remote", [False, True])
def test_a_missing_shard_costs_itself_alone(repo: Path, tmp_path: Path, *, remote: bool) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    gone = "culture/vi/culture-vi-train-00001-of-00003.tar"
    (folder / gone).unlink()
    lost = keys_of(CELLS["culture", "vi", "train"][1::3])
    with serve(folder) as server:
        where = server.url if remote else folder
        with pytest.raises(RepositoryError, match=f"has no {gone}. The manifest names it"):
            list(stream(where))
        one = stream(where, on_error="skip")
        with pytest.warns(UserWarning, match="3 samples were skipped"):
            assert sorted(keys(one)) == sorted(set(ALL) - set(lost))
    assert sorted(skipped.key for skipped in one.skipped) == sorted(lost)


@pytest.mark.parametrize("remote", [False, True])
def test_a_shard_cut_short_is_named(repo: Path, tmp_path: Path, *, remote: bool) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    tar = folder / "culture/vi/culture-vi-train-00001-of-00003.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with (
        serve(folder) as server,
        pytest.raises(FormatError, match=r"train-00001.* is cut short at"),
    ):
        list(stream(server.url if remote else folder))


def test_a_repository_out_of_reach_is_never_skipped(repo: Path) -> None:
    with serve(repo) as server:
        retry = Retry(attempts=2, first_wait=0.01, longest_wait=0.01)
        one = stream(server.url, on_error="skip", fetching=Fetching(retry=retry))
        server._server.server_close()
    with pytest.raises(RepositoryError, match="Cannot read culture"):
        list(one)
    assert one.skipped == []


def test_a_view_that_fails_is_never_skipped(repo: Path) -> None:
    def fail(_: Any) -> None:
        raise FormatError("no")

    with pytest.raises(FormatError, match="no"):
        list(stream(repo, view=fail, on_error="skip"))


# The documentation.


def test_the_examples_run(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELLA_REPO", str(repo))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), names)
    assert names["state"]["done"][-1][-1] == 2
