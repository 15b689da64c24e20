"""What `load_mella` returns, in the hands of `datasets` and torch: nothing lost, nothing twice."""

import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets.distributed import split_dataset_by_node
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mella import load_mella
from mella.load import cut
from mella.plan import Cell
from mella.repository import FolderStorage, Repository
from repositories import build, samples, serve, stored_order

CELLS = {
    ("culture", "th", "train"): samples("culture", "th", 11),
    ("linguistics", "vi", "train"): samples("linguistics", "vi", 5),
}
ORDER = [one.key for one in stored_order(CELLS, shards=3)]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS, shards=3)


@pytest.fixture
def stream(repo: Path) -> datasets.IterableDataset:
    """Six shards, in two sources and languages."""
    return load_mella("all", repo=repo, decode=False)


def keys(rows: Any) -> list[str]:
    return [row["key"] for row in rows]


def whole(rows: list[Any]) -> list[Any]:
    """DataLoader gives what it is given."""
    return rows


# torch


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_share_the_samples(stream: datasets.IterableDataset, workers: int) -> None:
    loader = DataLoader(stream, batch_size=4, num_workers=workers, collate_fn=whole)
    batches = list(loader)
    found = [key for batch in batches for key in keys(batch)]
    assert sorted(found) == sorted(ORDER)
    if workers < 2:
        assert found == ORDER


def test_more_workers_than_shards_lose_nothing(tmp_path: Path) -> None:
    stored = samples("culture", "th", 5)
    loaded = load_mella("th", repo=build(tmp_path, {("culture", "th", "train"): stored}, shards=1))
    assert loaded.num_shards == 1
    loader = DataLoader(loaded.remove_columns("image"), batch_size=None, num_workers=2)
    assert keys(loader) == [one.key for one in stored]


def test_every_epoch_has_every_sample(stream: datasets.IterableDataset) -> None:
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    for _ in range(2):
        assert sorted(keys(loader)) == sorted(ORDER)


def test_workers_that_are_spawned_read_as_well(stream: datasets.IterableDataset) -> None:
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    assert sorted(keys(loader)) == sorted(ORDER)


def test_workers_read_from_a_web_server(repo: Path) -> None:
    with serve(repo) as server:
        loaded = load_mella("all", repo=server.url, decode=False)
        before = len(server.requests)
        assert keys(loaded) == ORDER  # this process has used its connection when it forks
        loader = DataLoader(loaded, batch_size=None, num_workers=2)
        assert sorted(keys(loader)) == sorted(ORDER)
        asked = {seen.path.rsplit(".", 1)[-1] for seen in server.requests[before:]}
        assert asked == {"tar"}  # neither manifest nor index are read again


def test_images_become_tensors(repo: Path) -> None:
    loaded = load_mella("vi", repo=repo, columns=["image", "width"]).with_format("torch")
    for row in DataLoader(loaded, batch_size=None, num_workers=2):
        assert row["image"].shape[0] == 3
        assert row["image"].shape[2] == row["width"]
        assert row["image"].dtype == torch.uint8


def test_ranks_share_the_samples(stream: datasets.IterableDataset) -> None:
    for world in (2, 3, 4):  # 6 shards: an even share, and samples taken in turn
        parts = [keys(split_dataset_by_node(stream, rank, world)) for rank in range(world)]
        assert sorted(key for part in parts for key in part) == sorted(ORDER)


@pytest.mark.parametrize("world", [2, 3, 4, 6, 8, 12, 24])
def test_ranks_share_the_pieces_and_fetch_nothing_in_vain(many: Path, world: int) -> None:
    with serve(many) as server:
        loaded = load_mella("th", repo=server.url, decode=False)
        assert loaded.num_shards == 24
        parts = [keys(split_dataset_by_node(loaded, rank, world)) for rank in range(world)]
        assert sorted(key for part in parts for key in part) == sorted(keys(loaded_here(many)))
        assert max(map(len, parts)) <= 240 / world + 3
        size = sum(tar.stat().st_size - 1024 for tar in many.rglob("*.tar"))
        assert sum(server.read(".tar").values()) == size


def loaded_here(folder: Path) -> datasets.IterableDataset:
    return load_mella("th", repo=folder, columns=["key"])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = {("culture", "th", "train"): samples("culture", "th", 240)}
    return build(tmp_path_factory.mktemp("many"), cells, shards=5)


@pytest.mark.parametrize(("rows", "few"), [(240, 24), (7, 1), (0, 1)])
def test_pieces_are_as_many_as_divide_well(tmp_path: Path, rows: int, few: int) -> None:
    cells = {
        ("culture", "th", "train"): samples("culture", "th", rows),
        ("linguistics", "th", "train"): [],
    }
    pieces = load_mella("th", repo=build(tmp_path, cells, shards=2), decode=False)
    assert pieces.num_shards == few
    assert len(keys(pieces)) == rows


