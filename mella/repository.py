"""Find a repository (folder, fsspec URL, Hub id, the embedded sample) and read its files."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq

from mella.cache import RangeCache
from mella.errors import FormatError, RepositoryError
from mella.http import Retry
from mella.manifest import MANIFEST, Entry, Manifest
from mella.storage import (
    FolderStorage,
    HttpStorage,
    HubStorage,
    Progress,
    Storage,
    UrlStorage,
)

__all__ = [
    "FolderStorage",
    "HttpStorage",
    "HubStorage",
    "Repository",
    "Storage",
    "UrlStorage",
    "missing_file",
    "open_repository",
]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_URL = re.compile(r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/?")
_PROMISED = "The manifest names it: fetch or build the repository again."
_MAPPED = 16 << 20
"""Bytes from which on an index is read in place."""
_SAMPLE = Path(__file__).parent / "sample"


def missing_file(storage: Storage, path: str, hint: str = _PROMISED) -> RepositoryError:
    """Build the error for a file that is not there: where, which, what to do."""
    return RepositoryError(f"{storage.name} has no {path}. {hint}")


class Repository:
    """The files of a mella repository, found through its manifest.

    Threads may share it. It can be pickled, and used after a fork.

    Args:
        storage: Where the files lie.
        cache: Keeps what is read of files that are not on this machine.
    """

    def __init__(self, storage: Storage, cache: RangeCache | None = None) -> None:
        self.storage = storage
        self.cache = cache

    @cached_property
    def manifest(self) -> Manifest:
        """What the repository holds.

        Raises:
            RepositoryError: There is no manifest: not a mella repository, or not yet whole.
            FormatError: It is damaged, or of a newer format version.
        """
        with self._named(MANIFEST, "Is this a mella repository? The manifest is written last."):
            data = self.storage.read(MANIFEST)
        return Manifest.from_json(data, f"{self.storage.name}/{MANIFEST}")

    def index_file(self, entry: Entry) -> bytes | pa.Buffer:
        """Return an index file.

        A large one on this machine is mapped into memory and its hash is not computed, which would
        take longer than to read what is asked of it: its pages have checksums of their own.

        Raises:
            RepositoryError: It is missing.
            FormatError: It is not the one that the manifest names.
        """
        if cached := self._cached(entry.path, 0, entry.bytes):
            return cached
        with self._named(entry.path, _PROMISED):
            if (mapped := self.index_in_place(entry)) is not None:
                return mapped
            data = self.storage.read(entry.path)
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise FormatError(
                f"{self.storage.name}/{entry.path} is not the file that the manifest names: it has "
                f"{len(data)} bytes of {entry.bytes}, or another hash. Fetch or build it again."
            )
        self._keep(entry.path, 0, entry.bytes, data)
        return data

    def index_in_place(self, entry: Entry) -> pa.Buffer | None:
        """Return a large index file on this machine, mapped into memory; None: it is another."""
        local = self.local_path(entry.path) if entry.bytes >= _MAPPED else None
        if local is None or local.stat().st_size != entry.bytes:
            return None
        return pa.memory_map(str(local)).read_buffer()

    def read_range(self, path: str, start: int, end: int, *, fresh: bool = False) -> bytes:
        """Return the bytes of a shard from `start` up to `end`; fewer where it ends sooner.

        Args:
            path: Of the shard.
            start: First byte.
            end: After the last byte.
            fresh: Do not look into the cache, but replace what it has: for bytes that turned out
                to be wrong.

        Raises:
            RepositoryError: It is missing or cannot be read.
        """
        if not fresh and (cached := self._cached(path, start, end)):
            return cached
        with self._named(path, _PROMISED):
            data = self.storage.read_range(path, start, end)
        self._keep(path, start, end, data)
        return data

    def local_path(self, path: str) -> Path | None:
        """Return where a file lies on this machine; None: it does not, or not yet."""
        return self.storage.local_path(path)

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:
        """Return where a whole file lies on this machine, downloading it if need be.

        A download that broke off goes on where it stopped. One of the Hub goes to the Hub cache,
        another to $MELLA_CACHE (`~/.cache/mella`), where it is kept by its hash.

        Args:
            entry: Of the manifest.
            progress: Told how many more bytes have come.

        Raises:
            RepositoryError: It is missing or cannot be read.
            FormatError: It is not the one that the manifest names.
        """
        with self._named(entry.path, _PROMISED):
            return self.storage.fetch(entry, progress)

    @cached_property
    def tombstones(self) -> pa.Array:
        """The keys that were taken down and are never yielded.

        Raises:
            RepositoryError: The manifest names a table of them that is missing.
            FormatError: The table is damaged.
        """
        path = self.manifest.tombstones
        if path is None:
            return pa.nulls(0, pa.string())
        with self._named(path, _PROMISED):
            data = self.storage.read(path)
        try:
            table = pq.read_table(pa.BufferReader(data), columns=["key"])
            return table["key"].cast(pa.string()).combine_chunks()
        except (pa.ArrowException, OSError, KeyError) as error:
            raise FormatError(
                f"{self.storage.name}/{path} is not a table of takedowns with a column 'key' "
                f"({error}). Fetch or build it again."
            ) from error

    @cached_property
    def _hashes(self) -> dict[str, str]:
        entries = (*self.manifest.shards, *self.manifest.indexes)
        return {entry.path: entry.sha256 for entry in entries}

    def _cached(self, path: str, start: int, end: int) -> bytes | None:
        if self.cache is None or path not in self._hashes:
            return None
        return self.cache.get(self._hashes[path], start, end)

    def _keep(self, path: str, start: int, end: int, data: bytes) -> None:
        """Cache what came from another machine."""
        if self.cache is None or path not in self._hashes or self.local_path(path):
            return
        self.cache.put(self._hashes[path], start, end, data)

    @contextmanager
    def _named(self, path: str, hint: str) -> Iterator[None]:
        """Raise RepositoryError, naming the file, for whatever goes wrong with the storage."""
        try:
            yield
        except FileNotFoundError as error:
            raise missing_file(self.storage, path, hint) from error
        except FormatError:
            raise
        # File systems and clients, and their versions, differ in the types of their errors.
        except Exception as error:
            raise RepositoryError(
                f"Cannot read {path} of {self.storage.name}: {type(error).__name__}: {error}"
            ) from error


def open_repository(
    repo: str | Path | None,
    revision: str | None = None,
    *,
    cache: RangeCache | None = None,
    retry: Retry | None = None,
) -> Repository:
    """Find a repository.

    Args:
        repo: A folder; an fsspec URL; a Hub id ("org/name"; a folder of that name comes first) or
            `hf://datasets/org/name@revision`; None: $MELLA_REPO, else the embedded sample.
        revision: A branch, tag or commit of a Hub repository.
        cache: Keeps what is read of files that are not on this machine.
        retry: How patient to be with web servers and the Hub.

    Raises:
        RepositoryError: Nothing is there, or `revision` is given for something without revisions.
    """
    repo = repo or os.environ.get("MELLA_REPO") or None
    if repo is None:
        warnings.warn(
            "No repo= given and $MELLA_REPO is not set: using the small sample embedded in mella.",
            stacklevel=3,
        )
        repo = _SAMPLE
    if isinstance(repo, str) and (hub := _hub_name(repo)):
        repo_id, in_url = hub
        return Repository(HubStorage(repo_id, revision or in_url, retry=retry), cache)
    if revision is not None:
        raise RepositoryError(f"revision={revision!r} needs a Hub repository; {repo} is none.")
    if isinstance(repo, str) and repo.lower().startswith("file://"):
        repo = url2pathname(urlsplit(repo).path)
    if isinstance(repo, str) and "://" in repo:
        if repo.partition("://")[0].lower() in ("http", "https"):
            return Repository(HttpStorage(repo, retry=retry), cache)
        return Repository(UrlStorage(repo, retry=retry), cache)
    folder = Path(repo).expanduser()
    if not folder.is_dir():
        raise RepositoryError(
            f"repo={str(repo)!r} is neither a folder that exists, nor a URL, nor a Hub id like "
            "'org/name'."
        )
    return Repository(FolderStorage(folder.absolute()))


def _hub_name(repo: str) -> tuple[str, str | None] | None:
    if match := _HUB_URL.fullmatch(repo):
        return match["id"], match["revision"]
    if _HUB_ID.fullmatch(repo) and not Path(repo).exists() and not repo.startswith("."):
        return repo, None
    return None
