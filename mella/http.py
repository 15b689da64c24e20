"""Read files and exact byte ranges over HTTP: kept connections, retries, no secret to strangers."""

import os
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from mella.errors import MellaError

if TYPE_CHECKING:
    import urllib3

Span = tuple[int, int]
"""The first byte of a range, and the one after its last."""

_HOPS = 5
_PIECE = 8 << 20
_SMALL_PIECE = 256 << 10
_REDIRECTS = (301, 302, 303, 307, 308)
_SECRET = ("authorization", "cookie")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
# A host that has never answered may be a name mistyped: nobody should wait a minute to learn it.
_ATTEMPTS_AT_FIRST = 3


class HttpError(MellaError, OSError):
    """An answer that is not what was asked for, or none after every attempt.

    Attributes:
        status: HTTP status; None where no whole answer came.
        headers: Of the answer.
    """

    def __init__(
        self, message: str, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers


@dataclass(frozen=True)
class Retry:
    """How patient a client is. Times are in seconds.

    Attributes:
        attempts: How often in a row a request may fail without one more byte received.
        first_wait: Before the second attempt; twice as long before each one after that. A random
            part of up to a half is taken off, so that many clients do not come back at once.
        longest_wait: Between two attempts, where the server does not say how long.
        longest_asked: How much of a server's `Retry-After` is obeyed.
        connect_timeout: For a connection to stand.
        read_timeout: Without a byte received.
    """

    attempts: int = 8
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_asked: float = 300.0
    connect_timeout: float = 10.0
    read_timeout: float = 30.0

    def wait(self, failures: int, asked: float = 0.0) -> float:
        """Return how long to wait after so many failures when the server asks for `asked`."""
        backoff = min(self.first_wait * 2.0 ** (failures - 1), self.longest_wait)
        # Not the generator that a training run seeds; and one that differs between forks.
        return min(asked, self.longest_asked) + random.SystemRandom().uniform(0.5, 1) * backoff


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        body: Of the file or range.
        url: It came from, after redirects. For `head`: where the file is to be read.
        headers: Of the last answer of the host that was asked: of its redirect to another host.
    """

    body: bytes
    url: str
    headers: Mapping[str, str]


class HttpClient:
    """Reads from web servers. Threads may share it; it can be pickled, and used after a fork.

    Proxies are those of the environment (`https_proxy`, `no_proxy` ...), certificates those of the
    system (or of `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`).
    """

    def __init__(self, retry: Retry | None = None) -> None:
        self.retry = retry or Retry()
        self._met: set[str] = set()
        self._without_ranges: set[str] = set()
        # By process: a connection of the parent is not the child's to use, nor to close.
        self._pools: dict[tuple[int, str], urllib3.PoolManager] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {
            "retry": self.retry,
            "_met": set(self._met),
            "_without_ranges": set(self._without_ranges),
            "_pools": {},
        }

    def get(
        self, url: str, *, span: Span | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Read a file, or a range of it: fewer bytes, or none, where the file ends sooner.

        What a broken connection leaves is kept, and only the rest is asked for. A server that
        sends the whole file is heard no further than to the end of the range.

        Args:
            url: Of the file.
            span: The range in bytes; None: the whole file.
            headers: More of them. `Authorization` goes to the host of `url` only.

        Raises:
            HttpError: The server refuses, answers with what was not asked for, or does not answer.
        """
        body = _Body(*span) if span else _Body()
        if body.empty:
            return Answer(b"", url, {})

        def attempt() -> Answer:
            with self._open("GET", url, {**(headers or {}), **body.headers()}) as opened:
                if body.start and not body.answers and opened.response.status == HTTPStatus.OK:
                    self._warn_of_no_ranges(opened.url)
                body.take(opened.response, shown(opened.url))
                return Answer(body.value(), opened.url, opened.headers)

        return self._patiently(url, attempt, progress=lambda: body.size)

    def _warn_of_no_ranges(self, url: str) -> None:
        if origin(url) not in self._without_ranges:
            self._without_ranges.add(origin(url))
            warnings.warn(
                f"{origin(url)} does not serve ranges: to read a part of {shown(url)}, all before "
                "it is downloaded too. Use a server that does (nginx, Apache, Caddy), or get the "
                "files first.",
                stacklevel=2,
            )

    def head(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask where a file is to be read, following redirects up to the first to another host.

        Raises:
            HttpError: As in `get`.
        """

        def attempt() -> Answer:
            with self._open("HEAD", url, headers or {}, stay=True) as opened:
                return Answer(b"", opened.url, opened.headers)

        return self._patiently(url, attempt, progress=lambda: 0)

    def _patiently(
        self, url: str, attempt: Callable[[], Answer], progress: Callable[[], int]
    ) -> Answer:
        """Try until it succeeds, or fails too often in a row without progress."""
        failures = 0
        while True:
            before = progress()
            try:
                return attempt()
            except _Passing as error:
                failures = 1 if progress() > before else failures + 1
                if failures >= self._attempts(url, error.status):
                    raise HttpError(
                        f"Cannot read {shown(url)}, tried {failures} times: {error}",
                        error.status,
                        error.headers,
                    ) from error
                time.sleep(self.retry.wait(failures, error.retry_after))

    def _attempts(self, url: str, status: int | None) -> int:
        known = status is not None or origin(url) in self._met
        return self.retry.attempts if known else min(_ATTEMPTS_AT_FIRST, self.retry.attempts)

    @contextmanager
    def _open(
        self, method: str, url: str, headers: Mapping[str, str], *, stay: bool = False
    ) -> "Iterator[_Opened]":
        """Send a request, follow its redirects, and give the answer if it is a success.

        Raises:
            _Passing: What may go better next time.
            HttpError: What will not.
        """
        import urllib3

        asked = origin(url)
        headers = {"User-Agent": "mella", "Accept-Encoding": "identity", **headers}
        kept: Mapping[str, str] = {}
        for _ in range(_HOPS + 1):
            at_home = origin(url) == asked
            sent = headers if at_home else _without_secrets(headers)
            try:
                response = self._pool(origin(url)).request(
                    method,
                    url,
                    headers=sent,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                    timeout=urllib3.Timeout(
                        connect=self.retry.connect_timeout, read=self.retry.read_timeout
                    ),
                )
            except urllib3.exceptions.LocationValueError as error:
                raise HttpError(f"{shown(url)} is not a URL that can be read.") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise _Passing(f"{type(error).__name__}: {error}") from error
            self._met.add(origin(url))
            if at_home:
                kept = response.headers
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None:
                with _closing(response):
                    _check(response, url)
                    yield _Opened(response, url, kept)
                return
            _let_go(response)
            target = urljoin(url, location)
            if url.startswith("https:") and not target.startswith("https:"):
                raise HttpError(f"{shown(url)} redirects to an insecure place, {shown(target)}.")
            url = target
            if stay and origin(url) != asked:
                yield _Opened(response, url, kept)
                return
        raise HttpError(f"More than {_HOPS} redirects lead on from one to {shown(url)}.")

    def _pool(self, origin_: str) -> "urllib3.PoolManager":
        import urllib3

        key = (os.getpid(), origin_)
        if pool := self._pools.get(key):
            return pool
        bundle = os.environ.get("REQUESTS_CA_BUNDLE")
        options: dict[str, Any] = {"maxsize": 32, "ca_certs": bundle or None}
        proxy = _proxy(origin_)
        if proxy is None:
            made = urllib3.PoolManager(**options)
        else:
            user = urlsplit(proxy)
            secret = f"{user.username}:{user.password or ''}" if user.username else None
            proxy_headers = urllib3.make_headers(proxy_basic_auth=secret)
            made = urllib3.ProxyManager(proxy, proxy_headers=proxy_headers, **options)
        return self._pools.setdefault(key, made)


def shown(url: str) -> str:
    """Return a URL as it may be shown: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def origin(url: str) -> str:
    """Return the scheme, host and port of a URL: whom a secret is for."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


@dataclass(frozen=True)
class _Opened:
    response: "urllib3.BaseHTTPResponse"
    url: str
    headers: Mapping[str, str]


class _Passing(Exception):  # noqa: N818  it is dealt with here, and never seen outside
    """A failure that another attempt may not meet."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.retry_after = _seconds(self.headers.get("Retry-After"))


@dataclass
class _Body:
    """The bytes of a file, or of its range, as they come in over one or more answers."""

    start: int = 0
    end: int | None = None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    version: str | None = None
    answers: int = 0

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return self.end is not None and self.end <= self.start

    def headers(self) -> dict[str, str]:
        """What to ask for: the part that has not come yet, of the file as it was."""
        if self.end is None and not self.size:
            return {}
        last = "" if self.end is None else self.end - 1
        wanted = {"Range": f"bytes={self.start + self.size}-{last}"}
        if self.size and self.version:
            wanted["If-Range"] = self.version
        return wanted

    def take(self, response: "urllib3.BaseHTTPResponse", name: str) -> None:
        """Add what an answer brings, up to the end of what is wanted.

        Raises:
            _Passing: The connection broke; what came before is kept.
            HttpError: It is not what was asked for.
        """
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise HttpError(f"{name} comes compressed, although the plain file was asked for.")
        # A piece that breaks is lost, and joining pieces copies them: small ones only once needed.
        piece = _SMALL_PIECE if self.answers else _PIECE
        self.answers += 1
        until = self.end
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            until = self._promised(response, name)
        else:
            self.pieces, self.size = [], 0
            _skip(response, self.start)
        self.version = _strong(response.headers.get("ETag"))
        while until is None or self.start + self.size < until:
            left = piece if until is None else until - self.start - self.size
            got = _read(response, min(piece, left))
            if not got:
                break
            self.pieces.append(got)
            self.size += len(got)
        else:
            return
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            raise _Passing("the answer ended before the range that it promised")

    def value(self) -> bytes:
        """Return what came."""
        return b"".join(self.pieces)  # one piece is not copied

    def _promised(self, response: "urllib3.BaseHTTPResponse", name: str) -> int:
        """Return the end of the range that an answer says it has, if that is all there is."""
        said = response.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(said)
        if match is None or int(match[1]) != self.start + self.size:
            raise HttpError(
                f"{name} was asked for {self.headers().get('Range', 'all')} and sent {said!r}."
            )
        until = int(match[2]) + 1
        if match[3] != "*":
            until = int(match[3])
        return until if self.end is None else min(until, self.end)


def _skip(response: "urllib3.BaseHTTPResponse", size: int) -> None:
    while size > 0 and (got := _read(response, min(size, _SMALL_PIECE))):
        size -= len(got)


def _read(response: "urllib3.BaseHTTPResponse", size: int) -> bytes:
    """Return so many bytes; fewer where the connection was closed, none at the end."""
    import urllib3

    try:
        return response.read(size, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Passing(f"{type(error).__name__}: {error}") from error


def _check(response: "urllib3.BaseHTTPResponse", url: str) -> None:
    status, headers = response.status, response.headers
    if status in (
        HTTPStatus.OK,
        HTTPStatus.PARTIAL_CONTENT,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    ):
        return
    reason = response.reason or ""
    # The Hub tells in these what is wrong.
    said = ": ".join(
        headers[name] for name in ("X-Error-Code", "X-Error-Message") if name in headers
    )
    message = f"{status} {reason}".strip() + (f" ({said})" if said else "")
    again = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
    if status in again or (status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED):
        raise _Passing(message, status, headers)
    raise HttpError(f"{shown(url)} answers {message}", status, headers)


@contextmanager
def _closing(response: "urllib3.BaseHTTPResponse") -> Iterator[None]:
    try:
        yield
    finally:
        _let_go(response)


def _let_go(response: "urllib3.BaseHTTPResponse") -> None:
    """Give the connection back if nothing more will come over it, else close it."""
    import urllib3

    try:
        left = response.length_remaining
        if left is not None and left <= _SMALL_PIECE:
            response.drain_conn()
            response.release_conn()
            return
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    response.close()


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _SECRET}


def _strong(etag: str | None) -> str | None:
    return None if etag is None or etag.startswith("W/") else etag


def _seconds(retry_after: str | None) -> float:
    """Return how long a `Retry-After`, in seconds or a date, asks to wait."""
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0


def _proxy(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
