"""The index: rows round-trip in the order of their bytes, and a wrong one is named."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.errors import FormatError, UnknownNameError, WhereError
from mella.index import ROW_GROUP, read_index, rows, select, write_index
from mella.schema import INDEX, LOCATION, METADATA
from repositories import build, samples

NAME = "here/index.parquet"
_VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    pa.int32(): st.integers(0, 2**31 - 1),
    pa.int64(): st.integers(0, 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_nan=False),
}
_rows = st.fixed_dictionaries(
    {
        column.name: _VALUES[column.type] | (st.none() if column.nullable else st.nothing())
        for column in INDEX
    }
)
_indexes = st.lists(
    _rows, max_size=5, unique_by=(lambda row: row["key"], lambda row: row["offset"])
)


def row(number: int, **more: Any) -> dict[str, Any]:
    required = {
        **dict.fromkeys(INDEX.names),
        **{column.name: 0 for column in LOCATION if column.name != "shard"},
        "key": f"k{number:06d}",
        "lang": "th",
        "source": "culture",
        "text": f"ช้าง {number}",
        "width": 100 + number % 900,
        "height": 100,
        "bytes": 1000,
        "sha256": f"{number:064x}",
        "shard": f"culture/th/{number // 10_000}.tar",
        "offset": number % 10_000 * 2048,
    }
    return {**required, **more}


def table(*contents: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(contents), INDEX)


def written(contents: pa.Table) -> bytes:
    file = io.BytesIO()
    write_index(contents, file)
    return file.getvalue()


@given(contents=_indexes)
def test_what_is_written_is_read_in_the_order_of_the_bytes(contents: list[dict[str, Any]]) -> None:
    back = read_index(written(table(*contents)), NAME)
    assert back.schema.equals(INDEX)
    assert rows(back) == sorted(contents, key=lambda one: (one["shard"].encode(), one["offset"]))


@given(contents=_indexes, data=st.data())
def test_the_same_rows_make_the_same_bytes(
    contents: list[dict[str, Any]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(contents))
    pieces = pa.concat_tables([table(one) for one in shuffled] or [table()])
    assert written(pieces) == written(table(*contents))


def test_a_large_index_makes_the_same_bytes_again() -> None:
    contents = table(*(row(number) for number in range(1000))).take(
        pa.array([number % 1000 for number in range(0, 7000, 7)])
    )
    assert written(contents) == written(contents.sort_by("key"))


def test_a_file_is_written_as_a_buffer_is(tmp_path: Path) -> None:
    write_index(table(row(1)), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == written(table(row(1)))


def test_other_programs_see_plain_columns_and_statistics() -> None:
    count = ROW_GROUP + 5
    numbers = pa.array(range(count))
    one = table(row(0))
    many = pa.table(
        {
            name: pa.concat_arrays([one[name].combine_chunks()] * 1).take(pa.array([0] * count))
            for name in INDEX.names
        },
        schema=INDEX,
    )
    keys = pc.binary_join_element_wise("k", numbers.cast(pa.string()), "")
    many = many.set_column(0, INDEX.field("key"), keys)
    many = many.set_column(INDEX.get_field_index("offset"), INDEX.field("offset"), numbers)
    file = pq.ParquetFile(io.BytesIO(written(many)))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        ROW_GROUP,
        5,
    ]
    offset = INDEX.get_field_index("offset")
    bounds = [file.metadata.row_group(i).column(offset).statistics for i in range(2)]
    assert [(b.min, b.max) for b in bounds] == [(0, ROW_GROUP - 1), (ROW_GROUP, ROW_GROUP + 4)]
    text = INDEX.get_field_index("text")
    assert not file.metadata.row_group(0).column(text).is_stats_set
    assert file.schema_arrow.equals(INDEX)
    assert file.metadata.metadata is None  # no Arrow schema of one version of pyarrow


def test_the_index_of_a_build_points_at_the_bytes(tmp_path: Path) -> None:
    stored = samples("culture", "th", 5)
    build(tmp_path, {("culture", "th", "train"): stored})
    path = "index/culture/th/train.parquet"
    found = rows(read_index((tmp_path / path).read_bytes(), path))
    assert [{name: one[name] for name in METADATA.names} for one in found] == [
        one.metadata for one in [*stored[::2], *stored[1::2]]
    ]
    images = {one.key: one.image for one in stored}
    for one in found:
        content = (tmp_path / one["shard"]).read_bytes()
        assert content[one["jpg_offset"] :][: one["jpg_size"]] == images[one["key"]]


# What is no index is not written.


def test_other_columns_are_not_written() -> None:
    right = table(row(1))
    for wrong in (
        right.drop_columns(["license"]),
        right.append_column("colour", [["red"]]),
        right.select(list(reversed(INDEX.names))),
        right.set_column(0, "key", pa.array([1])),
    ):
        with pytest.raises(FormatError, match="An index has the columns"):
            written(wrong)


def test_a_required_value_is_not_left_out() -> None:
    columns = [
        pa.array([None], column.type) if column.name in {"text", "shard"} else values
        for column, values in zip(INDEX, table(row(1)).columns, strict=True)
    ]
    with pytest.raises(FormatError, match="a value in every row of text, shard"):
        written(pa.table(columns, schema=INDEX))


def test_a_key_comes_once() -> None:
    with pytest.raises(FormatError, match="more than one has 'k000002'"):
        written(table(row(1), row(2), row(2, offset=5), row(3)))


# What is no index is not read.

DATA = written(table(*(row(number) for number in range(50))))


@given(length=st.integers(0, len(DATA) - 1))
def test_an_index_cut_short_is_named(length: int) -> None:
    with pytest.raises(FormatError, match=r"here/index.parquet .* Fetch or build it again"):
        read_index(DATA[:length], NAME)


@given(place=st.integers(0, len(DATA) - 1), bits=st.integers(1, 255))
def test_a_changed_byte_is_never_another_error(place: int, bits: int) -> None:
    changed = bytearray(DATA)
    changed[place] ^= bits
    try:
        read_index(bytes(changed), NAME)  # its hash is checked against the manifest before
    except FormatError as error:
        assert NAME in str(error)  # noqa: PT017  some changes cannot be seen here


def parquet(contents: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(contents, file)
    return file.getvalue()


@pytest.mark.parametrize("junk", [b"", b"PAR1", b"PAR1PAR1", b"\0" * 100, b"key,lang\na,th\n"])
def test_what_is_no_parquet_is_named(junk: bytes) -> None:
    with pytest.raises(FormatError, match=r"here/index.parquet is not a whole Parquet file"):
        read_index(junk, NAME)


def test_missing_columns_are_named() -> None:
    lacking = table(row(1)).drop_columns(["text", "jpg_size"])
    with pytest.raises(FormatError, match=r"not a mella index: it lacks text, jpg_size\. Fetch"):
        read_index(parquet(lacking), NAME)


def test_columns_of_another_type_are_named() -> None:
    other = table(row(1)).set_column(
        INDEX.get_field_index("width"), pa.field("width", pa.string()), pa.array(["wide"])
    )
    with pytest.raises(FormatError, match=r"here/index.parquet has a column of another type.*wide"):
        read_index(parquet(other), NAME)


def test_a_missing_value_in_a_required_column_is_named() -> None:
    loose = pa.schema([column.with_nullable(nullable=True) for column in INDEX])
    holes = pa.Table.from_pylist([row(1, sha256=None)], loose)
    with pytest.raises(FormatError, match=r"here/index.parquet has a column.*sha256"):
        read_index(parquet(holes), NAME)


def test_columns_that_a_newer_version_added_are_passed_over() -> None:
    newer = table(row(1)).append_column("colour", pa.array(["red"]))
    reordered = newer.select(list(reversed(newer.column_names)))
    assert rows(read_index(parquet(reordered), NAME)) == [row(1)]


# Filters.


def test_a_filter_keeps_rows_in_order() -> None:
    found = read_index(DATA, NAME, "width >= 120 and width < 123")
    assert found["key"].to_pylist() == ["k000020", "k000021", "k000022"]
    assert read_index(DATA, NAME, pc.field("width") == 120)["width"].to_pylist() == [120]
    assert read_index(DATA, NAME, "width < 0").num_rows == 0
    assert select(table(row(1), row(2)), "key == 'k000002'").num_rows == 1


def test_a_filter_that_does_not_fit_is_named() -> None:
    with pytest.raises(WhereError, match="not a filter of these columns"):
        read_index(DATA, NAME, "width == 'wide'")
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        read_index(DATA, NAME, "widht == 3")
