"""Make one HTTP request within limits; its answer is a body, a way to go on, or a reason."""

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from mella.builders.culture.payload import PayloadError, decode_body
from mella.builders.culture.public_address import PrivateAddressError, public_socket

_KEPT_HEADERS = ("content-type", "content-language", "x-robots-tag")
_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_AGAIN = (429, 500, 502, 503, 504)
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Answer:
    """The outcome of one request.

    Attributes:
        status: Of the response; None where there was none.
        headers: Content-Type, Content-Language and X-Robots-Tag, with lower-case names.
        body: Decoded; None if there is a reason or a location.
        reason: Why there is no body, such as "fetch:http_404".
        location: Where a redirect leads, as the server wrote it.
        again: Whether the same request may succeed later.
        retry_after: Seconds that the server asks to wait.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    reason: str | None = None
    location: str | None = None
    again: bool = False
    retry_after: float | None = None


def open_session(agent: str, *, timeout_s: float, allow_private: bool) -> aiohttp.ClientSession:
    """Open a session without cookies and proxies; it connects to public addresses only.

    Args:
        agent: The User-Agent header.
        timeout_s: Of a request, from the connection to the end of the body.
        allow_private: Whether addresses that are not public may be connected to.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, socket_factory=None if allow_private else public_socket
        ),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        headers={"User-Agent": agent, "Accept-Encoding": "gzip, deflate, br"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # bodies are decoded below, within the limit
    )


async def request(
    session: aiohttp.ClientSession, url: str, *, limit: int, whole: bool = True
) -> Answer:
    """Get one URL and follow nothing; nothing is raised for what a server does.

    Args:
        session: Of `open_session`.
        url: Absolute, in ASCII, percent-encoded.
        limit: Bytes of the body, decoded.
        whole: Whether a larger body is refused; otherwise its beginning is returned.
    """
    try:
        async with session.get(URL(url, encoded=True), allow_redirects=False) as response:
            return await _read(response, limit, whole=whole)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = _reason(error)
        return Answer(reason=reason, again=reason == "fetch:connection")


async def _read(response: aiohttp.ClientResponse, limit: int, *, whole: bool) -> Answer:
    names = [name for name in _KEPT_HEADERS if name in response.headers]
    headers = {name: ", ".join(response.headers.getall(name)) for name in names}
    answer = Answer(response.status, headers)
    location = response.headers.get("Location")
    if response.status in _REDIRECTS and location:
        return replace(answer, location=location)
    if response.status != HTTPStatus.OK:
        again = response.status in _TRY_AGAIN
        wait = _seconds(response.headers.get("Retry-After", "").strip()) if again else None
        reason = f"fetch:http_{response.status}"
        return replace(answer, reason=reason, again=again, retry_after=wait)
    if whole and (response.content_length or 0) > limit:
        return replace(answer, reason="fetch:too_large")
    try:
        body = await _body(response, limit, whole=whole)
    except PayloadError:
        return replace(answer, reason="fetch:encoding")
    if whole and len(body) > limit:
        return replace(answer, reason="fetch:too_large")
    return replace(answer, body=body[:limit])


async def _body(response: aiohttp.ClientResponse, limit: int, *, whole: bool) -> bytes:
    """Read and decode a body; more than `limit` bytes: it is larger, and not all of it was read."""
    raw = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        raw += chunk
        if len(raw) > limit:
            break
    if len(raw) > limit and whole:
        return bytes(raw)
    encoding = {"content-encoding": response.headers.get("Content-Encoding", "")}
    return decode_body(encoding, bytes(raw), limit=limit + 1, whole=whole)


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


def _reason(error: Exception) -> str:
    if isinstance(getattr(error, "os_error", None), PrivateAddressError):
        return "fetch:private_address"
    kinds = {
        TimeoutError: "fetch:timeout",
        aiohttp.ClientSSLError: "fetch:tls",
        aiohttp.ClientConnectorDNSError: "fetch:dns",
        aiohttp.ClientResponseError: "fetch:bad_response",
        aiohttp.InvalidURL: "fetch:bad_url",
        OSError: "fetch:connection",
        ValueError: "fetch:bad_url",
    }
    return next((kinds[kind] for kind in kinds if isinstance(error, kind)), "fetch:connection")
