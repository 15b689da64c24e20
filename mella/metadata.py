"""`load_index`: the metadata of samples as a pyarrow data set, without any image."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import LocalFileSystem

from mella.index import open_index
from mella.manifest import Entry
from mella.plan import check_names, find_cells
from mella.repository import Repository, open_repository
from mella.schema import INDEX
from mella.where import parse_where

if TYPE_CHECKING:
    import pyarrow.dataset as ds


def load_index(
    lang: str | Iterable[str],
    source: str = "both",
    *,
    split: str = "train",
    repo: str | Path | None = None,
    revision: str | None = None,
    where: pc.Expression | str | None = None,
) -> "ds.Dataset":
    """Open the metadata of samples: for statistics, SQL, or training on texts alone.

    Rows are read when it is scanned, and then only the columns and rows that are asked for. An
    index that is not in a folder is fetched whole, into the cache.

    Args:
        lang: A language code ("th"), several, or "all": every one that the repository has.
        source: "culture", "linguistics" or "both".
        split: "train", "validation" or "test".
        repo: A folder, an fsspec URL or a Hub id; see `mella.load_mella`.
        revision: Branch, tag or commit of a Hub repository.
        where: Keep only these rows, see `mella.where.parse_where`.

    Returns:
        The columns of `mella.schema.INDEX`, one row a sample, without what was taken down. See
        https://arrow.apache.org/docs/python/generated/pyarrow.dataset.Dataset.html for what it can
        do: `.to_table(columns=[...])`, `.count_rows()`, `.to_batches()`, SQL by DuckDB.

    Raises:
        UnknownNameError: Unknown language, source, split or column; lists the known ones.
        WhereError: `where` is not a filter of the columns of the index.
        RepositoryError: No repository there, or it holds nothing of what was asked for.
        FormatError: An index is damaged.
    """
    import pyarrow.dataset as ds

    wanted = check_names(lang, source, split)
    chosen = None if where is None else parse_where(where, INDEX)
    repository = open_repository(repo, revision)
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = ds.ParquetFileFormat(default_fragment_scan_options=options)
    here = LocalFileSystem()
    fragments = [
        form.make_fragment(_checked(repository, entry), here)
        for entry in find_cells(repository, wanted)
    ]
    rows = ds.FileSystemDataset(fragments, INDEX, form, here)
    if len(repository.tombstones):
        rows = rows.filter(~pc.field("key").isin(repository.tombstones))
    return rows if chosen is None else rows.filter(chosen)


def _checked(repository: Repository, entry: Entry) -> str:
    """Return where an index lies on this machine, that has the columns of one."""
    path = repository.local_path(entry.path) or repository.fetch(entry)
    open_index(pa.memory_map(str(path)).read_buffer(), f"{repository.storage.name}/{entry.path}")
    return str(path)
