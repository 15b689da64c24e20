"""What is planned from an index: which rows, where they lie, and the chunks they are cut into."""

import hashlib
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.manifest import MANIFEST
from mella.plan import COLUMNS, check_names, cut_chunks, find_cells, plan_cell
from mella.repository import open_repository
from repositories import build, manifest_of, samples, stored_order

CELLS = {("culture", "th", "train"): samples("culture", "th", 23)}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS, shards=3)


def plan(folder: Path, **options):
    repository = open_repository(folder)
    (entry,) = find_cells(repository, check_names("th", "culture", "train"))
    return plan_cell(repository, entry, **options)


def test_rows_are_where_the_samples_lie(repo: Path) -> None:
    cell = plan(repo)
    for row, stored in enumerate(stored_order(CELLS, shards=3)):
        tar = (repo / cell.shards[cell.shard[row]]).read_bytes()
        blocks = tar[cell.offset[row] : cell.offset[row] + cell.nbytes[row]]
        assert blocks[:36] == f"{stored.key}.jpg".encode()
        assert blocks[512:].startswith(stored.image)
        assert cell.key[row].as_py() == stored.key


def test_an_index_in_another_order_is_put_in_order(repo: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    path = folder / "index/culture/th/train.parquet"
    table = pq.read_table(path)
    shuffled = np.random.default_rng(0).permutation(len(table))
    pq.write_table(table.take(pa.array(shuffled)), path, row_group_size=5)
    data = path.read_bytes()
    manifest = manifest_of(folder)
    (entry,) = manifest.indexes
    entry = replace(entry, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / MANIFEST).write_text(replace(manifest, indexes=(entry,)).to_json())
    for columns in (COLUMNS, ("key", "text")):
        there, here = plan(repo, columns=columns), plan(folder, columns=columns)
        assert here.key.equals(there.key)
        assert (here.xxh3 == there.xxh3).all()
        assert here.shards == there.shards
        assert (here.shard == there.shard).all()
        assert here.digest == there.digest
        if columns != COLUMNS:
            assert here.metadata is not None
            assert here.metadata["key"].to_pylist() == here.key.to_pylist()


def test_a_large_index_on_this_machine_is_read_in_place(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mella.repository._MAPPED", 1)
    monkeypatch.setattr("mella.storage.FolderStorage.read", read_only_the_manifest)
    assert len(plan(repo)) == 23


def read_only_the_manifest(self, path: str) -> bytes:
    assert path == MANIFEST
    return (self.folder / path).read_bytes()


def test_damage_in_an_index_that_is_read_in_place_is_noticed(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mella.repository._MAPPED", 1)
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    path = folder / "index/culture/th/train.parquet"
    content = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    column = next(group.column(i) for i in range(50) if group.column(i).path_in_schema == "xxh3")
    # In the middle of the data of a page: a hash that is another one.
    at = column.data_page_offset + column.total_compressed_size - 20
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(ValueError, match="is not a whole Parquet file"):
        plan(folder)


def test_a_plan_is_small_when_pickled(repo: Path) -> None:
    assert len(pickle.dumps(plan(repo))) < 23 * 100 + 2000


sizes = st.lists(st.tuples(st.integers(0, 5), st.integers(512, 9000)), max_size=60)


@given(sizes, st.sampled_from([1000, 5000, 20_000, 10**9]))
def test_chunks_cover_all_rows_and_none_lies_in_two_shards(
    rows: list[tuple[int, int]], chunk_bytes: int
) -> None:
    rows = sorted(rows)
    shard = np.array([one for one, _ in rows], np.int32)
    nbytes = np.array([size for _, size in rows], np.int64)
    ends = cut_chunks(shard, nbytes, chunk_bytes).tolist()
    assert ends == sorted(set(ends))
    assert (ends or [0])[-1] == len(rows)
    for start, stop in zip([0, *ends], ends, strict=False):
        assert len(set(shard[start:stop].tolist())) == 1
        # No larger than asked for by more than a sample at its begin and one at its end.
        assert nbytes[start:stop].sum() <= chunk_bytes + 2 * 9000


def test_chunks_of_a_shard_are_about_equal() -> None:
    ends = cut_chunks(np.zeros(1000, np.int32), np.full(1000, 80_000), 4 << 20)
    assert len(ends) == 21
    assert set(np.diff(ends, prepend=0).tolist()) == {47, 48}


def test_chunks_of_tiny_samples_have_a_thousand_at_most() -> None:
    ends = cut_chunks(np.zeros(5000, np.int32), np.full(5000, 512), 4 << 20)
    assert np.diff(ends, prepend=0).max() <= 1024
