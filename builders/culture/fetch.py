"""Fetch URLs politely and safely: every URL ends in a body or in a named reason.

Polite: robots.txt, a pause and a limit of connections for each host, `Retry-After`, back-off, and
hosts that keep failing are left alone. Safe: only http and https, only public addresses (checked
where the connection is made, so that neither a name, a redirect nor a change of DNS gets around
it), limits on time, on redirects and on the size of the decoded body; no proxies and no cookies.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from protego import Protego

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.http_request import Answer, open_session, request
from mella.builders.culture.public_address import is_disguised
from mella.builders.engine.params import check_least
from mella.errors import MellaError

_HOST_FAILURES = (
    "fetch:timeout", "fetch:connection", "fetch:dns", "fetch:tls",
    "fetch:http_429", "fetch:http_503",
)  # fmt: skip
# Where robots.txt fails so, the URL itself would too.
_SAME_FOR_PAGE = ("fetch:private_address", "fetch:dns", "fetch:host_paused")
_ROBOTS_BYTES = 500 * 1024  # the least that RFC 9309 asks a crawler to read
_ROBOTS_REDIRECTS = 5
_ROBOTS_SECONDS = 24 * 3600
_ROBOTS_KEPT = 10_000
_HOSTS_PER_CONNECTION = 8  # most hosts are in their pause, and need none
_log = logging.getLogger(__name__)


class FetchError(MellaError, ValueError):
    """Parameters with which nothing may be fetched."""


@dataclass(frozen=True)
class FetchParams:
    """How URLs are fetched.

    Attributes:
        contact: A URL or e-mail address at which site owners reach whoever runs this; required.
        user_agent: Product and version; robots.txt is asked for the product.
        max_bytes: Of a body, decoded.
        timeout_s: Of one request, from the connection to the end of the body.
        connections: At the same time, in all.
        per_host_connections: At the same time to one host.
        per_host_delay_s: Pause between two requests to one host.
        max_crawl_delay_s: A longer Crawl-delay in robots.txt counts as this.
        retries: After 429, 5xx and broken connections.
        backoff_s: Pause of the host before the first retry; it doubles with each.
        max_retry_after_s: A host that asks for a longer pause is left alone for so long.
        max_host_failures: After so many failures in a row a host is left alone.
        host_pause_s: For how long.
        max_redirects: Each one is checked like a new URL.
        respect_robots: Whether robots.txt is read and obeyed.
        allow_private: Whether addresses that are not public may be connected to (for tests).
    """

    contact: str = ""
    user_agent: str = "mella/0.1"
    max_bytes: int = 20_000_000
    timeout_s: float = 60.0
    connections: int = 64
    per_host_connections: int = 1
    per_host_delay_s: float = 1.0
    max_crawl_delay_s: float = 30.0
    retries: int = 2
    backoff_s: float = 1.0
    max_retry_after_s: float = 60.0
    max_host_failures: int = 5
    host_pause_s: float = 600.0
    max_redirects: int = 5
    respect_robots: bool = True
    allow_private: bool = False

    def __post_init__(self) -> None:
        check_least(
            self,
            {
                "max_bytes": 1,
                "timeout_s": 0.001,
                "connections": 1,
                "per_host_connections": 1,
                "per_host_delay_s": 0,
                "max_crawl_delay_s": 0,
                "retries": 0,
                "backoff_s": 0,
                "max_retry_after_s": 0,
                "max_host_failures": 1,
                "host_pause_s": 0,
                "max_redirects": 0,
            },
        )


@dataclass(frozen=True)
class Fetched:
    """What became of one URL.

    Attributes:
        url: As it was asked for.
        final_url: Where the last request went.
        status: Of the last response; None where there was none.
        headers: Content-Type, Content-Language and X-Robots-Tag of the last response; lower-case.
        body: Decoded; None if there is a reason.
        reason: Why there is no body, such as "fetch:http_404".
    """

    url: str
    final_url: str
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    reason: str | None = None


class Fetcher:
    """Fetches URLs; remembers, from one call to the next, robots.txt and how the hosts behave."""

    def __init__(self, params: FetchParams) -> None:
        """Connect to nothing yet.

        Raises:
            FetchError: There is no contact.
        """
        self.params = params
        self.agent = agent_of(params)
        self.hosts: dict[str, _Host] = defaultdict(_Host)
        self.robots: dict[str, _Robots] = {}

    def fetch(self, urls: Iterable[str]) -> list[Fetched]:
        """Fetch `urls`; the results have their order."""
        urls = list(urls)
        by_url = {fetched.url: fetched for fetched in self.stream(urls)}
        return [by_url[url] for url in urls]

    def stream(self, urls: Iterable[str]) -> Generator[Fetched, None, None]:
        """Yield what became of each URL, in the order in which they end; equal ones count as one.

        Many hosts are asked at the same time, the URLs of one in their order. While the caller is
        busy nothing goes on. Not to be called where an event loop is running.
        """
        by_host: dict[str, deque[str]] = defaultdict(deque)
        for url in dict.fromkeys(urls):
            by_host[host_of(url)].append(url)
        count = sum(map(len, by_host.values()))
        with asyncio.Runner() as runner:
            crawl = runner.run(_Crawl.start(self, by_host))
            try:
                for _ in range(count):
                    yield runner.run(crawl.results.get())
            finally:
                runner.run(crawl.close())


def agent_of(params: FetchParams) -> str:
    """Return the User-Agent header.

    Raises:
        FetchError: There is no contact, or a part is not printable ASCII.
    """
    contact, agent = params.contact.strip(), params.user_agent.strip()
    if not contact:
        raise FetchError(
            "FetchParams(contact='') - fetching needs a contact: a URL or an e-mail address where "
            "site owners can reach you. It is sent with every request."
        )
    header = f"{agent} (+{contact})"
    if not (agent and header.isascii() and header.isprintable()):
        raise FetchError(f"The User-Agent {header!r} must be printable ASCII: no line breaks.")
    return header


def host_of(url: str) -> str:
    """Return the host that a URL is fetched from, as pauses count it; "" where there is none."""
    resolved = resolve_url(url, url)[0]
    return (urlsplit(resolved).hostname or "") if resolved else ""


@dataclass
class _Host:
    ready: float = 0.0  # when the next request may start
    shut: float = 0.0  # until when the host is left alone
    failures: int = 0  # in a row
    crawl_delay: float = 0.0  # seconds, as its robots.txt says


@dataclass(frozen=True)
class _Robots:
    rules: Protego | None  # None: everything is allowed
    reason: str | None  # why nothing is allowed
    expires: float


class _Crawl:
    """One run of an event loop."""

    def __init__(self, fetcher: Fetcher, session: aiohttp.ClientSession) -> None:
        self.fetcher, self.session, self.params = fetcher, session, fetcher.params
        count = self.params.per_host_connections
        self.slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(count))
        self.connections = asyncio.Semaphore(self.params.connections)
        self.locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Who has a result waits while it is full, so that bodies do not pile up.
        self.results: asyncio.Queue[Fetched] = asyncio.Queue(self.params.connections)
        self.lanes: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, fetcher: Fetcher, by_host: dict[str, deque[str]]) -> Self:
        params = fetcher.params
        session = open_session(
            fetcher.agent, timeout_s=params.timeout_s, allow_private=params.allow_private
        )
        crawl = cls(fetcher, session)
        # The hosts with the most URLs take longest, so they begin.
        queues = sorted(by_host.values(), key=len, reverse=True)
        turns = [queue for queue in queues for _ in range(params.per_host_connections)]
        shared = iter(turns)
        for _ in range(min(len(turns), _HOSTS_PER_CONNECTION * params.connections)):
            crawl.lanes.append(asyncio.create_task(crawl.run_lane(shared)))
        return crawl

    async def close(self) -> None:
        for lane in self.lanes:
            lane.cancel()
        await asyncio.gather(*self.lanes, return_exceptions=True)
        await self.session.close()

    async def run_lane(self, queues: Iterator[deque[str]]) -> None:
        for queue in queues:
            while queue:
                await self.results.put(await self.get(queue.popleft()))

    async def get(self, url: str) -> Fetched:
        try:
            return await self._follow(url)
        except Exception:  # noqa: BLE001 - see the next line
            # One URL costs itself alone, also where a library breaks on what a server sent.
            _log.exception("Fetching %r failed in an unforeseen way.", url)
            return Fetched(url, url, reason="fetch:error")

    async def _follow(self, url: str) -> Fetched:
        at, wrong = _checked(url, url)
        for _ in range(self.params.max_redirects + 1):
            wrong = wrong or await self._forbidden(at)
            if wrong:
                return Fetched(url, at, reason=wrong)
            answer = await self._ask(at, self.params.max_bytes, whole=True)
            fetched = Fetched(
                url, at, answer.status, answer.headers, answer.body, reason=answer.reason
            )
            if answer.location is None:
                return fetched
            at, wrong = _checked(at, answer.location)
        return replace(fetched, reason="fetch:too_many_redirects")

    async def _forbidden(self, url: str) -> str | None:
        """Return the reason why robots.txt forbids a URL."""
        if not self.params.respect_robots:
            return None
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        async with self.locks[origin]:
            robots = self.fetcher.robots.get(origin)
            if robots is None or robots.expires < time.monotonic():
                robots = self.fetcher.robots[origin] = await self._read_robots(origin)
                if len(self.fetcher.robots) > _ROBOTS_KEPT:
                    del self.fetcher.robots[next(iter(self.fetcher.robots))]
        if robots.rules is None:
            return robots.reason
        product = self.params.user_agent.partition("/")[0].strip()
        delay = min(robots.rules.crawl_delay(product) or 0.0, self.params.max_crawl_delay_s)
        self.fetcher.hosts[parts.hostname or ""].crawl_delay = delay
        return None if robots.rules.can_fetch(url, product) else "fetch:robots"

    async def _read_robots(self, origin: str) -> _Robots:
        """Read robots.txt as RFC 9309 says: 4xx allows all; what cannot be read forbids all."""
        at = start = f"{origin}/robots.txt"
        now, wrong = time.monotonic(), None
        for _ in range(_ROBOTS_REDIRECTS + 1):
            answer = await self._ask(at, _ROBOTS_BYTES, whole=False)
            if answer.location is None:
                break
            at, wrong = _checked(at, answer.location)
            if wrong:
                break
        if answer.body is not None:
            text = answer.body.decode("utf-8-sig", "replace")
            return _Robots(Protego.parse(text), None, now + _ROBOTS_SECONDS)
        # Too many requests is not an answer to whether there are rules.
        status = answer.status or 0
        if 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS:
            return _Robots(None, None, now + _ROBOTS_SECONDS)
        reason = "fetch:robots_unreachable"
        if at == start and answer.reason in _SAME_FOR_PAGE:
            reason = answer.reason
        return _Robots(None, reason, now + self.params.host_pause_s)

    async def _ask(self, url: str, limit: int, *, whole: bool) -> Answer:
        """Request one URL when its turn has come, and again where that may help."""
        name = urlsplit(url).hostname or ""
        host = self.fetcher.hosts[name]
        for attempt in range(self.params.retries + 1):
            async with self.slots[name]:
                if not await self._turn(host):
                    return Answer(reason="fetch:host_paused")
                async with self.connections:
                    answer = await request(self.session, url, limit=limit, whole=whole)
                back_off = self.params.backoff_s * 2**attempt if answer.again else 0.0
                wait = back_off if answer.retry_after is None else answer.retry_after
                host.ready = max(host.ready, time.monotonic() + max(wait, self._pause(host)))
                if wait > max(back_off, self.params.max_retry_after_s):
                    host.shut = host.ready
            if not answer.again or host.shut > time.monotonic():
                break
        self._count_failures(host, answer.reason)
        return answer

    async def _turn(self, host: _Host) -> bool:
        """Wait until the host may be asked; False where it is left alone."""
        now = time.monotonic()
        if now < host.shut:
            return False
        start = max(now, host.ready)
        host.ready = start + self._pause(host)
        await asyncio.sleep(start - now)
        return time.monotonic() >= host.shut

    def _pause(self, host: _Host) -> float:
        return max(self.params.per_host_delay_s, host.crawl_delay)

    def _count_failures(self, host: _Host, reason: str | None) -> None:
        """Leave a host alone that fails again and again: each failure may take the whole time."""
        host.failures = host.failures + 1 if reason in _HOST_FAILURES else 0
        if host.failures >= self.params.max_host_failures:
            host.failures = 0
            host.shut = max(host.shut, time.monotonic() + self.params.host_pause_s)


def _checked(base: str, reference: str) -> tuple[str, str | None]:
    """Return an absolute URL and, if it may not be fetched, the reason."""
    url, wrong = resolve_url(base, reference)
    if url is None:
        scheme = wrong in ("candidate:scheme", "candidate:data_uri")
        return reference, "fetch:scheme" if scheme else "fetch:bad_url"
    return url, "fetch:bad_url" if is_disguised(urlsplit(url).hostname or "") else None