@given(st.lists(st.integers(1, 60), max_size=5), st.integers(192, 400))
def test_pieces_have_a_row_each_and_every_row_once(sizes: list[int], last: int) -> None:
    cells = [cell_of(size) for size in (*sizes, last)]
    pieces = cut(Repository(FolderStorage(Path())), cells, ("image",), skip=False, decode=False)
    assert len(pieces) % 24 == 0
    for cell in cells:
        runs = [(piece.start, piece.stop) for piece in pieces if piece.cell is cell]
        assert [row for start, stop in runs for row in range(start, stop)] == [*range(len(cell))]
        assert all(start < stop for start, stop in runs)


def cell_of(rows: int) -> Cell:
    numbers = np.arange(rows)
    return Cell(
        name=f"culture/{rows}",
        shards=("a.tar",),
        shard=np.zeros(rows, np.int32),
        key=pa.array(map(str, numbers)),
        offset=numbers * 5000,
        nbytes=1 + numbers % 7 * 1000,
        xxh3=numbers.astype(np.uint64),
        chunk_ends=np.array([rows]),
        metadata=None,
        digest="",
    )


def test_a_map_style_data_set_is_read_at_random(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    loaded = load_mella("all", repo=repo, decode=False, streaming=False)
    assert [loaded[place]["key"] for place in (15, 0, 7)] == [ORDER[15], ORDER[0], ORDER[7]]
    loader = DataLoader(loaded, batch_size=None, num_workers=2, shuffle=True)
    found = keys(loader)
    assert sorted(found) == sorted(ORDER)


# datasets


def test_the_data_set_goes_to_another_process(stream: datasets.IterableDataset) -> None:
    assert list(pickle.loads(pickle.dumps(stream))) == list(stream)


def test_what_is_pickled_for_a_worker_is_not_the_whole_index(tmp_path: Path) -> None:
    cells = {("culture", "th", "train"): samples("culture", "th", 400, side=8)}
    repo = build(tmp_path, cells, shards=40)
    everything = len(pickle.dumps(load_mella("th", repo=repo)))
    one = load_mella("th", repo=repo, where=f"key == '{cells['culture', 'th', 'train'][0].key}'")
    # One sample of 400 in one shard of 40: what is left is mostly the manifest.
    assert len(pickle.dumps(one)) < everything / 2
    # All pieces share one plan, which has no texts.
    assert everything < 400 * 150


def test_shuffle_keeps_every_sample(stream: datasets.IterableDataset) -> None:
    shuffled = stream.shuffle(seed=3, buffer_size=4)
    orders = []
    for epoch in range(2):
        shuffled.set_epoch(epoch)
        orders.append(keys(shuffled))
    assert orders[0] != orders[1]
    assert orders[0] != ORDER
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(ORDER)
    shuffled.set_epoch(0)
    assert keys(shuffled) == orders[0]


def _shout(row: dict[str, Any]) -> dict[str, Any]:
    return {"text": row["text"].upper()}


def _is_vietnamese(row: dict[str, Any]) -> bool:
    return bool(row["lang"] == "vi")


def test_map_filter_select_take_skip(stream: datasets.IterableDataset) -> None:
    mapped = stream.map(_shout).filter(_is_vietnamese).select_columns(["key", "text"])
    assert keys(mapped) == ORDER[11:]
    assert all(row["text"] == row["text"].upper() for row in mapped)
    assert keys(stream.take(4)) == ORDER[:4]
    assert keys(stream.skip(4)) == ORDER[4:]
    assert keys(stream.rename_column("key", "id").map(lambda row: {"key": row["id"]})) == ORDER
    batches = list(stream.batch(5))
    assert [key for batch in batches for key in batch["key"]] == ORDER


def test_two_languages_are_interleaved(repo: Path) -> None:
    both = [load_mella(lang, repo=repo, columns=["key"]) for lang in ("th", "vi")]
    mixed = datasets.interleave_datasets(
        both, stopping_strategy="all_exhausted_without_replacement"
    )
    found = keys(mixed)
    assert found[:4] == [ORDER[0], ORDER[11], ORDER[1], ORDER[12]]
    assert sorted(found) == sorted(ORDER)
    assert keys(datasets.concatenate_datasets(both)) == ORDER


@pytest.mark.parametrize("stop", [1, 4, 5, 11, 15])
def test_reading_goes_on_where_it_stopped(repo: Path, stop: int) -> None:
    def fresh() -> datasets.IterableDataset:
        return load_mella("all", repo=repo, decode=False)

    first = fresh()
    rows = iter(first)
    begun = [next(rows)["key"] for _ in range(stop)]
    state = first.state_dict()
    resumed = fresh()
    resumed.load_state_dict(state)
    assert begun + keys(resumed) == ORDER


def test_an_iterator_can_be_left(stream: datasets.IterableDataset) -> None:
    for _ in range(3):
        assert next(iter(stream))["key"] == ORDER[0]
    assert keys(stream) == ORDER
