"""Bring rows with equal values together: scatter parts into buckets, and gather them back.

Three rounds of independent tasks, each writing files that the next one reads:
*scatter* cuts a part into buckets by the hash of a column, *apply* runs a step on a bucket, and
*gather* (for steps that do not expand) brings the new columns back to the parts' order.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mella.builders.engine.parts import write_atomically

PART = "__part"
ROW = "__row"


def bucket_of(value: object, buckets: int) -> int:
    """Return the bucket of a value: the same on every machine and in every run."""
    digest = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % buckets


def scatter(table: pa.Table, part: int, by: str, buckets: int, path: Path) -> None:
    """Write a part's rows as one row group for each bucket, with where they came from."""
    rows = table.num_rows
    table = table.append_column(PART, pa.array(np.full(rows, part, dtype=np.int32)))
    table = table.append_column(ROW, pa.array(np.arange(rows, dtype=np.int64)))
    encoded = pc.dictionary_encode(table[by], null_encoding="encode").combine_chunks()
    of_value = [bucket_of(value, buckets) for value in encoded.dictionary.to_pylist()]
    of_row = np.array(of_value, dtype=np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    _write_groups(path, table, [pa.array(np.flatnonzero(of_row == b)) for b in range(buckets)])


def collect(paths: Sequence[Path], group: int) -> pa.Table:
    """Read one row group of every file and put the rows in the order they came in."""
    tables = [pq.ParquetFile(path).read_row_group(group) for path in paths]
    return pa.concat_tables(tables).sort_by([(PART, "ascending"), (ROW, "ascending")])


def write_applied(table: pa.Table, parts: int, path: Path) -> None:
    """Write a bucket's new columns as one row group for each part."""
    of_row = table[PART].to_numpy()
    _write_groups(path, table, [pa.array(np.flatnonzero(of_row == p)) for p in range(parts)])


def _write_groups(path: Path, table: pa.Table, groups: Sequence[pa.Array]) -> None:
    def write(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, table.schema) as writer:
            for rows in groups:
                # One row group whatever the size: its number is how it is found again.
                writer.write_table(table.take(rows), row_group_size=max(1, len(rows)))

    write_atomically(path, write)
