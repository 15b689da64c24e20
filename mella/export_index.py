"""Export a repository's index for other readers of its shards: wids, DALI and energon."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mella.errors import FormatError, MellaError, RepositoryError, unknown_name
from mella.index import read_index
from mella.languages import resolve_languages
from mella.manifest import Entry
from mella.peer_index import IndexedShard, Located, write_dali, write_energon, write_wids
from mella.repository import FolderStorage, HubStorage, Repository, Storage, open_repository
from mella.schema import MEMBERS, SOURCES, SPLITS
from mella.shards import BLOCK

FORMATS = ("wids", "dali", "energon")
"""The readers that there is an index for."""

_COLUMNS = (
    "key",
    "shard",
    "offset",
    "nbytes",
    *(f"{member}_{what}" for member in MEMBERS for what in ("offset", "size")),
)
_END = 2 * BLOCK  # of a tar


class ExportError(MellaError, ValueError):
    """An index that cannot be written as asked for."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        format: One of `FORMATS`.
        out: The folder.
        repository: What the repository calls itself: a folder, a URL, or a Hub id and commit.
        splits: That are in the index.
        shards: How many are in the index.
        samples: How many are in the index.
        taken_down: How many samples of the chosen shards are not, because they were taken down.
        elsewhere: Paths of the shards that are not on this machine.
    """

    format: str
    out: Path
    repository: str
    splits: tuple[str, ...]
    shards: int
    samples: int
    taken_down: int
    elsewhere: tuple[str, ...]


def export_index(
    repo: str | Path,
    format: str,  # noqa: A002
    out: str | Path | None = None,
    *,
    lang: str | Iterable[str] = "all",
    source: str = "both",
    split: str = "all",
    revision: str | None = None,
) -> Exported:
    """Write the index files of another reader into a folder of their own; whole or not at all.

    No tar is read. For energon, the folder gets links to the tars that are on this machine.

    Args:
        repo: A folder, an fsspec URL or a Hub id, see `load_mella`.
        format: One of `FORMATS`.
        out: Folder to write; not there yet, or empty. Default: NAME-FORMAT in the current folder.
        lang: A language code, several, or "all".
        source: "culture", "linguistics" or "both".
        split: "train", "validation", "test" or "all".
        revision: Branch, tag or commit of a Hub repository.

    Raises:
        UnknownNameError: Unknown format, language, source or split.
        RepositoryError: There is no repository, or nothing of what was asked for in it.
        FormatError: The index does not fit the manifest, or a tar has another size.
        ExportError: `out` is in use or inside the repository, or the format cannot leave out a
            sample that was taken down.
    """
    _check_name("format", format, FORMATS)
    _check_name("source", source, (*SOURCES, "both"))
    _check_name("split", split, (*SPLITS, "all"))
    langs = None if lang == "all" else {one.code for one in resolve_languages(lang)}
    repository = open_repository(repo, revision)
    entries = _chosen(repository, langs, source, split)
    name = _name(repository.storage)
    target = Path(out if out is not None else f"{name}-{format}").expanduser().resolve()
    _check_out(target, repository.storage)
    tally = _Tally(repository.storage)
    shards = tally.count(_indexed_shards(repository, entries))
    with _whole(target) as folder:
        match format:
            case "wids":
                write_wids(
                    _untouched(shards), folder, name, lambda path: address(repository.storage, path)
                )
            case "dali":
                write_dali(shards, folder)
            case _:
                write_energon(shards, folder)
                _link(tally.here, folder, target)
        if not tally.shards:
            raise ExportError(
                f"No sample is left to index: {tally.taken_down} were taken down. Choose other "
                "languages, sources or splits."
            )
    return Exported(
        format=format,
        out=target,
        repository=repository.storage.name,
        splits=tuple(one for one in SPLITS if one in tally.splits),
        shards=tally.shards,
        samples=tally.samples,
        taken_down=tally.taken_down,
        elsewhere=tuple(tally.elsewhere),
    )


def address(storage: Storage, path: str) -> str:
    """Return where others find a file of a repository: an absolute path or a URL, no secrets."""
    if isinstance(storage, HubStorage):
        from huggingface_hub import hf_hub_url

        return hf_hub_url(storage.repo_id, path, repo_type="dataset", revision=storage.revision)
    return f"{storage.name}/{path}"


class _Tally:
    """Counts the shards that pass by, and finds those that are on this machine."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.shards = self.samples = self.taken_down = 0
        self.splits: set[str] = set()
        self.here: dict[str, Path] = {}
        self.elsewhere: list[str] = []

    def count(self, shards: Iterable[IndexedShard]) -> Iterator[IndexedShard]:
        """Yield the shards that have a sample to be read."""
        for shard in shards:
            kept = len(shard.kept)
            self.taken_down += len(shard.samples) - kept
            if not kept:
                continue
            self.shards += 1
            self.samples += kept
            self.splits.add(shard.entry.split)
            self._find(shard.entry)
            yield shard

    def _find(self, entry: Entry) -> None:
        file = self.storage.local_path(entry.path)
        if file is None or not file.is_file():
            self.elsewhere.append(entry.path)
            return
        if (size := file.stat().st_size) != entry.bytes:
            raise FormatError(
                f"{file} has {size} bytes, but {entry.bytes} in the manifest. "
                "Fetch or build it again."
            )
        self.here[entry.path] = file


