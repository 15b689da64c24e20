"""Plan what to read: the chosen rows of an index, as arrays, cut into chunks."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella.errors import FormatError, RepositoryError, unknown_name
from mella.index import read_index, rows
from mella.languages import resolve_languages
from mella.manifest import Entry
from mella.repository import Repository
from mella.schema import INDEX, METADATA, SOURCES, SPLITS
from mella.shards import BLOCK

if TYPE_CHECKING:
    import pyarrow.compute as pc

_FIRST = ("image", "text", "key", "lang", "source")
COLUMNS = (*_FIRST, *(name for name in METADATA.names if name not in _FIRST))
"""The columns of a loaded sample, in order: the image, the text, then the metadata."""

CHUNK_BYTES = 4 << 20
_MOST_ROWS = 1024
_LOCATION = ("key", "shard", "offset", "nbytes", "xxh3")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cell:
    """The chosen samples of one source in one language, in the order of shard and offset.

    Attributes:
        name: "SOURCE/LANG".
        shards: Paths inside the repository.
        shard: Of each sample, as a number into `shards`.
        key: Of each sample.
        offset: Of each sample in its shard, in bytes.
        nbytes: Of each sample, headers included.
        xxh3: Of these bytes.
        chunk_ends: The row behind the last of each chunk. A chunk is a run of samples of one shard.
        metadata: The chosen columns, where no image is wanted, so that no shard need be read.
        digest: Of the content that was chosen.
    """

    name: str
    shards: tuple[str, ...]
    shard: npt.NDArray[np.int32]
    key: pa.Array
    offset: Ints
    nbytes: Ints
    xxh3: npt.NDArray[np.uint64]
    chunk_ends: Ints
    metadata: pa.Table | None
    digest: str

    def __len__(self) -> int:
        return len(self.offset)


def chosen_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return column names in the order of `COLUMNS`.

    Raises:
        UnknownNameError: One is no column, or there is none.
    """
    if columns is None:
        return COLUMNS
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names or ["(none)"]:
        if name not in COLUMNS:
            raise unknown_name("column", name, COLUMNS)
    return tuple(name for name in COLUMNS if name in names)


@dataclass(frozen=True)
class Wanted:
    """What was asked for. No `langs`: all that are there."""

    langs: tuple[str, ...]
    source: str
    split: str


def check_names(lang: str | Iterable[str], source: str, split: str) -> Wanted:
    """Return what was asked for, before anything is opened.

    Raises:
        UnknownNameError: Unknown language, source or split; lists the known ones.
    """
    if source not in (*SOURCES, "both"):
        raise unknown_name("source", source, (*SOURCES, "both"))
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    langs = () if lang == "all" else tuple(language.code for language in resolve_languages(lang))
    return Wanted(langs, source, split)


def checked_where(where: "pc.Expression | str | None") -> "pc.Expression | None":
    """Return a filter of the columns of the index, before anything is opened.

    Raises:
        WhereError: It is none.
        UnknownNameError: It names a column that is not there.
    """
    if where is None:
        return None
    from mella.where import parse_where

    return parse_where(where, INDEX)


def find_cells(repository: Repository, wanted: Wanted) -> list[Entry]:
    """Return the indexes of what was asked for, in the order of source and language.

    Raises:
        RepositoryError: Some of it is not there; says what is.
    """
    there = sorted(repository.manifest.indexes, key=lambda entry: entry.cell)
    entries = [
        entry
        for entry in there
        if wanted.source in (entry.source, "both")
        and entry.split == wanted.split
        and (entry.lang in wanted.langs or not wanted.langs)
    ]
    missing = set(wanted.langs) - {entry.lang for entry in entries}
    if missing or not entries:
        kind = "" if wanted.source == "both" else f"{wanted.source} "
        raise RepositoryError(
            f"{repository.storage.name} has no {kind}samples in split {wanted.split!r} for "
            f"{', '.join(sorted(missing)) or 'any language'}. "
            f"It has: {_summary(repository.manifest.cells())}."
        )
    return entries


def _summary(cells: list[tuple[str, str, str]]) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for source, lang, split in cells:
        groups.setdefault((source, split), []).append(lang)
    return "; ".join(f"{s} {p}: {' '.join(langs)}" for (s, p), langs in groups.items()) or "nothing"


