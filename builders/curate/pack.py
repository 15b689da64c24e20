"""Write the shards: one call holds all samples of a shard, and returns their rows of the index.

A tar is named by the hash of its content in a folder beside the steps, so that it is the same file
whoever writes it and however often; `release` gives it its name in the repository.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.engine.step import Step
from mella.schema import INDEX, METADATA
from mella.shards import ShardWriter

TARS = "tars"
"""Folder of the tars in the work folder of a build."""

PACKED = pa.schema(
    [
        *INDEX,
        pa.field("split", pa.string(), nullable=False),
        pa.field("tar_sha256", pa.string(), nullable=False),
        pa.field("tar_bytes", pa.int64(), nullable=False),
    ]
)
"""A row of the index, and the tar that holds the sample."""

_NEEDED = pa.schema(
    [
        pa.field("image", pa.large_binary()),
        pa.field("split", pa.string()),
        pa.field("shard", pa.string()),
    ]
)
_ROWS_TOGETHER = 2000


@dataclass(frozen=True)
class PackParams:
    """What all samples have in common.

    Attributes:
        source: "culture" or "linguistics".
        build: Hash of the recipe.
    """

    source: str
    build: str


def pack_step(params: PackParams, columns: Iterable[str], folder: Path) -> Step:
    """Return the step that writes the shards.

    Args:
        params: What all samples have in common.
        columns: All that earlier steps write; of these go into a sample those of
            `mella.schema.METADATA`. What is not among them is null.
        folder: Where the tars go. Not part of the step's key: it does not change what they hold.
    """
    there = set(columns)
    metadata = [pa.field(field.name, field.type) for field in METADATA if field.name in there]
    return Step(
        name="pack",
        version=2,
        fn=partial(_pack, folder=folder),
        reads=pa.schema([*metadata, *_NEEDED]),
        writes=PACKED,
        params=params,
        by="shard",
        expands=True,
        unit="samples",
        bucket_rows=_ROWS_TOGETHER,
    )


def _pack(table: pa.Table, params: PackParams, _: Any, *, folder: Path) -> Iterator[pa.Table]:
    constant = {**dict.fromkeys(METADATA.names), "source": params.source, "build": params.build}
    for shard in sorted(set(table["shard"].to_pylist())):
        samples = table.filter(pc.field("shard") == shard).sort_by("key")
        yield _write(samples, shard, constant, folder)


def _write(samples: pa.Table, shard: str, constant: dict[str, Any], folder: Path) -> pa.Table:
    rows = []
    # The hash is known when all is written; until then the process has a name to itself.
    with ShardWriter(folder / f"{Path(shard).stem}.{os.getpid()}") as tar:
        for batch in samples.to_batches(max_chunksize=64):
            for row in batch.to_pylist():
                metadata = {name: row.get(name, value) for name, value in constant.items()}
                place = tar.write(row["image"], metadata)
                rows.append({**metadata, **place, "shard": shard, "split": row["split"]})
    tar.path.replace(folder / tar.sha256)
    whole = {"tar_sha256": tar.sha256, "tar_bytes": tar.nbytes}
    return pa.Table.from_pylist([{**row, **whole} for row in rows], schema=PACKED)
