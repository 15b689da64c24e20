"""Where the files of a repository lie: a folder, a web server, a bucket, the Hugging Face Hub."""

import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from mella.download import download, write_whole
from mella.errors import FormatError, RepositoryError
from mella.http import Answer, HttpClient, HttpError, Retry, Span, origin, shown
from mella.manifest import MANIFEST, Entry

_NOT_SEEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_EXPIRED = (*_NOT_SEEN, HTTPStatus.GONE)
_NO_RIGHT = (
    " (For a private or gated one, log in with `hf auth login`; for a folder, give a path that "
    "exists.)"
)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_AT_FIRST = 3
"""Attempts where nothing has been read yet: the name may be mistyped."""
_COMMIT = re.compile("[0-9a-f]{40}")
_ETAG = re.compile("[0-9a-zA-Z_-]{8,128}")

Progress = Callable[[int], None]
"""Told how many more bytes have come."""


class Storage(Protocol):
    """Where the files of a repository lie.

    Implementations are small, can be pickled, used after a fork and by several threads at once.
    """

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

    def local_path(self, path: str) -> Path | None:
        """Return where a file lies on this machine; None: it does not, or not yet."""
        ...

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:
        """Return where a whole file lies on this machine, bringing it there if need be.

        Raises:
            FileNotFoundError: There is no such file.
            FormatError: It is not the one that the manifest names.
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
        return _read_at(self.folder / path, start, end)

    def local_path(self, path: str) -> Path:
        """Return where the file lies, or should."""
        return self.folder / path

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:  # noqa: ARG002
        """Return where the file lies: nothing has to be brought."""
        return _of_size(self.folder / entry.path, entry)


class HttpStorage:
    """A folder on a web server.

    A user and password in the URL are sent as basic authentication, and a query (such as the
    signature of a bucket) with each request; neither is shown.
    """

    def __init__(self, url: str, *, retry: Retry | None = None) -> None:
        parts = urlsplit(url)
        self._name = shown(url).rstrip("/")
        self._query = f"?{parts.query}" if parts.query else ""
        self._headers: dict[str, str] = {}
        if parts.username:
            import urllib3

            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers = dict(urllib3.make_headers(basic_auth=user))
        self._client = HttpClient(retry)

    @property
    def name(self) -> str:
        """The URL, without secrets."""
        return self._name

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        return self._get(path, None)

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        return self._get(path, (start, end))

    def local_path(self, path: str) -> None:
        """Return None: nothing is here."""

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:
        """Return where the file lies, after downloading it."""
        return download(entry, self.read_range, progress)

    def _get(self, path: str, span: Span | None) -> bytes:
        url = f"{self._name}/{quote(path)}{self._query}"
        try:
            return self._client.get(url, span=span, headers=self._headers).body
        except HttpError as error:
            if error.status in _GONE:
                raise FileNotFoundError(str(error)) from error
            raise


class UrlStorage:
    """Any other URL that fsspec has a file system for: s3, gs, memory ..."""

    def __init__(self, url: str, *, retry: Retry | None = None) -> None:
        self.url = url.rstrip("/")
        self._retry = retry or Retry()
        self._met = False

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        return self._patiently(path)

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        try:
            content = self._patiently(path, start, end)
        except Exception as error:
            if _beyond_the_end(error):
                return b""
            raise
        # A plain web server answers a range with the whole file.
        return content if len(content) <= end - start else content[start:end]

    def local_path(self, path: str) -> None:
        """Return None: nothing is here."""

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:
        """Return where the file lies, after downloading it."""
        return download(entry, self.read_range, progress)

    def _patiently(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read; again where the connection failed, as `Retry` says."""
        file_system, root = self._open()
        attempts = self._retry.attempts if self._met else min(_AT_FIRST, self._retry.attempts)
        for failures in count(1):
            try:
                content: bytes = file_system.cat_file(f"{root}/{path}", start=start, end=end)
            except _FINAL:
                raise
            except OSError:
                if failures >= attempts:
                    raise
                time.sleep(self._retry.wait(failures))
            else:
                break
        self._met = True
        return content

    def _open(self) -> tuple[Any, str]:
        import fsspec

        # fsspec keeps one for each process and thread.
        file_system, root = fsspec.core.url_to_fs(self.url)
        return file_system, root.rstrip("/")


