"""`load_mella`: the samples of one or more languages as a Hugging Face data set."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mella import index
from mella.errors import FormatError, MellaError, RepositoryError, unknown_name
from mella.languages import resolve_languages
from mella.manifest import Entry
from mella.repository import Repository, open_repository
from mella.schema import FORMAT_VERSION, INDEX, METADATA, SOURCES, SPLITS
from mella.where import parse_where

if TYPE_CHECKING:
    import datasets

_RUN_BYTES = 8 << 20
_GAP_BYTES = 256 << 10
_LOCATION = ("key", "sha256", "jpg_offset", "jpg_size")
"""The columns that reading an image takes."""
_FIRST = ("image", "text", "key", "lang", "source")
COLUMNS = (*_FIRST, *(name for name in METADATA.names if name not in _FIRST))
"""The columns of a loaded sample, in order: the image, the text, then the metadata."""


def load_mella(
    lang: str | Iterable[str],
    source: str = "both",
    *,
    split: str = "train",
    repo: str | Path | None = None,
    revision: str | None = None,
    streaming: bool = True,
    where: "pc.Expression | str | None" = None,
    columns: Sequence[str] | None = None,
    decode: bool = True,
) -> "datasets.IterableDataset | datasets.Dataset":
    """Load image-text pairs, in the order of source, language, shard and place in the shard.

    Args:
        lang: A language code ("th"), several, or "all": every one that the repository has.
        source: "culture" (native alt-text), "linguistics" (thick translated captions) or "both".
        split: "train", "validation" or "test".
        repo: A folder, an fsspec URL (`s3://...`, `https://...`) or a Hub id ("org/name").
            Default: $MELLA_REPO, else the small sample embedded in the package.
        revision: Branch, tag or commit of a Hub repository; pinned to a commit when opened.
        streaming: True: an `IterableDataset` that reads byte ranges as it goes. False: a `Dataset`,
            made once and kept in the `datasets` cache.
        where: Keep only these samples; applied to the index before any image byte is read. A string
            such as "width >= 300 and script == 'Latn'", or a pyarrow expression.
        columns: Keep only these columns (they come in the order of `COLUMNS`); without "image" no
            shard is read.
        decode: True: "image" is a `PIL.Image`. False: `{"bytes": JPEG bytes, "path": name}`.

    Returns:
        Rows with `image`, `text` and the columns of `mella.schema.METADATA`.

    Raises:
        UnknownNameError: Unknown language, source, split or column; lists the known ones.
        WhereError: `where` is not a filter of the columns of the index.
        RepositoryError: No repository there, or it holds nothing of what was asked for.
        FormatError: Its files are damaged. A sample's bytes that are not those that the index
            promises: while iterating, or here with streaming=False; names the shard and the key.
    """
    import datasets

    chosen = _columns(columns)
    wanted = _wanted(lang, source, split)
    expression = None if where is None else parse_where(where, INDEX)
    repository = open_repository(repo, revision)
    plans = [
        plan
        for entry in _entries(repository, wanted)
        for plan in _plan(repository, entry, expression, chosen)
    ]
    features = _features(chosen, decode=decode)
    if not streaming:
        return _map_style(plans, features, split)
    return datasets.IterableDataset.from_generator(
        _read_shards,
        features=features,
        gen_kwargs={"shards": plans},
        split=datasets.NamedSplit(split),
    )


@dataclass(frozen=True)
class Wanted:
    """What was asked for. No `langs`: all that are there."""

    langs: tuple[str, ...]
    source: str
    split: str


@dataclass(frozen=True)
class ShardPlan:
    """The samples to read from one shard.

    Attributes:
        repository: Where it is.
        path: Of the shard.
        columns: To yield.
        encoded: One row a sample, in the order of their bytes: `columns` and, where the image is
            among them, what it takes to find it. As an Arrow stream, because a slice of a table is
            pickled with the whole table; and `datasets` hashes bytes much faster.
    """

    repository: Repository
    path: str
    columns: tuple[str, ...]
    encoded: bytes

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as mappings from column to value."""
        return index.rows(pa.ipc.open_stream(self.encoded).read_all())


def _wanted(lang: str | Iterable[str], source: str, split: str) -> Wanted:
    if source not in (*SOURCES, "both"):
        raise unknown_name("source", source, (*SOURCES, "both"))
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    langs = () if lang == "all" else tuple(language.code for language in resolve_languages(lang))
    return Wanted(langs, source, split)


def _entries(repository: Repository, wanted: Wanted) -> list[Entry]:
    """Return the indexes of what was asked for."""
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


def _columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    if columns is None:
        return COLUMNS
    names = [columns] if isinstance(columns, str) else list(columns)
    for name in names or ["(none)"]:
        if name not in COLUMNS:
            raise unknown_name("column", name, COLUMNS)
    return tuple(name for name in COLUMNS if name in names)


