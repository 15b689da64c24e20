"""Samples as a `datasets.Dataset` whose images stay in the shards and are read when looked at."""

import functools
import hashlib
import inspect
import posixpath
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher
from datasets.table import embed_table_storage

from mella.filesystem import SCHEME, image_urls
from mella.manifest import Entry
from mella.plan import Cell, plan_cell
from mella.repository import FolderStorage, Repository
from mella.samples import KeyFinder, UnknownKeyError
from mella.schema import FORMAT_VERSION, METADATA

_FETCHES = 4
"""Shards that are fetched at the same time."""
_EMBED_ROWS = 100


def map_style(
    repository: Repository,
    entries: Sequence[Entry],
    *,
    where: pc.Expression | str | None = None,
    columns: Sequence[str],
    decode: bool = True,
    split: str,
    progress: bool | None = None,
) -> "KeyedDataset":
    """Return the samples of some cells as a data set with random access.

    Rows are kept in memory, images are not: they are read from the shards, checked, when a row is
    looked at. Shards that are not on this machine are fetched before.

    Args:
        repository: That the indexes are of.
        entries: The indexes.
        where: Keep only the samples that it holds for, see `mella.where.parse_where`.
        columns: To keep, of `mella.plan.COLUMNS`; without "image" no shard is fetched.
        decode: True: an image is a `PIL.Image`. False: `{"bytes": JPEG bytes, "path": name}`.
        split: Named by the data set.
        progress: Show on stderr how far fetching is. None: where stderr is a terminal.

    Raises:
        RepositoryError: An index or shard is missing or cannot be read.
        FormatError: An index is damaged, or a shard has another size or hash when it is fetched.
            While looking at rows: a shard is damaged; names it and the key.
        WhereError: `where` does not fit the columns.
    """
    names = [name for name in columns if name != "image"]
    cells = [plan_cell(repository, entry, where=where, columns=names) for entry in entries]
    kinds = features(columns, decode=decode)
    here: dict[str, Path] = {}
    if "image" in columns:
        wanted = {path for cell in cells for path in cell.shards}
        here = fetch_shards(repository, wanted, progress=progress)
    table = pa.concat_tables(
        [kinds.arrow_schema.empty_table(), *(_rows(cell, kinds, here) for cell in cells)]
    )
    content = [
        FORMAT_VERSION,
        [(entry.path, entry.sha256) for entry in entries],
        [(cell.name, cell.digest) for cell in cells],
        tuple(columns),
        decode,
        split,
        sorted(map(str, here.values())),  # the images are read there: a copy elsewhere is another
    ]
    dataset = KeyedDataset(
        table,
        info=datasets.DatasetInfo(features=kinds),
        split=datasets.NamedSplit(split),
        fingerprint=hashlib.sha256(repr(content).encode()).hexdigest()[:32],
    )
    return dataset if decode or "image" not in columns else dataset.with_transform(with_bytes)


def features(columns: Sequence[str], *, decode: bool = True) -> datasets.Features:
    """Return the types of the columns of a loaded sample."""
    types = {field.name: datasets.Value(str(field.type)) for field in METADATA}
    types["image"] = datasets.Image(decode=decode)
    return datasets.Features({name: types[name] for name in columns})


def fetch_shards(
    repository: Repository, shards: set[str], *, progress: bool | None = None
) -> dict[str, Path]:
    """Return where shards lie on this machine, fetching those that do not.

    Args:
        repository: That the shards are of.
        shards: Paths inside the repository.
        progress: See `map_style`.

    Raises:
        RepositoryError: One is missing or cannot be read.
        FormatError: One is not the file that the manifest names.
    """
    entries = [entry for entry in repository.manifest.shards if entry.path in shards]
    local = isinstance(repository.storage, FolderStorage)
    show = not local and (sys.stderr.isatty() if progress is None else progress)
    with _bar(sum(entry.bytes for entry in entries), show=show) as advance:
        fetch = functools.partial(repository.fetch, progress=advance)
        with ThreadPoolExecutor(_FETCHES) as pool:
            paths = list(pool.map(fetch, entries))
    return {entry.path: path for entry, path in zip(entries, paths, strict=True)}


