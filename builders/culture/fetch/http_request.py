"""Make one HTTP request within limits; its answer is a body, a way to go on, or a reason."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from mella.builders.culture.archives.payload import PayloadError, decode_body
from mella.builders.culture.fetch.names import NameCache, UnknownNameError
from mella.builders.culture.fetch.pacing import Bandwidth
from mella.builders.culture.fetch.params import FetchParams
from mella.builders.culture.fetch.public_address import PrivateAddressError, public_socket
from mella.builders.culture.signals import HEADER_NAMES

_PLAIN_HEADERS = ("content-type", "content-language", "etag", "last-modified")
KEPT_HEADERS = (*_PLAIN_HEADERS, *HEADER_NAMES)
"""The headers of a response that matter."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAY_SAY_WHEN = (429, 500, 502, 503, 504)  # with Retry-After
# Browsers allow 256 KB of headers in all, most servers 8 KB; a policy of scripts may be long.
_LINE_BYTES = 16 << 10
_HEADER_LINES = 128
_BUFFER = 64 << 10
_ENCODINGS = 3  # of a body, one in the other; curl allows 5, and none is met but one


@dataclass(slots=True)
class Answer:
    """The outcome of one request.

    Attributes:
        status: Of the response; None where there was none.
        headers: Those of `KEPT_HEADERS`; several lines of one that says what may be done with a
            page or image are joined by line breaks, of another by commas.
        body: Decoded; None if there is a reason or a location, or it has not changed.
        reason: Why there is no body, such as "fetch:http_404".
        location: Where a redirect leads, as the server wrote it.
        unchanged: Whether it is still what the validators that were sent say.
        passing: Whether it was the name service that failed, for now.
        retry_after: Seconds that the server asks to wait.
        seconds: How long the answer took to begin.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    reason: str | None = None
    location: str | None = None
    unchanged: bool = False
    passing: bool = False
    retry_after: float | None = None
    seconds: float = 0.0


def open_session(agent: str, names: NameCache, *, allow_private: bool) -> aiohttp.ClientSession:
    """Open a session without cookies and proxies; it connects to public addresses only.

    Args:
        agent: The User-Agent header.
        names: Resolves the names of hosts.
        allow_private: Whether addresses that are not public may be connected to.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            resolver=names,
            use_dns_cache=False,  # `names` is one
            socket_factory=None if allow_private else public_socket,
        ),
        timeout=aiohttp.ClientTimeout(total=None),  # `request` keeps the time
        headers={"User-Agent": agent, "Accept-Encoding": "gzip, deflate, br"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # bodies are decoded below, within the limit
        read_bufsize=_BUFFER,
        max_line_size=_LINE_BYTES,
        max_field_size=_LINE_BYTES,
        max_headers=_HEADER_LINES,
    )


class Requester:
    """Makes requests in one session, each within the limits of `params`."""

    def __init__(
        self, session: aiohttp.ClientSession, params: FetchParams, bandwidth: Bandwidth
    ) -> None:
        """Make requests in a session of `open_session`."""
        self._session = session
        self._params = params
        self._bandwidth = bandwidth

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()

    async def request(
        self,
        url: str,
        *,
        limit: int,
        whole: bool = True,
        validators: Mapping[str, str] | None = None,
        keep: bool = False,
    ) -> Answer:
        """Get one URL and follow nothing; nothing is raised for what a server does.

        Args:
            url: Absolute, in ASCII, percent-encoded.
            limit: Bytes of the body, decoded.
            whole: Whether a larger body is refused; otherwise its beginning is returned.
            validators: Headers that ask for the body only if it has changed.
            keep: Whether the connection stays open for the next request.
        """
        headers = dict(validators or {})
        if not keep:
            headers["Connection"] = "close"
        watch = _Watch(self._params, asyncio.get_running_loop().time())
        try:
            async with (
                asyncio.timeout_at(watch.answer_by) as watch.clock,
                self._session.get(
                    URL(url, encoded=True), allow_redirects=False, headers=headers
                ) as response,
            ):
                watch.begin()
                return await self._read(response, watch, limit, whole=whole, headers=headers)
        except TimeoutError:
            return Answer(reason=watch.reason, seconds=watch.answered_after)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failed(error)

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        watch: "_Watch",
        limit: int,
        *,
        whole: bool,
        headers: Mapping[str, str],
    ) -> Answer:
        answer = _judge(response, headers, limit if whole else None)
        answer.seconds = watch.answered_after
        if answer.reason or answer.location is not None or answer.unchanged:
            return answer
        raw = await self._body(response, watch, limit)
        encoding = {"content-encoding": response.headers.get("Content-Encoding", "")}
        try:
            if len(raw) <= limit or not whole:
                raw = decode_body(encoding, raw, limit=limit + 1, whole=whole)
        except PayloadError:
            answer.reason = "fetch:encoding"
        else:
            if len(raw) > limit and whole:
                answer.reason = "fetch:too_large"
            else:
                answer.body = raw[:limit]
        return answer

    async def _body(self, response: aiohttp.ClientResponse, watch: "_Watch", limit: int) -> bytes:
        """Read a body as it is sent; more than `limit` bytes: it was not read to its end."""
        raw = bytearray()  # and no list of pieces, which may be of one byte each
        content = response.content
        while len(raw) <= limit and not content.at_eof():
            piece = content.read_nowait()
            if not piece:
                watch.expect(len(raw))
                piece = await content.readany()
            raw += piece
            if self._bandwidth.rate:
                watch.stop()
                watch.held += await self._bandwidth.take(len(piece))
        return bytes(raw)


