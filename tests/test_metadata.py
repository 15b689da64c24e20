"""`load_index`: the rows and columns of indexes, without an image."""

import pickle
import re
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pytest

from mella.errors import FormatError, RepositoryError, UnknownNameError, WhereError
from mella.metadata import load_index
from mella.schema import INDEX, METADATA
from repositories import Cell, Sample, build, samples, serve, stored_order

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "sr", "train"): samples("culture", "sr", 4),
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("linguistics", "th", "train"): samples("linguistics", "th", 3),
}
TH = {cell: stored for cell, stored in CELLS.items() if cell[1] == "th"}
ORDER = stored_order(TH)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS)


def test_it_has_the_rows_and_columns_of_the_indexes(repo: Path) -> None:
    rows = load_index("th", repo=repo)
    assert rows.schema.equals(INDEX)
    assert rows.count_rows() == len(ORDER)
    table = rows.to_table(columns=METADATA.names)
    assert table.to_pylist() == [one.metadata for one in ORDER]


def test_rows_are_counted_by_group(repo: Path) -> None:
    table = load_index("all", repo=repo).to_table(columns=["lang", "category"])
    counts = table.group_by(["lang", "category"]).aggregate([([], "count_all")]).to_pylist()
    found = {(row["lang"], row["category"]): row["count_all"] for row in counts}
    every = [one.metadata for stored in CELLS.values() for one in stored]
    assert found == {
        (lang, category): sum((row["lang"], row["category"]) == (lang, category) for row in every)
        for lang in ("sr", "th")
        for category in (None, "food", "dress")
    }


@pytest.mark.parametrize("where", ["width == 24", pc.field("width") == 24])
def test_filters_add_up(repo: Path, where: pc.Expression | str) -> None:
    rows = load_index("th", repo=repo, where=where)
    narrow = [one for one in ORDER if one.metadata["width"] == 24]
    assert rows.to_table()["key"].to_pylist() == [one.key for one in narrow]
    food = rows.to_table(columns=["key"], filter=pc.field("category") == "food")
    assert food["key"].to_pylist() == [
        one.key for one in narrow if one.metadata["category"] == "food"
    ]


def test_what_was_taken_down_is_left_out(tmp_path: Path) -> None:
    gone = [ORDER[0].key, ORDER[8].key]
    rows = load_index("th", repo=build(tmp_path, TH, tombstones=gone))
    left = [one.key for one in ORDER if one.key not in gone]
    assert rows.count_rows() == len(left)
    assert rows.to_table(columns=["key"])["key"].to_pylist() == left
    assert sum(batch.num_rows for batch in rows.to_batches(filter=pc.field("width") > 0)) == 8


def test_from_a_server_each_index_comes_once(repo: Path) -> None:
    with serve(repo) as server:
        rows = load_index("th", "culture", repo=server.url)
        for _ in range(2):
            assert rows.to_table(columns=["key"]).num_rows == 7
        assert [seen.path for seen in server.requests] == [
            "/manifest.json",
            "/index/culture/th/train.parquet",
        ]


def test_it_can_be_pickled_and_asked_where_it_lies(repo: Path) -> None:
    rows = load_index("th", repo=repo)
    again = pickle.loads(pickle.dumps(rows))
    assert again.to_table().equals(rows.to_table())
    assert all(str(repo) in path for path in again.files)


def test_what_is_not_there_is_refused_as_in_load_mella(repo: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown split 'dev'"):
        load_index("th", split="dev", repo="nosuch://place")
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        load_index("th", where="widht > 3", repo="nosuch://place")
    with pytest.raises(WhereError, match="not a filter"):
        load_index("th", where="width == 'wide'", repo="nosuch://place")
    with pytest.raises(RepositoryError, match=r"has no linguistics samples .* for sr"):
        load_index("sr", "linguistics", repo=repo)


def test_a_damaged_index_is_named(repo: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(repo, tmp_path / "copy"))
    path = copy / "index/culture/th/train.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=re.escape(str(path))):
        load_index("th", repo=copy)
