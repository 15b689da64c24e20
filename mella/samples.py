"""Random access to samples, by key or by number: one read each, checked against the index."""

import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from mella.blocks import LocalShards, check_blocks
from mella.errors import FormatError, MellaError
from mella.index import open_index
from mella.manifest import Entry
from mella.plan import COLUMNS, Cell, check_names, find_cells, plan_cell
from mella.repository import Repository, open_repository
from mella.shards import split_sample


class UnknownKeyError(MellaError, KeyError):
    """A key that no sample has."""

    __str__ = Exception.__str__  # that of KeyError puts the message in quotes


class NoSuchRowError(MellaError, IndexError):
    """A number beyond the last sample."""


def open_samples(
    lang: str | Iterable[str],
    source: str = "both",
    *,
    split: str = "train",
    repo: str | Path | None = None,
    revision: str | None = None,
    fetch: bool = False,
) -> "Samples":
    """Open samples for random access. The index is read when the first sample is asked for.

    Args:
        lang: A language code ("th"), several, or "all": every one that the repository has.
        source: "culture", "linguistics" or "both".
        split: "train", "validation" or "test".
        repo: A folder, an fsspec URL or a Hub id; see `mella.load_mella`.
        revision: Branch, tag or commit of a Hub repository.
        fetch: Where the repository is not a folder. False: one request for each sample. True: each
            shard is fetched whole when the first of its samples is asked for, and kept in the
            cache.

    Raises:
        UnknownNameError: Unknown language, source or split; lists the known ones.
        RepositoryError: No repository there, or it holds nothing of what was asked for.
        FormatError: Its manifest is damaged.
    """
    wanted = check_names(lang, source, split)
    repository = open_repository(repo, revision)
    return Samples(repository, find_cells(repository, wanted), fetch=fetch)


class Samples(Mapping[str, dict[str, Any]]):
    """The samples of some cells, by key (`samples[key]`) or by number (`samples.at(0)`).

    A sample is a mapping with "image" (the JPEG bytes) and the columns of `mella.schema.METADATA`.
    Samples are numbered in the order of source, language, shard and place in
    the shard; what was taken down is left out.

    It can be used by any number of threads, and by processes that are forked from it. A pickled
    copy is small, and reads the index anew.

    Raises:
        UnknownKeyError: A KeyError. No sample has this key.
        NoSuchRowError: An IndexError. There are not so many samples.
        RepositoryError: An index or shard is missing or cannot be read.
        FormatError: It is damaged; names the shard and the key.
    """

    def __init__(
        self, repository: Repository, entries: Sequence[Entry], *, fetch: bool = False
    ) -> None:
        """Give access to the samples of these indexes. For `fetch`, see `open_samples`."""
        self._repository = repository
        self._entries = tuple(entries)
        self._fetch = fetch
        self._cells = [_LazyCell(repository, entry) for entry in entries]
        self._files = LocalShards()
        self._paths: dict[str, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._repository, self._entries, self._fetch)

    def __len__(self) -> int:
        return sum(map(len, self._cells))

    def __iter__(self) -> Iterator[str]:
        for cell in self._cells:
            for part in cell.parts:
                yield from part.plan.key.to_pylist()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> dict[str, Any]:
        found = self._find(key) if isinstance(key, str) else None
        if found is None:
            cells = ", ".join("/".join(entry.cell) for entry in self._entries)
            hint = "" if isinstance(key, str) else " For the n-th sample, use `.at(n)`."
            raise UnknownKeyError(
                f"No sample of {self._repository.storage.name} has the key {key!r} "
                f"(looked in {cells}).{hint}"
            )
        return self._read(*found)

    def at(self, number: SupportsIndex) -> dict[str, Any]:
        """Return a sample by its number; negative ones count from the end."""
        row = operator.index(number)
        row += len(self) if row < 0 else 0
        for cell in self._cells if row >= 0 else ():
            if row < len(cell):
                return self._read(*cell.at(row))
            row -= len(cell)
        raise NoSuchRowError(f"There is no sample {number}: there are {len(self)}, from 0.")

    def _find(self, key: str) -> tuple["_Part", int] | None:
        for cell in self._cells:
            found = cell.find(key)
            if found is not None:
                return found
        return None

    def _read(self, part: "_Part", row: int) -> dict[str, Any]:
        plan = part.plan
        shard = plan.shards[plan.shard[row]]
        offset, nbytes, xxh3 = int(plan.offset[row]), int(plan.nbytes[row]), int(plan.xxh3[row])

        def key() -> str:
            return str(plan.key[row].as_py())

        path = self._paths.get(shard) or self._path(shard)
        if path is not None:
            blocks = self._files.read(path, offset, nbytes, xxh3, key)
        else:
            blocks = self._request(shard, offset, nbytes, xxh3, key)
        image, _, document = split_sample(blocks)
        metadata = json.loads(str(document, "utf-8"))
        return {"image": bytes(image), **{name: metadata[name] for name in COLUMNS[1:]}}

    def _request(
        self, shard: str, offset: int, nbytes: int, xxh3: int, key: Callable[[], str]
    ) -> bytes:
        end = offset + nbytes
        blocks = self._repository.read_range(shard, offset, end)
        if xxhash.xxh3_64_intdigest(blocks) != xxh3:  # what a cache has may be damaged
            blocks = self._repository.read_range(shard, offset, end, fresh=True)
            check_blocks(blocks, nbytes, xxh3, f"{self._repository.storage.name}/{shard}", key)
        return blocks

    def _path(self, shard: str) -> str | None:
        """Return where a shard lies on this machine, after fetching it if that is asked for."""
        path = self._repository.local_path(shard)
        if path is None and self._fetch:
            entries = self._repository.manifest.shards
            path = self._repository.fetch(next(one for one in entries if one.path == shard))
        if path is None:
            return None
        self._paths[shard] = str(path)
        return str(path)