def plan_cell(
    repository: Repository,
    entry: Entry,
    *,
    where: "pc.Expression | str | None" = None,
    columns: Sequence[str] = COLUMNS,
    row_group: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Cell:
    """Choose rows of an index and cut them into chunks.

    Args:
        repository: That the index is of.
        entry: The index.
        where: Choose the rows that it holds for.
        columns: That are wanted; without "image" they are taken from the index.
        row_group: Choose the rows of this row group alone.
        chunk_bytes: Size of a chunk, about.

    Raises:
        RepositoryError: The index cannot be read.
        FormatError: It is damaged, or points to what is not there.
        WhereError: `where` does not fit its columns.
    """
    name = f"{repository.storage.name}/{entry.path}"
    from_index = [] if "image" in columns else [c for c in columns if c not in _LOCATION]
    table = read_index(
        repository.index_file(entry),
        name,
        where,
        [*_LOCATION, *from_index],
        row_group=row_group,
        encoded=True,
    )
    if len(repository.tombstones):
        table = _without(table, repository.tombstones)
    paths, shard = _shards(table["shard"])
    offset, nbytes, xxh3 = (_numbers(table[column]) for column in ("offset", "nbytes", "xxh3"))
    if not _in_order(shard, offset):  # as `write_index` leaves them, so rarely
        order = np.lexsort((offset, shard))
        table = table.take(pa.array(order))
        shard, offset, nbytes, xxh3 = shard[order], offset[order], nbytes[order], xxh3[order]
    sizes = {shard.path: shard.bytes for shard in repository.manifest.shards}
    ends = np.searchsorted(shard, np.arange(len(paths)), side="right").tolist()
    for path, (start, stop) in zip(paths, pairwise([0, *ends]), strict=True):
        _check_bounds(name, path, sizes.get(path), offset[start:stop], nbytes[start:stop])
    return Cell(
        name=f"{entry.source}/{entry.lang}",
        shards=paths,
        shard=shard,
        key=_one_piece(table["key"]),
        offset=offset,
        nbytes=nbytes,
        xxh3=xxh3,
        chunk_ends=cut_chunks(shard, nbytes, chunk_bytes),
        metadata=None if "image" in columns else table.select(columns),
        digest=hashlib.sha256(xxh3.tobytes() + nbytes.tobytes()).hexdigest()[:16],
    )


def cut_chunks(shard: npt.NDArray[np.int32], nbytes: Ints, chunk_bytes: int) -> Ints:
    """Return the row behind the last of each chunk: equal parts of each shard, about.

    Args:
        shard: Of each row, ascending.
        nbytes: Of each row.
        chunk_bytes: Size of a chunk; of very small samples it has 1024 at most, about.
    """
    if not len(shard):
        return np.array([], dtype=np.int64)
    weight = nbytes + chunk_bytes // _MOST_ROWS
    starts = np.flatnonzero(np.diff(shard, prepend=-1))
    totals = np.add.reduceat(weight, starts)
    counts = -(-totals // chunk_bytes)
    of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(shard)))
    before = np.cumsum(weight) - weight
    before -= before[starts][of]
    part = before * counts[of] // totals[of]
    changes = (np.diff(part) != 0) | (np.diff(of) != 0)
    return np.append(np.flatnonzero(changes) + 1, len(shard)).astype(np.int64)


def metadata_rows(cell: Cell, chosen: Ints) -> list[dict[str, Any]]:
    """Return rows of the index of a cell that was planned without images."""
    assert cell.metadata is not None  # noqa: S101  (for the type checker)
    return rows(cell.metadata.take(pa.array(chosen)))


def _without(table: pa.Table, keys: pa.Array) -> pa.Table:
    import pyarrow.compute as pc

    return table.filter(pc.invert(pc.is_in(table["key"], keys)))


def _shards(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the shards, sorted, and which of them each row is of.

    Args:
        column: Paths, encoded as a dictionary: a comparison of a million texts would take longer
            than all else.
    """
    codes = _one_piece(column.unify_dictionaries())
    used, of = np.unique(np.from_dlpack(codes.indices), return_inverse=True)
    paths = np.array(codes.dictionary.to_pylist(), dtype=np.str_)[used]
    ordered, place = np.unique(paths, return_inverse=True)
    return tuple(ordered.tolist()), place[of].astype(np.int32)


def _in_order(shard: npt.NDArray[np.int32], offset: Ints) -> bool:
    later, same = np.diff(shard) > 0, np.diff(shard) == 0
    return bool((later | (same & (np.diff(offset) > 0))).all())


def _check_bounds(name: str, path: str, size: int | None, offset: Ints, nbytes: Ints) -> None:
    """Raise FormatError where an index points to a file, or a part of it, that is not there."""
    if size is None:
        raise FormatError(f"{name} points to the shard {path!r}, not in the manifest.")
    # The numbers may be anything: an end beyond 64 bits would be negative.
    if offset.min() < 0 or nbytes.min() < BLOCK or (nbytes > size - offset).any():
        raise FormatError(f"{name} points outside the {size} bytes of the shard {path}.")


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    # `to_numpy` would import pandas, which takes longer than all of this.
    chunks = [np.from_dlpack(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.array([], column.type.to_pandas_dtype())


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)
