"""Streams in torch's `DataLoader`, in `StreamLoader` and in torchdata's `StatefulDataLoader`."""

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

from mella import FormatError
from mella.loader import LoaderError, StreamLoader
from mella.stream import MellaStream
from repositories import Cell, Sample, build, samples, serve

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 37),
    ("linguistics", "th", "train"): samples("linguistics", "th", 22),
}
ALL = sorted(one.key for stored in CELLS.values() for one in stored)
STEPS = 15  # 59 samples, 4 a batch
WORKERS = [0, 1, 2, 3]

IMPORTED_LATER = """
import sys
from mella.stream import MellaStream
stream = MellaStream("th", repo=sys.argv[1], decode=False, batch_size=8)
assert "torch" not in sys.modules
from torch.utils.data import DataLoader
try:
    list(DataLoader(stream, batch_size=None))
except TypeError as error:
    print(error)
from mella.loader import StreamLoader
print(sum(len(batch) for batch in StreamLoader(stream)))
"""
ONE_RANK = """
import json, sys
import torch.distributed as distributed
from mella.loader import StreamLoader
from mella.stream import MellaStream
repo, meeting, rank = sys.argv[1:]
distributed.init_process_group("gloo", f"file://{meeting}", rank=int(rank), world_size=2)
stream = MellaStream("th", repo=repo, decode=False, batch_size=4, chunk_bytes=8000)
keys, steps = [], []
for epoch in range(2):
    for batch in StreamLoader(stream, num_workers=epoch):
        distributed.barrier()  # hangs where one rank has a step more
        keys.append([sample["key"] for sample in batch])
    steps.append(len(keys))
print(json.dumps([stream.rank, stream.world_size, steps, keys]))
distributed.destroy_process_group()
"""


# Three workers on two cores are what is tested; torchdata is behind torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),
]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repo"), CELLS, shards=2)


def stream(repo: Path | str, **options: Any) -> MellaStream:
    # Sample by sample, ranks may differ by one: the tests want to see every sample once.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* do not divide by .* ranks")
        return MellaStream("th", repo=repo, **{"decode": False, "chunk_bytes": 8000, **options})


def keys(batches: Iterable[list[dict[str, Any]]]) -> list[str]:
    return [sample["key"] for batch in batches for sample in batch]


def loader(repo: Path | str, num_workers: int, **options: Any) -> tuple[StreamLoader, MellaStream]:
    one = stream(repo, batch_size=4, **options)
    return StreamLoader(one, num_workers=num_workers), one


# torch's DataLoader


@pytest.mark.parametrize("num_workers", WORKERS)
def test_batches_of_a_stream_come_through_a_dataloader(repo: Path, num_workers: int) -> None:
    one = stream(repo, batch_size=4)
    batches = DataLoader(one, batch_size=None, num_workers=num_workers)
    epochs = []
    for epoch in range(3):
        one.set_epoch(epoch)
        found = list(batches)
        assert [len(batch) for batch in found] == [4] * 14 + [3]
        assert sorted(keys(found)) == ALL
        assert len(batches) == len(found) == STEPS
        epochs.append(tuple(keys(found)))
    assert len(set(epochs)) == 3


@pytest.mark.parametrize("num_workers", WORKERS)
def test_samples_of_a_stream_are_batched_by_a_dataloader(repo: Path, num_workers: int) -> None:
    one = stream(repo)
    batches = DataLoader(one, batch_size=4, num_workers=num_workers, collate_fn=list)
    epochs = []
    for epoch in range(3):
        one.set_epoch(epoch)
        found = list(batches)
        assert max(len(batch) for batch in found) == 4
        assert sorted(keys(found)) == ALL
        epochs.append(tuple(keys(found)))
    assert len(set(epochs)) == 3


def test_spawned_workers_yield_what_forked_ones_do(repo: Path) -> None:
    spawned, forked = (
        keys(
            DataLoader(
                stream(repo),
                batch_size=4,
                num_workers=2,
                collate_fn=list,
                multiprocessing_context=how,
            )
        )
        for how in ("spawn", "fork")
    )
    assert sorted(spawned) == ALL
    assert spawned == forked