def _reopen(repository: Repository, entries: Sequence[Entry], fetch: bool) -> Samples:  # noqa: FBT001  (pickle passes positions)
    return Samples(repository, entries, fetch=fetch)


class _LazyCell:
    """A cell whose index is read when it is needed."""

    def __init__(self, repository: Repository, entry: Entry) -> None:
        self._repository = repository
        self._entry = entry

    def __len__(self) -> int:
        # What was taken down is told from the rest by its keys, which are in the index.
        return len(self.whole.plan) if self._taken_down else self._entry.samples

    @property
    def _taken_down(self) -> bool:
        return self._repository.manifest.tombstones is not None

    @cached_property
    def whole(self) -> "_Part":
        """All its rows."""
        part = _Part(partial(plan_cell, self._repository, self._entry))
        if not self._taken_down:
            self._check(len(part.plan))
        return part

    @cached_property
    def parts(self) -> list["_Part"]:
        """Its rows, in parts that are read one by one where the index is large and lies here."""
        file = self._repository.index_in_place(self._entry)
        if self._taken_down or file is None:
            return [self.whole]
        groups = open_index(file, self._entry.path).metadata
        self._check(groups.num_rows)
        column = groups.schema.names.index("key")
        parts = []
        for number in range(groups.num_row_groups):
            group = groups.row_group(number)
            plan = partial(plan_cell, self._repository, self._entry, row_group=number)
            parts.append(_Part(plan, group.num_rows, group.column(column).statistics))
        return parts

    def at(self, row: int) -> tuple["_Part", int]:
        """Return the part that has a row of the cell, and its number there."""
        for part in self.parts:
            if row < len(part):
                return part, row
            row -= len(part)
        raise AssertionError

    def find(self, key: str) -> tuple["_Part", int] | None:
        for part in self.parts:
            row = part.find(key)
            if row is not None:
                return part, row
        return None

    def _check(self, rows: int) -> None:
        if rows != self._entry.samples:
            raise FormatError(
                f"{self._repository.storage.name}/{self._entry.path} has {rows} rows, but the "
                f"manifest says {self._entry.samples}. Fetch or build the repository again."
            )


class _Part:
    """Rows of an index that are read together, when they are needed."""

    def __init__(
        self, plan: Callable[[], Cell], rows: int | None = None, keys: pq.Statistics | None = None
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._keys = keys if keys is not None and keys.has_min_max else None

    def __len__(self) -> int:
        return len(self.plan) if self._rows is None else self._rows

    @cached_property
    def plan(self) -> Cell:
        return self._plan()

    @cached_property
    def _finder(self) -> "KeyFinder":
        return KeyFinder(self.plan.key)

    def find(self, key: str) -> int | None:
        if self._keys is not None and not self._keys.min <= key <= self._keys.max:
            return None
        return self._finder.find(key)


class KeyFinder:
    """Finds the row of a key by binary search.

    The rows of an index are in the order of their keys, where shards were cut from sorted samples:
    then this costs no more than a look at them. Otherwise they are sorted once.
    """

    def __init__(self, keys: pa.Array) -> None:
        """Find rows of `keys`: strings, none of them null."""
        self._keys = _as_bytes(keys)
        ascending = bool((self._keys[1:] >= self._keys[:-1]).all())
        # Sorting joins the ascending stretches that cells or shards usually are.
        self._order = None if ascending else np.argsort(self._keys, kind="stable")

    def find(self, key: str) -> int | None:
        """Return the row of a key, or None."""
        sought = key.encode("utf-8", "surrogatepass")
        if len(sought) > self._keys.itemsize:
            return None
        needle = np.array(sought, self._keys.dtype)
        place = int(np.searchsorted(self._keys, needle, sorter=self._order))
        if place == len(self._keys):
            return None
        row = place if self._order is None else int(self._order[place])
        return row if self._keys[row] == sought else None


def _as_bytes(keys: pa.Array) -> npt.NDArray[np.bytes_]:
    """Return strings as fixed-width bytes: a view where all have one length, as keys have."""
    if not len(keys):
        return np.array([], "S1")
    _, ends, data = keys.buffers()
    kind = np.int32 if keys.type == pa.string() else np.int64
    offsets = np.frombuffer(ends, kind)[keys.offset : keys.offset + len(keys) + 1]
    width = int(offsets[1] - offsets[0])
    if width and (np.diff(offsets) == width).all():
        return np.frombuffer(data, f"S{width}", len(keys), int(offsets[0]))
    return np.array([key.encode() for key in keys.to_pylist()], "S")
