"""Open the files of a Common Crawl index, on this machine or elsewhere, and check what they are.

An index is a table in Parquet, in the flat schema of `commoncrawl/cc-index-table`
(`cc-index-schema-flat.json`): a row is a record of an archive.
"""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mella.builders.culture.archives.records import READS
from mella.builders.engine.step import REASON, Step
from mella.errors import MellaError

if TYPE_CHECKING:
    import duckdb

COLUMNS = (
    *("url", "url_host_name", "url_host_tld", "url_host_registered_domain", "url_path"),
    *("url_query", "fetch_time", "fetch_status", "content_digest", "content_mime_type"),
    *("content_mime_detected", "content_languages"),
    *("warc_filename", "warc_record_offset", "warc_record_length"),
)
"""The columns that are read; an index without one of them (before CC-MAIN-2018-39) is too old."""

TRUNCATED = "content_truncated"
"""A column that is read where there is one."""

INDEX = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("index", pa.string(), nullable=False),  # all files of a build have the same
        pa.field("rows", pa.int64()),
        pa.field("truncation", pa.bool_()),  # whether it says which records are truncated
        REASON,
    ]
)
"""The columns of a file of an index."""
_WEB = ("http", "https")
_PARQUET = b"PAR1"
_FOOTER_END = 8
"""Bytes at the end of a file in Parquet: the length of what stands before them, and `PAR1`."""


class DiscoverError(MellaError, RuntimeError):
    """An index that cannot be asked."""


@dataclass(frozen=True)
class IndexParams:
    """How the files of an index are listed: there is nothing to choose."""


def index_step(params: IndexParams) -> Step:
    """Return the step that looks at each file of an index (`path`, and the stable `name`).

    One that is no Parquet gets `index:unreadable`, one with other columns `index:not_an_index`,
    and the others are asked without it. A path may be a URL. The step fails with DiscoverError
    where a file cannot be reached.
    """
    return Step(
        name="index",
        version=2,
        fn=_list_files,
        reads=READS,
        writes=INDEX,
        params=params,
        expands=True,
        unit="index files",
    )


def check_file(path: str) -> tuple[int | None, bool | None, str | None]:
    """Read the footer of a file.

    Returns:
        Its rows, whether it says which records are truncated, and None; or twice None, and why it
        cannot be used.

    Raises:
        DiscoverError: It cannot be reached. That says nothing of the file, so the build has to be
            run again.
    """
    import pyarrow.parquet as pq

    try:
        footer = _footer(path)
    except Exception as error:
        # File systems raise errors of many kinds; the one of the connection is often the cause.
        cause = error.__cause__ or error
        told = " ".join(str(cause).split())
        raise DiscoverError(
            f"The index file {path} cannot be reached: {type(cause).__name__}: {told}. Check its "
            "name in [inputs] common_crawl, and whether this machine may read it. Then run this "
            "again."
        ) from error
    try:
        metadata = pq.read_metadata(io.BytesIO(footer))
    except (OSError, pa.ArrowException):
        return None, None, "index:unreadable"
    names = metadata.schema.to_arrow_schema().names
    if not {*COLUMNS} <= {*names}:
        return None, None, "index:not_an_index"
    return metadata.num_rows, TRUNCATED in names, None


def _footer(path: str) -> bytes:
    """Return the end of a file: the whole footer where it is in Parquet (file format, "Metadata").

    It is read apart from being understood: faults of the way to a file are not faults of the file.
    """
    import fsspec

    with fsspec.open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _FOOTER_END))
        end: bytes = file.read(_FOOTER_END)
        length = int.from_bytes(end[:4], "little") + _FOOTER_END
        if not end.endswith(_PARQUET) or length > size:
            return end
        file.seek(size - length)
        footer: bytes = file.read(length)
        return footer


@contextmanager
def open_index(paths: Sequence[str]) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Open files of an index as the table `records`; nothing of them is read yet.

    DuckDB reads local files itself, and others through the file systems of fsspec (its own
    extension for HTTP would have to be downloaded): just the columns that are asked for.

    Raises:
        DiscoverError: DuckDB is not installed, or cannot read a file.
    """
    try:
        import duckdb
    except ImportError as error:
        raise DiscoverError(
            "A Common Crawl index is read with DuckDB. Install it: pip install duckdb"
        ) from error

    schemes = sorted({path.partition("://")[0] for path in paths if "://" in path})
    with (
        # What does not fit into memory is sorted on the disk.
        tempfile.TemporaryDirectory(prefix="mella-index-") as spill,
        duckdb.connect(
            config={
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        ) as connection,
    ):
        try:
            for scheme in schemes:
                # One file system may serve several schemes, http and https for one.
                system = _files(scheme)
                if not connection.filesystem_is_registered(_registered(system)):
                    connection.register_filesystem(system)
            table = connection.read_parquet(
                list(paths), union_by_name=True, hive_partitioning=False
            )
            table.create_view("records")
            yield connection
        except (duckdb.Error, OSError) as error:
            raise DiscoverError(
                f"The index cannot be read: {_cause(error)}. If a file cannot be reached, run this "
                "again. If it is damaged, get it again, or take it out of common_crawl."
            ) from error


def _cause(error: Exception) -> str:
    """Return what DuckDB says, of a traceback of Python just the last line."""
    said = str(error).strip()
    return said.splitlines()[-1] if "Traceback (most recent call last)" in said else said


def _files(scheme: str) -> Any:
    import fsspec

    try:
        return _web_files() if scheme in _WEB else fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise DiscoverError(
            f"The index cannot be read: nothing here can read {scheme}:// ({error})."
        ) from error


def _web_files() -> Any:
    """Return the file system of fsspec for HTTP, with the one answer that DuckDB misses in it."""
    from fsspec.implementations.http import HTTPFileSystem

    class WebFiles(HTTPFileSystem):  # type: ignore[misc]  # it has no types
        """Files that never change, as those of a published index do not."""

        def modified(self, path: str) -> datetime:  # noqa: ARG002 - the same for all
            return datetime.fromtimestamp(0, UTC)

    return WebFiles()


def _registered(system: Any) -> str:
    """Return the name that DuckDB gives a file system of fsspec."""
    protocol = system.protocol
    return protocol if isinstance(protocol, str) else "-".join(protocol)


def _list_files(table: pa.Table, _: IndexParams, __: Any) -> Iterator[pa.Table]:
    rows = []
    for file in table.to_pylist():
        count, truncation, reason = check_file(file["path"])
        found = {"index": "common_crawl", "rows": count, "truncation": truncation}
        rows.append({**file, **found, "reason": reason})
    yield pa.Table.from_pylist(rows, schema=INDEX)