@contextmanager
def _bar(total: int, *, show: bool) -> Iterator[Callable[[int], None] | None]:
    """Yield what is to be told of every number of bytes that came."""
    if not show:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("Fetching shards", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield functools.partial(bar.advance, task)


def _rows(cell: Cell, kinds: datasets.Features, here: dict[str, Path]) -> pa.Table:
    """Return the rows of a cell; an image is a name of the file system of shards."""
    table: Any = cell.metadata
    if "image" in kinds:
        urls = image_urls(cell, [here[path] for path in cell.shards])
        nothing = pa.nulls(len(urls), pa.binary())
        images = pa.StructArray.from_arrays([nothing, urls], ["bytes", "path"])
        table = table.append_column("image", images)
    return table.select(list(kinds)).cast(kinds.arrow_schema)


def with_bytes(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Put the bytes of images, with plain names, in the place of their names in shards."""
    return {name: [_with_bytes(value) for value in values] for name, values in batch.items()}


def _with_bytes(value: Any) -> Any:
    match value:
        case {"bytes": None, "path": str(path)} if path.startswith(f"{SCHEME}://"):
            data = fsspec.filesystem(SCHEME).cat_file(path)
            return {"bytes": data, "path": posixpath.basename(path)}
    return value


def _keyed(made: Any) -> Any:
    """Give what a method of `datasets.Dataset` made the class of what it was made from."""
    if isinstance(made, datasets.DatasetDict):
        for dataset in made.values():
            _keyed(dataset)
    elif isinstance(made, datasets.Dataset):
        made.__class__ = KeyedDataset
    return made


def _keeping_class(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of `datasets.Dataset` that makes what it makes into a `KeyedDataset`."""

    @functools.wraps(method)
    def keeping(self: "KeyedDataset", *args: Any, **options: Any) -> Any:
        return _keyed(method(self, *args, **options))

    return keeping


def _cache_folder() -> Path:
    return Path(datasets.config.HF_DATASETS_CACHE) / "mella"


class KeyedDataset(datasets.Dataset):  # type: ignore[misc]  # datasets has no types
    """A `datasets.Dataset` of samples: `ds["0a1b..."]` is the row with that key.

    All else is as in `datasets`, with two exceptions: results of `map` and `filter` are kept in its
    cache although the rows are in memory, and images are written into what `save_to_disk` and
    `to_parquet` write.
    """

    def __getitem__(self, key: Any) -> Any:
        """Return a row (by number or key), rows, or a column."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self.column_names:
            return super().__getitem__(self._row(key))
        if self._reads_images:
            return datasets.Dataset.__getitem__(self.select_columns([key]), key)  # no other is read
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        """Whether a row has this key; it is not decoded."""
        if isinstance(key, str) and "key" in self.column_names:
            return self._finder.find(key) is not None
        return any(row == key for row in self)

    def _row(self, key: str) -> int:
        if "key" not in self.column_names:
            raise UnknownKeyError(
                f"{key!r} is no column of {', '.join(self.column_names)}; to find rows by key, "
                "keep the column 'key'."
            )
        row = self._finder.find(key)
        if row is None:
            raise UnknownKeyError(f"No row has the key {key!r}, and no column this name.")
        return row

    @functools.cached_property
    def _finder(self) -> KeyFinder:
        keys = self.select_columns(["key"]).with_format("arrow")[:]["key"]
        return KeyFinder(keys.cast(pa.large_string()).combine_chunks())

    @property
    def _reads_images(self) -> bool:
        return self.format["format_kwargs"].get("transform") is with_bytes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_finder"}

    def map(self, *args: Any, **options: Any) -> Any:
        """Apply a function to all rows, as `datasets.Dataset.map`; cached by content."""
        method = datasets.Dataset.map
        call = inspect.signature(method).bind(self, *args, **options).arguments
        in_memory = call.get("keep_in_memory") or self.cache_files
        if not in_memory and call.get("cache_file_name") is None and datasets.is_caching_enabled():
            call["cache_file_name"] = self._cache_file(call)
        return _keyed(method(**call))

    def _cache_file(self, call: dict[str, Any]) -> str | None:
        """Return a file for the result of a call of `map`, the same for the same rows and call."""
        told = {name: value for name, value in call.items() if name not in _NOT_CONTENT}
        name = call.get("new_fingerprint")
        try:
            name = name or Hasher.hash([self._fingerprint, sorted(told.items())])
        except Exception:  # noqa: BLE001  pickling a function may run into anything
            return None  # what has no name stays in memory; `datasets` warns of it
        return str(_cache_folder() / f"cache-{name}.arrow")

    def save_to_disk(self, *args: Any, **options: Any) -> None:
        """Write the data set into a folder, as `datasets.Dataset.save_to_disk`, images and all."""
        with self._embedded() as embedded:
            datasets.Dataset.save_to_disk(embedded, *args, **options)

    def to_parquet(self, *args: Any, **options: Any) -> int:
        """Write the data set to a file, as `datasets.Dataset.to_parquet`, images and all."""
        with self._embedded() as embedded:
            written: int = datasets.Dataset.to_parquet(embedded, *args, **options)
        return written

    @contextmanager
    def _embedded(self) -> Iterator[datasets.Dataset]:
        """Yield the same rows with the images in them, in a temporary file."""
        _cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_cache_folder()) as folder:
            embedded = datasets.Dataset.map(
                self.with_format("arrow"),
                embed_table_storage,
                batched=True,
                batch_size=_EMBED_ROWS,
                writer_batch_size=_EMBED_ROWS,
                cache_file_name=f"{folder}/embedded.arrow",
                desc="Reading images",
            )
            # The transform that reads images has no more to do, and cannot be written.
            yield (
                embedded.with_format(None)
                if self._reads_images
                else embedded.with_format(**self.format)
            )

    add_column = _keeping_class(datasets.Dataset.add_column)
    add_item = _keeping_class(datasets.Dataset.add_item)
    batch = _keeping_class(datasets.Dataset.batch)
    cast = _keeping_class(datasets.Dataset.cast)
    cast_column = _keeping_class(datasets.Dataset.cast_column)
    class_encode_column = _keeping_class(datasets.Dataset.class_encode_column)
    filter = _keeping_class(datasets.Dataset.filter)
    flatten_indices = _keeping_class(datasets.Dataset.flatten_indices)
    repeat = _keeping_class(datasets.Dataset.repeat)
    select = _keeping_class(datasets.Dataset.select)
    shard = _keeping_class(datasets.Dataset.shard)
    shuffle = _keeping_class(datasets.Dataset.shuffle)
    skip = _keeping_class(datasets.Dataset.skip)
    sort = _keeping_class(datasets.Dataset.sort)
    take = _keeping_class(datasets.Dataset.take)
    train_test_split = _keeping_class(datasets.Dataset.train_test_split)


_NOT_CONTENT = ("self", "load_from_cache_file", "num_proc", "desc", "suffix_template")
