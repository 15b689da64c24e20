"""The index files that other readers of our shards want, made from our index; no tar is read.

wids: https://github.com/webdataset/webdataset (wids 0.1, `wids-index create`).
DALI: https://docs.nvidia.com/deeplearning/dali (`wds2idx`, format v1.2).
energon: https://github.com/NVIDIA/Megatron-Energon (7.4, `energon prepare`).
"""

import hashlib
import json
import sqlite3
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mella.manifest import Entry
from mella.schema import MEMBERS, SPLITS


class Located(NamedTuple):
    """Where a sample lies in its shard.

    Attributes:
        key: Of the sample.
        offset: Of its first tar header, in bytes.
        nbytes: Of the whole sample, headers included.
        members: Offset and size of the content of each of `mella.schema.MEMBERS`, in bytes.
        taken_down: Other readers must not yield it either.
    """

    key: str
    offset: int
    nbytes: int
    members: tuple[tuple[int, int], ...]
    taken_down: bool


@dataclass(frozen=True)
class IndexedShard:
    """A shard of the manifest and all of its samples, in their order. At least one is kept."""

    entry: Entry
    samples: tuple[Located, ...]

    @property
    def kept(self) -> list[Located]:
        """The samples that were not taken down."""
        return [sample for sample in self.samples if not sample.taken_down]


def write_wids(
    shards: Iterable[IndexedShard], folder: Path, name: str, address: Callable[[str], str]
) -> None:
    """Write `SPLIT.json` for each split. wids has no way to leave out a sample of a shard.

    Args:
        shards: None of which has a sample that was taken down.
        folder: To write into.
        name: Of the data set.
        address: Of a shard, by its path in the repository: an absolute path or a URL.
    """
    entries = [shard.entry for shard in shards]
    for split in SPLITS:
        if chosen := [entry for entry in entries if entry.split == split]:
            document = wids_index(f"{name}-{split}", chosen, address)
            _write(folder / f"{split}.json", json.dumps(document, indent=2) + "\n")


def wids_index(
    name: str, entries: Iterable[Entry], address: Callable[[str], str]
) -> dict[str, Any]:
    """Return the shard index of wids; `sample["__dataset__"]` will be "SOURCE-LANG".

    The MD5 sums that `wids-index` adds take reading the tars; its reader does not ask for them.
    """
    shardlist = [
        {
            "url": address(entry.path),
            "nsamples": entry.samples,
            "filesize": entry.bytes,
            "dataset": f"{entry.source}-{entry.lang}",
        }
        for entry in entries
    ]
    return {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": name,
        "shardlist": shardlist,
    }


def write_dali(shards: Iterable[IndexedShard], folder: Path) -> None:
    """Write `PATH.idx` for each shard `PATH.tar`."""
    for shard in shards:
        _write((folder / shard.entry.path).with_suffix(".idx"), dali_index(shard))


def dali_index(shard: IndexedShard) -> str:
    """Return the index of a shard for `fn.readers.webdataset`, without what was taken down.

    A line a sample: extension, offset, size and name of each member.
    """
    lines = [f"v1.2 {len(shard.kept)}"]
    for sample in shard.kept:
        parts = zip(MEMBERS, sample.members, strict=True)
        lines.append(
            " ".join(
                f"{kind} {offset} {size} {sample.key}.{kind}" for kind, (offset, size) in parts
            )
        )
    return "\n".join(lines) + "\n"


_ENERGON_DATASET = """\
sample_type:
  __module__: megatron.energon
  __class__: CaptioningSample
field_map:
  image: jpg
  caption: txt
"""
_ENERGON_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_ENERGON_TABLES = """
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL,
    sample_key TEXT NOT NULL UNIQUE,
    sample_index INTEGER NOT NULL,
    byte_offset INTEGER,
    byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER,
    sample_index INTEGER,
    part_name TEXT,
    content_byte_offset INTEGER,
    content_byte_size INTEGER
);
"""
_ENERGON_SEARCHES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq
    ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""


def write_energon(shards: Iterable[IndexedShard], folder: Path) -> None:
    """Write the folder `.nv-meta`, and `PATH.tar.idx` for each shard `PATH.tar`.

    energon wants the shards in `folder` too; putting them there is left to the caller.
    """
    meta = folder / ".nv-meta"
    meta.mkdir(parents=True)
    entries: list[Entry] = []
    excluded: list[str] = []
    with closing(sqlite3.connect(meta / "index.sqlite")) as database:
        # It is not used before it is whole.
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        database.executescript(_ENERGON_TABLES)
        for number, shard in enumerate(shards):
            path = shard.entry.path
            entries.append(shard.entry)
            excluded += [f"{path}/{one.key}" for one in shard.samples if one.taken_down]
            _write(folder / f"{path}.idx", energon_offsets(shard))
            samples, parts = _energon_rows(number, shard)
            database.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", samples)
            database.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", parts)
        database.commit()
        database.executescript(_ENERGON_SEARCHES)
    counts = {entry.path: entry.samples for entry in entries}
    _write(meta / ".info.json", json.dumps({"shard_counts": counts}, indent=2) + "\n")
    _write(meta / "split.yaml", energon_splits(entries, excluded))
    _write(meta / "dataset.yaml", _ENERGON_DATASET)
    _write(meta / "index.uuid", str(_energon_id(entries, excluded)))


def energon_offsets(shard: IndexedShard) -> bytes:
    """Return where each sample of a shard begins and the last one ends, as 64-bit integers.

    All samples are in it: the next begins where one ends. `split.yaml` excludes the others.
    """
    last = shard.samples[-1]
    offsets = [*(sample.offset for sample in shard.samples), last.offset + last.nbytes]
    return struct.pack(f"<{len(offsets)}Q", *offsets)


def energon_splits(entries: Iterable[Entry], excluded: Iterable[str]) -> str:
    """Return `split.yaml`: the shards of each split, and the samples that are not to be read.

    Args:
        entries: The shards.
        excluded: "SHARD/KEY" of samples.
    """
    shards = list(entries)
    lines = ["split_parts:"]
    for split, name in _ENERGON_SPLITS.items():
        paths = [entry.path for entry in shards if entry.split == split]
        lines += _yaml_list(f"  {name}", paths)
    return "\n".join([*lines, *_yaml_list("exclude", excluded)]) + "\n"


def _yaml_list(name: str, values: Iterable[str]) -> Iterator[str]:
    items = [json.dumps(value) for value in values]
    indent = " " * (len(name) - len(name.lstrip()))
    yield f"{name}:" if items else f"{name}: []"
    yield from (f"{indent}- {item}" for item in items)


def _energon_rows(
    number: int, shard: IndexedShard
) -> tuple[list[tuple[int, str, int, int, int]], list[tuple[int, int, str, int, int]]]:
    """Return the rows of a shard in `samples` and `sample_parts`, without what was taken down."""
    kept = [(index, one) for index, one in enumerate(shard.samples) if not one.taken_down]
    samples = [(number, one.key, index, one.offset, one.nbytes) for index, one in kept]
    parts = [
        (number, index, kind, offset, size)
        for index, one in kept
        for kind, (offset, size) in zip(MEMBERS, one.members, strict=True)
    ]
    return samples, parts


def _energon_id(entries: Iterable[Entry], excluded: Iterable[str]) -> uuid.UUID:
    """Return what tells one index from another: the same for the same content."""
    content = [*(f"{entry.path} {entry.sha256}" for entry in entries), *excluded]
    digest = hashlib.sha256("\n".join(content).encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def _write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