@pytest.mark.parametrize("batched", [True, False])
def test_workers_that_persist_go_on_from_epoch_to_epoch(repo: Path, *, batched: bool) -> None:
    def read(*, persistent: bool) -> list[list[str]]:
        one = stream(repo, batch_size=4 if batched else None)
        batches = DataLoader(
            one,
            batch_size=None if batched else 4,
            num_workers=2,
            collate_fn=list,
            persistent_workers=persistent,
        )
        epochs = []
        for epoch in range(3):
            one.set_epoch(epoch)
            epochs.append(keys(batches))
        return epochs

    epochs = read(persistent=True)
    assert [sorted(found) for found in epochs] == [ALL] * 3
    assert epochs == read(persistent=False)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_pictures_become_one_tensor(repo: Path, num_workers: int) -> None:
    one = stream(repo, decode=True, columns=["image", "key"], image_size=(16, 12), output="torch")
    found = list(DataLoader(one, batch_size=8, num_workers=num_workers))
    assert {tuple(batch["image"].shape[1:]) for batch in found} == {(3, 12, 16)}
    assert {batch["image"].dtype for batch in found} == {torch.uint8}
    assert sorted(key for batch in found for key in batch["key"]) == ALL


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("remainder", ["keep", "repeat", "drop"])
def test_ranks_take_as_many_steps(repo: Path, num_workers: int, remainder: Any) -> None:
    found = [
        list(
            DataLoader(
                stream(repo, batch_size=4, rank=rank, world_size=3, remainder=remainder),
                batch_size=None,
                num_workers=num_workers,
            )
        )
        for rank in range(3)
    ]
    assert len({len(batches) for batches in found}) == 1
    union = keys(batch for batches in found for batch in batches)
    if remainder == "keep":
        assert sorted(union) == ALL
    elif remainder == "repeat":
        assert len(union) == 60
        assert sorted(set(union)) == ALL
    else:
        assert len(union) == len(set(union)) == 48


def test_a_stream_is_what_torch_takes_for_iterable(repo: Path) -> None:
    assert isinstance(stream(repo), IterableDataset)


def test_a_stream_made_before_torch_was_imported_says_what_to_do(repo: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTED_LATER, str(repo)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "import torch before the stream is made, or use mella.loader.StreamLoader" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "59"


# StreamLoader


@pytest.mark.parametrize("num_workers", WORKERS)
def test_a_loader_resumes_exactly_at_every_place(repo: Path, num_workers: int) -> None:
    batches, one = loader(repo, num_workers)
    whole, states = [], [one.state_dict()]
    for _ in range(2):
        for batch in batches:
            whole.append(keys([batch]))
            states.append(one.state_dict())
            assert len(batches) == STEPS
    assert len(whole) == 2 * STEPS
    for steps in range(0, 2 * STEPS + 1, 4):
        again, other = loader(repo, num_workers)
        other.load_state_dict(states[steps])
        assert len(again) == STEPS
        rest = [keys([batch]) for _ in range(2 - steps // STEPS) for batch in again]
        assert rest == whole[steps : steps + len(rest)]
        assert len(rest) == 2 * STEPS - steps


def test_a_loader_without_workers_yields_what_the_stream_does(repo: Path) -> None:
    batches, one = loader(repo, 0)
    assert keys(batches) == keys(stream(repo, batch_size=4))
    assert one.epoch == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_place_is_that_of_what_was_handed_out(repo: Path, num_workers: int) -> None:
    batches, one = loader(repo, num_workers)
    had = keys(islice(batches, 3))
    assert sum(cell.seen for cell in one.progress()) == len(had) == 12
    # Iterating again goes on, as with the stream itself.
    had += keys(batches)
    assert sorted(had) == ALL
    assert one.epoch == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1, 2), (1, 3)),
        ((1, 2), (1, 0)),
        ((1, 0), (1, 2)),
        ((2, 1), (1, 2)),
        ((2, 2), (3, 1)),
        ((1, 3), (2, 2)),
    ],
)
@pytest.mark.parametrize("by", ["json", "torch"])
def test_another_number_of_ranks_or_workers_leaves_nothing_out(
    repo: Path, before: tuple[int, int], after: tuple[int, int], by: str
) -> None:
    had, states = [], []
    for rank in range(before[0]):
        batches, one = loader(repo, before[1], rank=rank, world_size=before[0])
        had += keys(islice(batches, 4))
        states.append(one.state_dict())
    assert all(state == states[0] for state in states)
    state = _through_json(states[0]) if by == "json" else _through_torch(states[0])
    ends = set()
    for rank in range(after[0]):
        batches, one = loader(repo, after[1], rank=rank, world_size=after[0])
        one.load_state_dict(state)
        rest = list(batches)
        ends.add((len(rest), one.epoch))
        had += keys(rest)
    assert sorted(had) == ALL
    assert len(ends) == 1


def _through_json(state: Any) -> Any:
    return json.loads(json.dumps(state))


def _through_torch(state: Any) -> Any:
    file = io.BytesIO()
    torch.save({"stream": state}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)["stream"]


def test_spawned_workers_go_on_where_forked_ones_stopped(repo: Path) -> None:
    whole = keys(loader(repo, 2)[0])
    batches, one = loader(repo, 2)
    had = keys(islice(batches, 5))
    other = stream(repo, batch_size=4)
    other.load_state_dict(one.state_dict())
    assert had + keys(StreamLoader(other, num_workers=2, multiprocessing_context="spawn")) == whole


def test_workers_fetch_ranges_of_shards_and_nothing_else(repo: Path) -> None:
    with serve(repo) as server:
        batches, _ = loader(server.url, 2)
        opened = len(server.requests)
        assert sorted(keys(batches)) == ALL
        asked = server.requests[opened:]
    assert all(seen.range and seen.path.endswith(".tar") for seen in asked)
    stored = sum(file.stat().st_size for file in repo.rglob("*.tar"))
    # Nothing twice: but for the gaps between samples, which are read too.
    assert sum(seen.sent for seen in asked) <= 1.1 * stored


