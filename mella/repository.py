"""Find a repository (folder, fsspec URL, Hub id, the embedded sample) and read its files."""

import os
import re
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mella.errors import FormatError, RepositoryError
from mella.manifest import MANIFEST, Manifest

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_URL = re.compile(r"hf://datasets/(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?/?")
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
        """Return the bytes from `start` up to `end`; fewer where the file ends sooner."""
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
        content: bytes = file_system.cat_file(f"{root}/{path}", start=start, end=end)
        return content

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
        from huggingface_hub import HfApi

        self.repo_id = repo_id
        try:
            info = HfApi().dataset_info(repo_id, revision=revision)
        # The client's transport, and with it the type of its errors, differs between versions.
        except Exception as error:
            raise RepositoryError(
                f"Cannot open the Hub data set {repo_id!r} at revision {revision or 'main'}: "
                f"{error} (For a private or gated one, log in with `hf auth login`; for a folder, "
                "give a path that exists.)"
            ) from error
        self.revision = info.sha

    @property
    def name(self) -> str:
        """The id and the commit."""
        return f"{self.repo_id}@{self.revision}"

    def read(self, path: str) -> bytes:
        """Return a whole file, through the Hub cache."""
        from huggingface_hub import hf_hub_download

        local = hf_hub_download(self.repo_id, path, repo_type="dataset", revision=self.revision)
        return Path(local).read_bytes()

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

        url = hf_hub_url(self.repo_id, path, repo_type="dataset", revision=self.revision)
        headers = {**build_hf_headers(), "Range": f"bytes={start}-{end - 1}"}
        response = http_backoff("GET", url, headers=headers, follow_redirects=True)
        hf_raise_for_status(response)
        content: bytes = response.content
        # A server may answer a range with the whole file (200).
        return content if response.status_code == 206 else content[start:end]


class Repository:
    """The files of a mella repository, found through its manifest."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @cached_property
    def manifest(self) -> Manifest:
        """What the repository holds.

        Raises:
            RepositoryError: There is no manifest: not a mella repository, or not yet whole.
        """
        where = f"{self.storage.name}/{MANIFEST}"
        return Manifest.from_json(
            self._read(MANIFEST, "It is written last: is the build whole?"), where
        )

    def index_file(self, path: str, nbytes: int) -> bytes:
        """Return an index file.

        Raises:
            RepositoryError: It is missing.
            FormatError: Its size is not that of the manifest.
        """
        data = self._read(path, "The manifest names it: fetch or build the repository again.")
        if len(data) != nbytes:
            raise FormatError(
                f"{self.storage.name}/{path} has {len(data)} bytes; the manifest says {nbytes}. "
                "Fetch or build it again."
            )
        return data

    @cached_property
    def tombstones(self) -> pa.Array:
        """The keys that were taken down and are never yielded."""
        import pyarrow.parquet as pq

        path = self.manifest.tombstones
        if path is None:
            return pa.array([], pa.string())
        data = self._read(path, "The manifest names it: fetch the repository again.")
        return pq.read_table(pa.BufferReader(data), columns=["key"])["key"].combine_chunks()

    def _read(self, path: str, hint: str) -> bytes:
        try:
            return self.storage.read(path)
        except FileNotFoundError as error:
            raise RepositoryError(f"{self.storage.name} has no {path}. {hint}") from error


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
