"""`load_mella`: the samples of one or more languages as a Hugging Face data set."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from mella import index
from mella.errors import FormatError, RepositoryError, unknown_name
from mella.languages import resolve_languages
from mella.repository import Repository, open_repository
from mella.schema import METADATA, SOURCES, SPLITS

if TYPE_CHECKING:
    import datasets

_RUN_BYTES = 8 << 20
_GAP_BYTES = 256 << 10
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
    """Load image-text pairs.

    Args:
        lang: A language code ("th"), several, or "all" that the repository has.
        source: "culture" (native alt-text), "linguistics" (thick translated captions) or "both".
        split: "train", "validation" or "test".
        repo: A folder, an fsspec URL (`s3://...`, `https://...`) or a Hub id ("org/name").
            Default: $MELLA_REPO, else the small sample embedded in the package.
        revision: Branch, tag or commit of a Hub repository; pinned to a commit when opened.
        streaming: True: an `IterableDataset` that reads byte ranges as it goes. False: a `Dataset`,
            made once and kept in the `datasets` cache.
        where: Keep only these samples; applied to the index before any image byte is read. A string
            such as "width >= 300 and script == 'Latn'", or a pyarrow expression.
        columns: Keep only these columns; without "image" no image byte is read.
        decode: True: "image" is a `PIL.Image`. False: `{"bytes": JPEG bytes, "path": name}`.

    Returns:
        Rows with `image`, `text` and the columns of `mella.schema.METADATA`.

    Raises:
        UnknownNameError: Unknown language, source, split or column; lists the known ones.
        RepositoryError: No repository there, or it holds nothing of what was asked for.
        FormatError: Its files are damaged. While iterating: a sample's bytes are not those that
            the index promises; names the shard and the key.
    """
    import datasets

    chosen = _columns(columns)
    repository = open_repository(repo, revision)
    shards = _plan(repository, _cells(repository, lang, source, split), where)
    features = _features(chosen, decode=decode)
    arguments = {"shards": shards, "columns": [chosen] * len(shards)}
    if not shards:
        return _empty(features, streaming=streaming)
    if streaming:
        return datasets.IterableDataset.from_generator(
            _read_shards, features=features, gen_kwargs=arguments
        )
    return datasets.Dataset.from_generator(
        _read_shards,
        features=features,
        gen_kwargs=arguments,
        fingerprint=_fingerprint(repository, shards, chosen, decode=decode),
    )


@dataclass(frozen=True)
class ShardPlan:
    """The rows to read from one shard, in the order of their bytes."""

    repository: Repository
    path: str
    rows: pa.Table


def _cells(
    repository: Repository, lang: str | Iterable[str], source: str, split: str
) -> list[tuple[str, str, str]]:
    sources = SOURCES if source == "both" else (source,)
    if source not in (*SOURCES, "both"):
        raise unknown_name("source", source, (*SOURCES, "both"))
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    there = repository.manifest.cells()
    wanted = {language.code for language in resolve_languages(lang)}
    cells = [c for c in there if c[0] in sources and c[1] in wanted and c[2] == split]
    missing = wanted - {cell[1] for cell in cells} if lang != "all" else set()
    if missing or not cells:
        raise RepositoryError(
            f"{repository.storage.name} has no {source} samples in split {split!r} for "
            f"{', '.join(sorted(missing or wanted))}. It has: {_summary(there)}."
        )
    return cells


def _summary(cells: list[tuple[str, str, str]]) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for source, lang, split in cells:
        groups.setdefault((source, split), []).append(lang)
    return "; ".join(f"{s} {p}: {' '.join(langs)}" for (s, p), langs in groups.items()) or "nothing"


def _columns(columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(COLUMNS)
    for name in columns:
        if name not in COLUMNS:
            raise unknown_name("column", name, COLUMNS)
    return [name for name in COLUMNS if name in set(columns)]


def _plan(
    repository: Repository,
    cells: list[tuple[str, str, str]],
    where: "pc.Expression | str | None",
) -> list[ShardPlan]:
    plans = []
    known = {entry.path for entry in repository.manifest.shards}
    for cell in cells:
        entry = repository.manifest.index(*cell)
        assert entry is not None  # noqa: S101 - the cells come from this manifest
        name = f"{repository.storage.name}/{entry.path}"
        table = index.read_index(repository.index_file(entry.path, entry.bytes), name, where)
        table = table.filter(pc.invert(pc.is_in(table["key"], repository.tombstones)))
        for path in pc.unique(table["shard"]).to_pylist():
            if path not in known:
                raise FormatError(f"{name} points to the shard {path!r}, not in the manifest.")
            rows = table.filter(pc.field("shard") == path).sort_by("offset")
            # A filtered table may share the buffers of the whole; a worker gets only its rows.
            plans.append(ShardPlan(repository, path, rows.combine_chunks()))
    return plans


def _read_shards(shards: list[ShardPlan], columns: list[list[str]]) -> Iterator[dict[str, Any]]:
    for shard, chosen in zip(shards, columns, strict=True):
        if "image" not in chosen:
            yield from shard.rows.select(chosen).to_pylist()
            continue
        metadata = [name for name in chosen if name != "image"]
        for row, image in _read_images(shard):
            yield {
                "image": {"bytes": image, "path": f"{row['key']}.jpg"},
                **{name: row[name] for name in metadata},
            }


def _read_images(shard: ShardPlan) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each row with its image, reading neighbours in one go."""
    where = f"{shard.repository.storage.name}/{shard.path}"
    for start, end, rows in _runs(index.rows(shard.rows)):
        try:
            data = memoryview(shard.repository.storage.read_range(shard.path, start, end))
        except FileNotFoundError as error:
            raise RepositoryError(
                f"{where} is missing, though the manifest names it. Fetch or build it again."
            ) from error
        for row in rows:
            begin = row["jpg_offset"] - start
            image = bytes(data[begin : begin + row["jpg_size"]])
            if hashlib.sha256(image).hexdigest() != row["sha256"]:
                cut = len(image) < row["jpg_size"]
                raise FormatError(
                    f"{where} {'is cut short' if cut else 'has other bytes than the index says'} "
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


def _features(columns: list[str], *, decode: bool) -> "datasets.Features":
    import datasets

    types = {field.name: datasets.Value(str(field.type)) for field in METADATA}
    types["image"] = datasets.Image(decode=decode)
    return datasets.Features({name: types[name] for name in columns})


def _empty(
    features: "datasets.Features", *, streaming: bool
) -> "datasets.IterableDataset | datasets.Dataset":
    import datasets

    empty = datasets.Dataset.from_dict({name: [] for name in features}, features=features)
    return empty.to_iterable_dataset() if streaming else empty


def _fingerprint(
    repository: Repository, shards: list[ShardPlan], columns: list[str], *, decode: bool
) -> str:
    """Name the cached copy by content, so that a folder that was built anew is read anew."""
    digest = hashlib.sha256(repository.storage.name.encode())
    digest.update(repr((columns, decode)).encode())
    for shard in shards:
        digest.update(shard.path.encode())
        for key, sha256 in zip(shard.rows["key"], shard.rows["sha256"], strict=True):
            digest.update(f"{key} {sha256}".encode())
    return digest.hexdigest()[:32]