def _check_name(what: str, got: str, known: tuple[str, ...]) -> None:
    if got not in known:
        raise unknown_name(what, got, known)


def _chosen(repository: Repository, langs: set[str] | None, source: str, split: str) -> list[Entry]:
    """Return the indexes of what was asked for, by source, language and split."""
    entries = [
        entry
        for entry in sorted(repository.manifest.indexes, key=lambda entry: entry.cell)
        if source in (entry.source, "both")
        and split in (entry.split, "all")
        and (langs is None or entry.lang in langs)
    ]
    missing = (langs or set()) - {entry.lang for entry in entries}
    if missing or not entries:
        there = ", ".join("/".join(cell) for cell in repository.manifest.cells())
        raise RepositoryError(
            f"{repository.storage.name} has nothing of source {source!r}, split {split!r} in "
            f"{', '.join(sorted(missing)) or 'any language'}. It has: {there or 'nothing'}."
        )
    return entries


def _indexed_shards(repository: Repository, entries: Iterable[Entry]) -> Iterator[IndexedShard]:
    """Yield the shards of some indexes; a shard without samples has nothing to index."""
    taken_down = repository.tombstones
    for entry in entries:
        name = f"{repository.storage.name}/{entry.path}"
        table = read_index(repository.index_file(entry), name, columns=_COLUMNS)
        table = table.sort_by([("shard", "ascending"), ("offset", "ascending")])
        table = table.append_column("taken_down", pc.is_in(table["key"], taken_down))
        counts = {one["values"]: one["counts"] for one in table["shard"].value_counts().to_pylist()}
        shards = [s for s in repository.manifest.shards if s.cell == entry.cell and s.samples]
        if counts != {shard.path: shard.samples for shard in shards}:
            raise FormatError(
                f"{name} does not have the shards, or not as many samples in each, that the "
                "manifest names. Fetch or build it again."
            )
        start = 0
        for shard in sorted(shards):
            rows = table.slice(start, shard.samples)
            start += shard.samples
            _check_layout(name, shard, rows)
            yield IndexedShard(shard, tuple(_located(rows)))


def _check_layout(name: str, shard: Entry, rows: pa.Table) -> None:
    """Raise FormatError unless the rows lie in the shard as `mella.shards` writes samples."""
    column = {field: rows[field].to_numpy() for field in _COLUMNS[2:]}
    at = column["offset"]
    ends = at + column["nbytes"]
    good = np.array_equal(np.append(at, shard.bytes - _END), np.append(0, ends))
    for member in MEMBERS:
        size = column[f"{member}_size"]
        good &= np.array_equal(at + BLOCK, column[f"{member}_offset"]) and bool((size >= 0).all())
        at = at + BLOCK + size + -size % BLOCK
    if not (good and np.array_equal(at, ends)):
        raise FormatError(
            f"{name} says of samples of {shard.path} that they lie where they cannot lie in a tar "
            f"of {shard.bytes} bytes. Fetch or build it again."
        )


def _located(rows: pa.Table) -> Iterator[Located]:
    values = {field: rows[field].to_pylist() for field in rows.column_names}
    members = zip(
        *(
            zip(values[f"{member}_offset"], values[f"{member}_size"], strict=True)
            for member in MEMBERS
        ),
        strict=True,
    )
    whole = (values[field] for field in ("key", "offset", "nbytes"))
    yield from map(Located, *whole, members, values["taken_down"])


def _untouched(shards: Iterable[IndexedShard]) -> Iterator[IndexedShard]:
    """Yield the shards; raise ExportError at one of which only some samples may be read."""
    for shard in shards:
        if taken_down := [sample.key for sample in shard.samples if sample.taken_down]:
            raise ExportError(
                f"wids reads shards whole, but {len(taken_down)} samples of {shard.entry.path} "
                f"were taken down, such as {taken_down[0]}. Export for dali or energon, which can "
                "leave samples out, or take a repository that was packed without them."
            )
        yield shard


def _name(storage: Storage) -> str:
    where = storage.repo_id if isinstance(storage, HubStorage) else storage.name
    return where.rstrip("/").rpartition("/")[2] or "mella"


def _check_out(out: Path, storage: Storage) -> None:
    # `datasets` takes an `.idx` beside a tar for a shard, and a repository has what its manifest
    # names.
    if isinstance(storage, FolderStorage) and out.is_relative_to(storage.folder.resolve()):
        raise ExportError(
            f"{out} is inside the repository {storage.folder}: other readers would take the index "
            "files for shards. Give another folder with --out (out=)."
        )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ExportError(
            f"{out} is there already. Delete it, or give another folder with --out (out=)."
        )


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes its name at the end, and vanishes after an error."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.replace(folder)  # an empty folder may be there
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link(files: dict[str, Path], folder: Path, out: Path) -> None:
    """Put links to shards into a folder that will be called `out`."""
    for path, file in files.items():
        link = folder / path
        there = (out / path).parent
        link.symlink_to(os.path.relpath(file.resolve(), there))
