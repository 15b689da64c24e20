"""Find a repository (folder, fsspec URL, Hub id, the embedded sample) and read its files."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from mella.errors import FormatError, RepositoryError
from mella.manifest import MANIFEST, Entry, Manifest

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_URL = re.compile(r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/?")
_NOT_SEEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_NO_RIGHT = (
    " (For a private or gated one, log in with `hf auth login`; for a folder, give a path that "
    "exists.)"
)
_PROMISED = "The manifest names it: fetch or build the repository again."
_SAMPLE = Path(__file__).parent / "sample"


class Storage(Protocol):
    """Where the files of a repository lie. Implementations are small and can be pickled."""

    @property
    def name(self) -> str:
        """What a person calls it: named in errors."""
        ...

    def read(self, path: str) -> bytes:
        """Return a whole file.

        Raises:
            FileNotFoundError: There is none.
        """
        ...

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`; fewer where the file ends sooner.

        Raises:
            FileNotFoundError: There is no such file.
        """
        ...


class FolderStorage:
    """A local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        return (self.folder / path).read_bytes()

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        with (self.folder / path).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), end - start, start)


class UrlStorage:
    """Any URL that fsspec has a file system for: http, s3, gs, memory ..."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        file_system, root = self._open()
        content: bytes = file_system.cat_file(f"{root}/{path}")
        return content

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        file_system, root = self._open()
        try:
            content: bytes = file_system.cat_file(f"{root}/{path}", start=start, end=end)
        except Exception as error:
            if getattr(error, "status", None) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""
            raise
        # A plain web server answers a range with the whole file.
        return content if len(content) <= end - start else content[start:end]

    def _open(self) -> tuple[Any, str]:
        import fsspec

        file_system, root = fsspec.core.url_to_fs(self.url)
        return file_system, root.rstrip("/")


class HubStorage:
    """A data set repository on the Hugging Face Hub, at one commit.

    Whole files go through the client's cache; ranges are plain requests, because the client's file
    objects read on to the end of the file.
    """

    def __init__(self, repo_id: str, revision: str | None) -> None:
        """Pin the revision to the commit it names now: one request.

        Raises:
            RepositoryError: No such repository or revision, or no right to read it.
        """
        self.repo_id = repo_id
        asked = revision or "main"
        try:
            self.revision: str = _commit(repo_id, asked)
        # The client's transport, and with it the type of its errors, differs between versions.
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            hint = _NO_RIGHT if status in _NOT_SEEN else ""
            raise RepositoryError(
                f"Cannot open the Hub data set {repo_id!r} at revision {asked}: {error}{hint}"
            ) from error

    @property
    def name(self) -> str:
        """The id and the commit."""
        return f"{self.repo_id}@{self.revision}"

    def read(self, path: str) -> bytes:
        """Return a whole file, through the Hub cache."""
        from huggingface_hub import hf_hub_download

        with _hub_errors():
            local = hf_hub_download(self.repo_id, path, repo_type="dataset", revision=self.revision)
        return Path(local).read_bytes()

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

        url = hf_hub_url(self.repo_id, path, repo_type="dataset", revision=self.revision)
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        with _hub_errors():
            # It tries again, waiting longer each time, on cut connections, 429 and 5xx.
            response = http_backoff("GET", url, headers=headers, follow_redirects=True)
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return b""
            hf_raise_for_status(response)
        content: bytes = response.content
        # A server may answer a range with the whole file (200).
        whole = response.status_code != HTTPStatus.PARTIAL_CONTENT
        return content[start:end] if whole else content


def _commit(repo_id: str, revision: str) -> str:
    """Return the commit that a revision names now. The client's own call gives up on the first 503.

    Raises:
        Exception: Those of the client and its transport.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    url = f"{HfApi().endpoint}/api/datasets/{repo_id}/revision/{quote(revision, safe='')}"
    response = http_backoff("GET", url, headers=build_hf_headers(), follow_redirects=True)
    hf_raise_for_status(response)
    commit: str = response.json()["sha"]
    return commit


@contextmanager
def _hub_errors() -> Iterator[None]:
    """Raise FileNotFoundError for a file that the Hub does not have, and only for that."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    try:
        yield
    except RemoteEntryNotFoundError as error:
        raise FileNotFoundError(str(error)) from error
    except LocalEntryNotFoundError as error:  # neither reached nor in the cache
        raise ConnectionError(str(error)) from error


class Repository:
    """The files of a mella repository, found through its manifest."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

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

    def index_file(self, entry: Entry) -> bytes:
        """Return an index file.

        Raises:
            RepositoryError: It is missing.
            FormatError: It is not the one that the manifest names.
        """
        with self._named(entry.path, _PROMISED):
            data = self.storage.read(entry.path)
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise FormatError(
                f"{self.storage.name}/{entry.path} is not the file that the manifest names: it has "
                f"{len(data)} bytes of {entry.bytes}, or another hash. Fetch or build it again."
            )
        return data

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes of a shard from `start` up to `end`; fewer where it ends sooner.

        Raises:
            RepositoryError: It is missing or cannot be read.
        """
        with self._named(path, _PROMISED):
            return self.storage.read_range(path, start, end)

    @cached_property
    def tombstones(self) -> pa.Array:
        """The keys that were taken down and are never yielded.

        Raises:
            RepositoryError: The manifest names a table of them that is missing.
            FormatError: The table is damaged.
        """
        path = self.manifest.tombstones
        if path is None:
            return pa.array([], pa.string())
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

    @contextmanager
    def _named(self, path: str, hint: str) -> Iterator[None]:
        """Raise RepositoryError, naming the file, for whatever goes wrong with the storage."""
        try:
            yield
        except FileNotFoundError as error:
            raise RepositoryError(f"{self.storage.name} has no {path}. {hint}") from error
        # File systems and clients, and their versions, differ in the types of their errors.
        except Exception as error:
            raise RepositoryError(
                f"Cannot read {path} of {self.storage.name}: {type(error).__name__}: {error}"
            ) from error


def open_repository(repo: str | Path | None, revision: str | None = None) -> Repository:
    """Find a repository.

    Args:
        repo: A folder; an fsspec URL; a Hub id ("org/name"; a folder of that name comes first) or
            `hf://datasets/org/name@revision`; None: $MELLA_REPO, else the embedded sample.
        revision: A branch, tag or commit of a Hub repository.

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
        return Repository(HubStorage(repo_id, revision or in_url))
    if revision is not None:
        raise RepositoryError(f"revision={revision!r} needs a Hub repository; {repo} is none.")
    if isinstance(repo, str) and "://" in repo:
        return Repository(UrlStorage(repo))
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