def _plan(
    repository: Repository, entry: Entry, where: "pc.Expression | None", columns: tuple[str, ...]
) -> Iterator[ShardPlan]:
    """Yield what to read from each shard of an index."""
    name = f"{repository.storage.name}/{entry.path}"
    table = index.read_index(repository.index_file(entry), name, where)
    table = table.filter(pc.invert(pc.is_in(table["key"], repository.tombstones)))
    table = _in_order(table)
    sizes = {shard.path: shard.bytes for shard in repository.manifest.shards}
    needed = [name for name in columns if name != "image"]
    if "image" in columns:
        needed += [name for name in _LOCATION if name not in columns]
    start = 0
    for path, end in _ends(table["shard"]):
        rows = table.slice(start, end - start)
        _check_bounds(name, path, sizes.get(path), rows)
        yield ShardPlan(repository, path, columns, _encode(rows.select(needed)))
        start = end


def _in_order(table: pa.Table) -> pa.Table:
    """Return the rows by shard and offset: as `write_index` leaves them, so rarely is this work."""
    keys = [("shard", "ascending"), ("offset", "ascending")]
    order = pc.sort_indices(table.select(["shard", "offset"]), sort_keys=keys)
    # Moving rows copies columns into one piece, which holds no more than 2 GB of text.
    sorted_already = np.array_equal(order.to_numpy(), np.arange(len(order)))
    return table if sorted_already else table.take(order)


def _encode(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _ends(values: pa.ChunkedArray) -> Iterator[tuple[str, int]]:
    """Yield each run of equal values: the value, and the position after its last."""
    if len(values):
        runs = pc.run_end_encode(values.combine_chunks(), run_end_type=pa.int64())
        yield from zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True)


def _check_bounds(name: str, path: str, size: int | None, rows: pa.Table) -> None:
    """Raise FormatError where an index points to a file, or a part of it, that is not there."""
    if size is None:
        raise FormatError(f"{name} points to the shard {path!r}, not in the manifest.")
    first, length = pc.min(rows["jpg_offset"]).as_py(), pc.min(rows["jpg_size"]).as_py()
    last = pc.max(pc.add(rows["jpg_offset"], rows["jpg_size"])).as_py()
    if first < 0 or length < 0 or last > size:
        raise FormatError(f"{name} points outside the {size} bytes of the shard {path}.")


def _read_shards(shards: list[ShardPlan]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        if "image" not in shard.columns:
            yield from shard.rows()
            continue
        metadata = [name for name in shard.columns if name != "image"]
        for row, image in _read_images(shard):
            yield {
                "image": {"bytes": image, "path": f"{row['key']}.jpg"},
                **{name: row[name] for name in metadata},
            }


def _read_images(shard: ShardPlan) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each row with its image, reading neighbours in one go."""
    for start, end, rows in _runs(shard.rows()):
        data = memoryview(shard.repository.read_range(shard.path, start, end))
        for row in rows:
            begin = row["jpg_offset"] - start
            image = bytes(data[begin : begin + row["jpg_size"]])
            if hashlib.sha256(image).hexdigest() != row["sha256"]:
                cut = len(image) < row["jpg_size"]
                raise FormatError(
                    f"{shard.repository.storage.name}/{shard.path} "
                    f"{'is cut short' if cut else 'has other bytes than the index says'} "
                    f"at sample {row['key']}. Fetch or build the shard again."
                )
            yield row, image


def _runs(rows: list[dict[str, Any]]) -> Iterator[tuple[int, int, list[dict[str, Any]]]]:
    """Group rows, sorted by offset, into byte ranges without large gaps."""
    run: list[dict[str, Any]] = []
    start = end = 0
    for row in rows:
        first, last = row["jpg_offset"], row["jpg_offset"] + row["jpg_size"]
        if run and (first - end > _GAP_BYTES or last - start > _RUN_BYTES):
            yield start, end, run
            run = []
        if not run:
            start = first
        end = last
        run.append(row)
    if run:
        yield start, end, run


def _features(columns: tuple[str, ...], *, decode: bool) -> "datasets.Features":
    import datasets

    types = {field.name: datasets.Value(str(field.type)) for field in METADATA}
    types["image"] = datasets.Image(decode=decode)
    return datasets.Features({name: types[name] for name in columns})


def _map_style(
    plans: list[ShardPlan], features: "datasets.Features", split: str
) -> "datasets.Dataset":
    import datasets

    name = datasets.NamedSplit(split)
    if not plans:  # `from_generator` refuses to make nothing
        nothing: dict[str, list[Any]] = {column: [] for column in features}
        return datasets.Dataset.from_dict(nothing, features=features, split=name)
    try:
        return datasets.Dataset.from_generator(
            _read_shards,
            features=features,
            gen_kwargs={"shards": plans},
            split=name,
            fingerprint=_fingerprint(plans, features, split),
        )
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, MellaError):
            raise error.__cause__ from None
        raise


def _fingerprint(plans: list[ShardPlan], features: "datasets.Features", split: str) -> str:
    """Name the cached copy by its content, so that what was built anew is read anew."""
    digest = hashlib.sha256(repr((FORMAT_VERSION, features, split)).encode())
    for plan in plans:
        digest.update(plan.encoded)
    return digest.hexdigest()[:32]