def random_number(batch: list[Any]) -> int:
    return int(torch.randint(2**40, ())) if get_worker_info() else -1


def test_random_numbers_of_the_main_process_are_left_alone(repo: Path) -> None:
    for num_workers in (0, 2):
        batches, _ = loader(repo, num_workers)
        before = torch.get_rng_state()
        assert len(list(batches)) == STEPS
        assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_of_workers_depend_on_the_seed_and_the_place(repo: Path) -> None:
    def numbers(seed: int) -> list[list[int]]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            one = stream(repo, batch_size=4)
            batches = StreamLoader(one, num_workers=2, collate_fn=random_number)
            return [list(batches) for _ in range(2)]

    first = numbers(1)
    everything = [number for epoch in [*first, *numbers(2)] for number in epoch]
    assert len(set(everything)) == 4 * STEPS
    assert numbers(1) == first


def test_a_loader_wants_batches(repo: Path) -> None:
    with pytest.raises(LoaderError, match="batch_size"):
        StreamLoader(stream(repo))


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, str]:
    """A repository in which one byte of the image of one sample is another."""
    folder = build(tmp_path / "damaged", CELLS, shards=2)
    victim = CELLS["culture", "th", "train"][6]
    for shard in folder.rglob("*.tar"):
        content = bytearray(shard.read_bytes())
        at = content.find(victim.image)
        if at >= 0:
            content[at + 500] ^= 1
            shard.write_bytes(content)
    return folder, victim.key


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_sample_is_named_and_what_came_before_is_counted(
    damaged: tuple[Path, str], num_workers: int
) -> None:
    folder, key = damaged
    batches, one = loader(folder, num_workers)
    had: list[str] = []
    with pytest.raises(FormatError, match=key):
        had.extend(sample["key"] for batch in batches for sample in batch)
    assert sum(cell.seen for cell in one.progress()) == len(had) < len(ALL)


@pytest.mark.filterwarnings("ignore:1 samples were skipped")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_sample_is_skipped_and_no_other(
    damaged: tuple[Path, str], num_workers: int
) -> None:
    folder, key = damaged
    batches, one = loader(folder, num_workers, on_error="skip")
    found = list(batches)
    assert [skipped.key for skipped in one.skipped] == [key]
    assert sorted([*keys(found), key]) == ALL
    assert len(found) == STEPS


# torchdata's StatefulDataLoader


def stateful(repo: Path, num_workers: int, *, batched: bool, **options: Any) -> Any:
    return StatefulDataLoader(
        stream(repo, batch_size=4 if batched else None),
        batch_size=None if batched else 4,
        num_workers=num_workers,
        collate_fn=list,
        **options,
    )


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("every", [1, 4])
def test_a_stateful_dataloader_resumes_exactly(
    repo: Path, num_workers: int, *, batched: bool, every: int
) -> None:
    batches = stateful(repo, num_workers, batched=batched, snapshot_every_n_steps=every)
    whole, states = [], {}
    for batch in batches:
        whole.append(keys([batch]))
        states[len(whole)] = batches.state_dict()
    assert sorted(key for batch in whole for key in batch) == ALL
    for steps in (1, 6, 11, len(whole) - 1):
        again = stateful(repo, num_workers, batched=batched, snapshot_every_n_steps=every)
        again.load_state_dict(states[steps])
        assert [keys([batch]) for batch in again] == whole[steps:]


@pytest.mark.parametrize(("num_workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_a_stateful_dataloader_goes_on_from_epoch_to_epoch(
    repo: Path, num_workers: int, *, persistent: bool
) -> None:
    batches = stateful(repo, num_workers, batched=True, persistent_workers=persistent)
    epochs, states = [], []
    for epoch in range(4):
        batches.dataset.set_epoch(epoch)
        epochs.append(keys(batches))
        states.append(batches.state_dict())
    assert [sorted(found) for found in epochs] == [ALL] * 4
    assert len(set(map(tuple, epochs))) == 4
    again = stateful(repo, num_workers, batched=True, persistent_workers=persistent)
    again.load_state_dict(states[1])
    for epoch in (2, 3):
        again.dataset.set_epoch(epoch)
        assert keys(again) == epochs[epoch]


# Ranks


def test_ranks_of_torch_distributed_are_found_and_take_as_many_steps(
    repo: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", ONE_RANK, str(repo), str(tmp_path / "meeting")]
    ranks = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    found = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    assert [one[:2] for one in found] == [[0, 2], [1, 2]]
    assert found[0][2] == found[1][2] == [8, 16]
    for epoch in (slice(8), slice(8, 16)):
        union = [key for one in found for batch in one[3][epoch] for key in batch]
        assert sorted(union) == ALL


def test_ranks_of_the_environment_are_found(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    union = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        batches, one = loader(repo, 2)
        assert (one.rank, one.world_size) == (rank, 3)
        union += keys(batches)
    assert sorted(union) == ALL