class _Watch:
    """How long a server may still take; what this program itself waits for does not count."""

    clock: asyncio.Timeout

    def __init__(self, params: FetchParams, begun: float) -> None:
        self._params = params
        self._begun = begun
        self.answer_by = begun + min(params.answer_timeout_s, params.timeout_s)
        self.answered_after = 0.0  # seconds; 0: not yet
        self.held = 0.0  # seconds, for the limit of the bandwidth
        self.reason = "fetch:timeout"

    def begin(self) -> None:
        """Note that the headers have come."""
        self.answered_after = asyncio.get_running_loop().time() - self._begun

    def expect(self, size: int) -> None:
        """Wait for more of a body of which `size` bytes have come."""
        params = self._params
        end = self._begun + params.timeout_s
        pace = float("inf")
        if params.min_bytes_per_s:
            pace = max(params.slow_grace_s, size / params.min_bytes_per_s)
            pace += self._begun + self.answered_after
        self.reason = "fetch:too_slow" if pace < end else "fetch:timeout"
        self.clock.reschedule(min(pace, end) + self.held)

    def stop(self) -> None:
        """Wait for nothing of the server."""
        self.clock.reschedule(None)


VALIDATORS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
"""Headers of an answer, and those by which it is asked for again if it has changed (RFC 9110)."""


def _judge(response: aiohttp.ClientResponse, sent: Mapping[str, str], limit: int | None) -> Answer:
    """Return what the status and the headers say; the body, if one is wanted, is still to come."""
    answer = Answer(response.status, _kept(response))
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location:
        answer.location = location
    elif response.status == HTTPStatus.NOT_MODIFIED and sent.keys() & VALIDATORS.values():
        answer.unchanged = True
    elif response.status != HTTPStatus.OK:
        answer.reason = f"fetch:http_{response.status}"
        if response.status in _MAY_SAY_WHEN:
            answer.retry_after = _seconds(response.headers.get("Retry-After", "").strip())
    elif limit is not None and (response.content_length or 0) > limit:
        answer.reason = "fetch:too_large"
    elif response.headers.get("Content-Encoding", "").count(",") >= _ENCODINGS:
        answer.reason = "fetch:encoding"
    return answer


def _kept(response: aiohttp.ClientResponse) -> dict[str, str]:
    kept = {}
    for names, between in ((_PLAIN_HEADERS, ", "), (HEADER_NAMES, "\n")):
        for name in names:
            if name in response.headers:
                value = between.join(response.headers.getall(name))
                # Bytes that are no UTF-8 came as surrogates, which no table holds.
                kept[name] = value.encode("utf-8", "replace").decode()
    return kept


def _seconds(retry_after: str) -> float | None:
    """Read a Retry-After header: a number of seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _failed(error: Exception) -> Answer:
    cause = getattr(error, "os_error", None)
    if isinstance(cause, PrivateAddressError):
        return Answer(reason="fetch:private_address")
    kinds = {
        aiohttp.ClientSSLError: "fetch:tls",
        aiohttp.ClientConnectorDNSError: "fetch:dns",
        aiohttp.ClientResponseError: "fetch:bad_response",
        aiohttp.InvalidURL: "fetch:bad_url",
        OSError: "fetch:connection",
        ValueError: "fetch:bad_url",
    }
    reason = next((kinds[kind] for kind in kinds if isinstance(error, kind)), "fetch:connection")
    passing = isinstance(cause, UnknownNameError) and cause.passing
    return Answer(reason=reason, passing=passing)