class HubStorage:
    """A data set repository on the Hugging Face Hub, at one commit.

    What is in the Hub cache is read from there, and whole files that are read are put there. A
    range costs the Hub nothing but the first of a file, which asks where the file is stored.
    """

    def __init__(
        self, repo_id: str, revision: str | None = None, *, retry: Retry | None = None
    ) -> None:
        """Pin the revision to the commit it names now: one request, which reads the manifest too.

        Args:
            repo_id: "org/name".
            revision: A branch, tag or commit; None: the branch `main`.
            retry: How patient to be.

        Raises:
            RepositoryError: No such repository or revision, or no right to read it; or the Hub
                cannot be reached and its cache has no manifest of that revision.
        """
        self.repo_id = repo_id
        self._client = HttpClient(retry)
        self._places: dict[str, str] = {}
        self._locks: dict[tuple[int, str], threading.Lock] = {}
        self.revision, self._manifest = self._pin(revision or "main")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_places": dict(self._places), "_locks": {}}

    @property
    def name(self) -> str:
        """The id and the commit."""
        return f"{self.repo_id}@{self.revision}"

    def read(self, path: str) -> bytes:
        """Return a whole file, from the Hub cache if it is there; else it is put there."""
        if path == MANIFEST and self._manifest is not None:
            return self._manifest
        if local := self.local_path(path):
            return local.read_bytes()
        with _missing():
            answer = self._get(self._url(path, self.revision))
        self._keep(path, answer, self.revision)
        return answer.body

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`."""
        if local := self.local_path(path):
            return _read_at(local, start, end)
        with _missing():
            place = self._place(path)
            try:
                return self._get(place, (start, end)).body
            except HttpError as error:
                if error.status not in _EXPIRED or origin(place) == origin(_endpoint()):
                    raise
            place = self._place(path, expired=place)
            return self._get(place, (start, end)).body

    def local_path(self, path: str) -> Path | None:
        """Return where a file lies in the Hub cache, if it does."""
        return self._cached(path, self.revision)

    def fetch(self, entry: Entry, progress: Progress | None = None) -> Path:
        """Return where the file lies in the Hub cache, after downloading it with the Hub client."""
        local = self.local_path(entry.path)
        if local is None:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

            try:
                found = hf_hub_download(
                    self.repo_id,
                    entry.path,
                    repo_type="dataset",
                    revision=self.revision,
                    tqdm_class=_silent_bar(progress),
                )
            except RemoteEntryNotFoundError as error:
                raise FileNotFoundError(str(error)) from error
            except LocalEntryNotFoundError as error:  # neither reached nor in the cache
                raise ConnectionError(str(error)) from error
            local = Path(found)
        return _of_size(local, entry)

    def _pin(self, asked: str) -> tuple[str, bytes | None]:
        """Return the commit that a revision names now, and the manifest if that came with it."""
        cached = self._cached(MANIFEST, asked)
        if cached and (_COMMIT.fullmatch(asked) or _offline()):
            return cached.parent.name, None
        where = f"the Hub data set {self.repo_id!r} at revision {asked}"
        try:
            answer = self._get(self._url(MANIFEST, asked))
            commit = answer.headers.get("X-Repo-Commit") or self._commit(asked)
        except HttpError as error:
            headers = error.headers
            if headers.get("X-Error-Code") == "EntryNotFound" and "X-Repo-Commit" in headers:
                return headers["X-Repo-Commit"], None
            if cached and (error.status is None or error.status >= 500):
                warnings.warn(
                    f"The Hub cannot be reached ({error}): reading {where} as it was when it was "
                    f"last read here, at commit {cached.parent.name}.",
                    stacklevel=4,
                )
                return cached.parent.name, None
            hint = _NO_RIGHT if error.status in _NOT_SEEN else ""
            raise RepositoryError(f"Cannot open {where}: {error}{hint}") from error
        self._keep(MANIFEST, answer, commit, asked)
        return commit, answer.body

    def _commit(self, revision: str) -> str:
        """Ask which commit a revision names: where a mirror of the Hub does not say it unasked."""
        import json

        url = f"{_endpoint()}/api/datasets/{self.repo_id}/revision/{quote(revision, safe='')}"
        commit: str = json.loads(self._get(url).body)["sha"]
        return commit

    def _url(self, path: str, revision: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repo_id, path, repo_type="dataset", revision=revision)

    def _get(self, url: str, span: Span | None = None) -> Answer:
        return self._client.get(url, span=span, headers=_rights(url))

    def _place(self, path: str, expired: str | None = None) -> str:
        """Return the URL where a file is stored: asked for once, and again once it has expired.

        The request has no range, because the Hub may sign the range into the URL it gives.
        """
        with self._locks.setdefault((os.getpid(), path), threading.Lock()):
            known = self._places.get(path)
            if known is None or known == expired:
                url = self._url(path, self.revision)
                known = self._places[path] = self._client.head(url, headers=_rights(url)).url
            return known

    def _cached(self, path: str, revision: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repo_id, path, revision=revision, repo_type="dataset")
        return Path(found) if isinstance(found, str) else None

    def _keep(self, path: str, answer: Answer, commit: str, asked: str | None = None) -> None:
        """Put a file, and what commit a revision names, into the Hub cache as its client does."""
        from huggingface_hub.constants import HF_HUB_CACHE

        headers = answer.headers
        etag = (headers.get("X-Linked-ETag") or headers.get("ETag") or "").strip('W/"')
        if not _ETAG.fullmatch(etag):
            return
        folder = Path(HF_HUB_CACHE) / "--".join(["datasets", *self.repo_id.split("/")])
        blob, pointer = folder / "blobs" / etag, folder / "snapshots" / commit / path
        # A cache that cannot be written to is no cache; there is nothing wrong with the file.
        with suppress(OSError):
            if not blob.exists():
                write_whole(blob, answer.body)
            pointer.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                pointer.symlink_to(os.path.relpath(blob, pointer.parent))
            if asked and asked != commit:
                write_whole(folder / "refs" / asked, commit.encode())


def _endpoint() -> str:
    from huggingface_hub.constants import ENDPOINT

    return ENDPOINT


def _offline() -> bool:
    from huggingface_hub.constants import is_offline_mode

    return is_offline_mode()


def _rights(url: str) -> Mapping[str, str]:
    """Return the headers that a host is sent: the user's token goes to the Hub only.

    Raises:
        HttpError: The Hub client is told to stay offline.
    """
    if _offline():
        raise HttpError(f"{shown(url)} is not in the Hub cache, and HF_HUB_OFFLINE is set.")
    if origin(url) != origin(_endpoint()):
        return {}
    from huggingface_hub.utils import build_hf_headers

    headers: dict[str, str] = build_hf_headers(library_name="mella")
    return headers


@contextmanager
def _missing() -> Iterator[None]:
    """Raise FileNotFoundError for a file that the Hub does not have, and only for that."""
    try:
        yield
    except HttpError as error:
        if error.headers.get("X-Error-Code") == "EntryNotFound":
            raise FileNotFoundError(str(error)) from error
        raise


def _silent_bar(progress: Progress | None) -> type[Any]:
    """Return a progress bar for the Hub client that shows nothing and tells `progress`."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]
            self._tell(options.get("initial"))

        def update(self, n: float | None = 1) -> bool | None:
            self._tell(n)
            return None

        def _tell(self, n: float | None) -> None:
            if progress and n:
                progress(int(n))

    return Bar


def _read_at(file: Path, start: int, end: int) -> bytes:
    with file.open("rb", buffering=0) as opened:
        return os.pread(opened.fileno(), max(0, end - start), start)


def _of_size(file: Path, entry: Entry) -> Path:
    size = file.stat().st_size
    if size != entry.bytes:
        raise FormatError(
            f"{file} is not the file that the manifest names: it has {size} bytes of "
            f"{entry.bytes}. Fetch or build it again."
        )
    return file


def _beyond_the_end(error: Exception) -> bool:
    """Whether a range starts where the file has ended: clients say it in different ways."""
    status = getattr(error, "status", None)
    response = getattr(getattr(error, "__cause__", None), "response", None)
    if isinstance(response, dict):  # of botocore
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
