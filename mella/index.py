"""Write, read and filter the index: one Parquet row a sample, with where its bytes lie."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mella.errors import FormatError
from mella.schema import INDEX
from mella.where import parse_where

ROW_GROUP = 65_536
"""Rows of a row group: the unit that a metadata filter can pass over."""


def write_index(table: pa.Table, file: Path | io.BytesIO) -> None:
    """Write rows in the order of their shards, deterministically, with statistics to filter by.

    Raises:
        FormatError: The columns are not those of `mella.schema.INDEX`.
    """
    if not table.schema.equals(INDEX):
        raise FormatError(f"An index has the columns\n{INDEX}\ngot\n{table.schema}")
    ordered = table.sort_by([("shard", "ascending"), ("offset", "ascending")])
    pq.write_table(
        ordered,
        file,
        compression="zstd",
        row_group_size=ROW_GROUP,
        write_page_index=True,
        store_schema=False,
    )


def read_index(data: bytes, name: str, where: pc.Expression | str | None = None) -> pa.Table:
    """Return the rows of an index that `where` holds for.

    Args:
        data: The Parquet file.
        name: Named in errors.
        where: See `mella.where.parse_where`.

    Raises:
        FormatError: It is not an index, or `where` does not fit its columns.
    """
    try:
        table = pq.read_table(pa.BufferReader(data))
    except pa.ArrowInvalid as error:
        raise FormatError(
            f"{name} is not a Parquet file or is cut short ({error}). Fetch or build it again."
        ) from error
    missing = [column for column in INDEX.names if column not in table.column_names]
    if missing:
        raise FormatError(f"{name} is not a mella index: it lacks {', '.join(missing)}.")
    table = table.select(INDEX.names).cast(INDEX)
    return table if where is None else select(table, where)


def select(table: pa.Table, where: pc.Expression | str) -> pa.Table:
    """Return the rows that `where` holds for.

    Raises:
        FormatError: `where` does not fit the columns.
    """
    expression = parse_where(where, table.schema)
    try:
        return table.filter(expression)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FormatError(
            f"where={str(where)!r} does not fit the index: {error}. "
            f"Columns: {', '.join(table.column_names)}."
        ) from error


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as mappings from column to value."""
    result: list[dict[str, Any]] = table.to_pylist()
    return result
