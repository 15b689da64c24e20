"""Write, read and filter the index: one Parquet row a sample, with where its bytes lie."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella.errors import FormatError, WhereError
from mella.schema import INDEX

if TYPE_CHECKING:
    import pyarrow.compute as pc

_AGAIN = "Fetch or build it again."
ROW_GROUP = 65_536
"""Rows of a row group: the unit that a metadata filter can pass over."""

# Nobody asks for a range of these, and their least and greatest values would be long.
_NOT_FILTERED = frozenset({"text", "text_en", "image_url", "page_url", "sha256", "xxh3"})
# Values that come again and again; of others a dictionary would only be a second copy.
_REPEATED = (
    *("lang", "script", "source", "text_origin", "page_url", "domain", "width", "height"),
    *("original_format", "category", "captioner", "translator", "license", "consent"),
    *("collected_at", "build", "shard"),
)
_ENCODED = pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False)
_LARGE = pa.schema(
    [
        pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type, f.nullable)
        for f in INDEX
    ]
)


def write_index(table: pa.Table, file: Path | io.BytesIO) -> None:
    """Write rows in the order of their shards, deterministically, with statistics to filter by.

    Raises:
        FormatError: The columns are not those of `mella.schema.INDEX`, a required one has missing
            values, or two rows have the same key.
    """
    if not table.schema.equals(INDEX):
        raise FormatError(f"An index has the columns\n{INDEX}\ngot\n{table.schema}")
    if holes := [f.name for f in INDEX if not f.nullable and table[f.name].null_count]:
        raise FormatError(f"An index needs a value in every row of {', '.join(holes)}.")
    if twice := _repeated(table["key"]):
        raise FormatError(f"An index has one row for each key; more than one has {twice!r}.")
    import pyarrow.compute as pc

    # Sorting copies a column into one piece, of which Arrow's `string` holds 2 GB: a cell may have
    # more text than that.
    large = table.cast(_LARGE)
    order = pc.sort_indices(large, sort_keys=[("shard", "ascending"), ("offset", "ascending")])
    statistics = [name for name in INDEX.names if name not in _NOT_FILTERED]
    with pq.ParquetWriter(
        file,
        INDEX,
        compression="zstd",
        use_dictionary=list(_REPEATED),
        write_statistics=statistics,
        write_page_checksum=True,  # so that a large file can be read in place, and is checked
        store_schema=False,
    ) as writer:
        for start in range(0, max(1, len(order)), ROW_GROUP):
            group = large.take(order.slice(start, ROW_GROUP)).cast(INDEX)
            writer.write_table(group, row_group_size=ROW_GROUP)


def open_index(data: bytes | pa.Buffer, name: str) -> pq.ParquetFile:
    """Open an index; nothing but its footer is read.

    Args:
        data: The Parquet file, in memory or mapped into it.
        name: Named in errors.

    Raises:
        FormatError: It is not an index.
    """
    try:
        file = pq.ParquetFile(
            pa.BufferReader(data), read_dictionary=["shard"], page_checksum_verification=True
        )
        there = file.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(name, error) from error
    if missing := [column for column in INDEX.names if column not in there]:
        raise FormatError(f"{name} is not a mella index: it lacks {', '.join(missing)}. {_AGAIN}")
    return file


def read_index(
    data: bytes | pa.Buffer,
    name: str,
    where: "pc.Expression | str | None" = None,
    columns: Sequence[str] = INDEX.names,
    *,
    row_group: int | None = None,
    encoded: bool = False,
) -> pa.Table:
    """Return rows and columns of an index, in the order of the file.

    Args:
        data: The Parquet file, in memory or mapped into it.
        name: Named in errors.
        where: Return the rows that it holds for, see `mella.where.parse_where`. Row groups that
            cannot have any are not read.
        columns: To return, in this order; only these and what `where` asks for are read.
        row_group: Return the rows of this one, and read no other; without `where`.
        encoded: Return "shard" as a dictionary.

    Raises:
        FormatError: It is not an index.
        WhereError: `where` does not fit its columns.
    """
    file = open_index(data, name)
    # Columns that a newer minor version of the format may have added are passed over.
    wanted = pa.schema([_ENCODED if encoded and c == "shard" else INDEX.field(c) for c in columns])
    try:
        if where is not None:
            table = _filter(data, where, wanted.names)
        elif row_group is not None:
            table = file.read_row_group(row_group, columns=wanted.names).select(wanted.names)
        else:
            table = file.read(columns=wanted.names).select(wanted.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(name, error) from error
    if table.schema.equals(wanted):
        return table  # to cast would import what takes as long as all of this
    try:
        return table.cast(wanted)
    except (pa.ArrowException, ValueError) as error:
        raise FormatError(f"{name} has a column of another type ({error}). {_AGAIN}") from error


def _filter(data: bytes | pa.Buffer, where: "pc.Expression | str", columns: list[str]) -> pa.Table:
    import pyarrow.dataset as ds

    from mella.where import parse_where

    expression = parse_where(where, INDEX)
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = ds.ParquetFileFormat(dictionary_columns=["shard"], default_fragment_scan_options=options)
    fragment = form.make_fragment(pa.BufferReader(data))
    try:
        return fragment.to_table(columns=columns, filter=expression)
    except pa.ArrowException as error:
        fragment.to_table()  # Is it the file that cannot be read?
        raise WhereError(f"where={str(where)!r} cannot be evaluated: {error}.") from error


def _damaged(name: str, error: Exception) -> FormatError:
    return FormatError(f"{name} is not a whole Parquet file ({error}). {_AGAIN}")


def select(table: pa.Table, where: "pc.Expression | str") -> pa.Table:
    """Return the rows that `where` holds for.

    Raises:
        WhereError: `where` does not fit the columns.
    """
    from mella.where import parse_where

    expression = parse_where(where, table.schema)
    try:
        return table.filter(expression)
    except pa.ArrowException as error:  # such as a division by zero
        raise WhereError(f"where={str(where)!r} cannot be evaluated: {error}.") from error


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as mappings from column to value."""
    result: list[dict[str, Any]] = table.to_pylist()
    return result


def _repeated(keys: pa.ChunkedArray) -> str | None:
    """One of the keys that occur more than once."""
    import pyarrow.compute as pc

    if pc.count_distinct(keys).as_py() == len(keys):
        return None
    counts = keys.value_counts()
    return str(counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[0])
