"""Run one event loop over many hosts: turns, robots.txt, redirects and retries for each URL."""

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self

from mella.builders.culture.fetch.answer_store import AnswerStore
from mella.builders.culture.fetch.faults import fault_of
from mella.builders.culture.fetch.fetched import Fetched
from mella.builders.culture.fetch.http_request import VALIDATORS, Answer, Requester, open_session
from mella.builders.culture.fetch.names import NameCache
from mella.builders.culture.fetch.pacing import Bandwidth, Host, Hosts
from mella.builders.culture.fetch.params import FetchParams, product_of
from mella.builders.culture.fetch.robots import (
    ROBOTS_BYTES,
    ROBOTS_REDIRECTS,
    Robots,
    read_robots,
)
from mella.builders.culture.fetch.target import Target, target_of
from mella.builders.curate.lists import HostRules

_ROBOTS_KEPT = 10_000
_HOSTS_PER_CONNECTION = 8  # most hosts are in their pause, and need none
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """What one crawl hands on to the next.

    Attributes:
        params: How URLs are fetched.
        agent: The User-Agent header.
        names: The addresses of hosts.
        bandwidth: The limit on bytes a second.
        denied: The hosts that are not asked.
        store: Answers on disk.
        hosts: How they behave.
        robots: By origin.
    """

    params: FetchParams
    agent: str
    names: NameCache
    bandwidth: Bandwidth
    denied: HostRules
    store: AnswerStore | None
    hosts: Hosts = field(default_factory=Hosts)
    robots: dict[str, Robots] = field(default_factory=dict)


class PausableLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while nobody runs it.

    Otherwise every request under way would time out while the caller is busy with a result.
    """

    _paused = 0.0

    def time(self) -> float:
        """Return the seconds for which the loop has run, from some moment on."""
        return super().time() - self._paused

    def skip(self, seconds: float) -> None:
        """Leave these seconds out."""
        self._paused += seconds


class Crawl:
    """One run of an event loop."""

    def __init__(
        self, known: Known, requester: Requester, by_host: Mapping[str, deque[Target]]
    ) -> None:
        self.known, self.requester, self.params = known, requester, known.params
        self.product = product_of(known.params)
        self.waiting = Counter({host: len(queue) for host, queue in by_host.items()})
        count = self.params.per_host_connections
        self.slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(count))
        self.connections = asyncio.Semaphore(self.params.connections)
        self.locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Who has a result waits while it is full, so that bodies do not pile up.
        self.results: asyncio.Queue[Fetched] = asyncio.Queue(self.params.connections)
        self.lanes: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, known: Known, targets: Iterable[Target]) -> Self:
        """Begin to fetch: many hosts at the same time, the URLs of one in their order."""
        params = known.params
        by_host: dict[str, deque[Target]] = defaultdict(deque)
        for target in targets:
            by_host[target.host].append(target)
        # Name lookups wait in threads; there are few of them unless one says otherwise.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(params.connections))
        session = open_session(known.agent, known.names, allow_private=params.allow_private)
        crawl = cls(known, Requester(session, params, known.bandwidth), by_host)
        # The hosts with the most URLs take longest, so they begin.
        queues = sorted(by_host.values(), key=len, reverse=True)
        turns = [queue for queue in queues for _ in range(params.per_host_connections)]
        shared = iter(turns)
        for _ in range(min(len(turns), _HOSTS_PER_CONNECTION * params.connections)):
            crawl.lanes.append(asyncio.create_task(crawl.run_lane(shared)))
        return crawl

    async def take(self) -> list[Fetched]:
        """Return the results there are; wait for one if there is none."""
        taken = [await self.results.get()]
        while not self.results.empty():
            taken.append(self.results.get_nowait())
        return taken

    async def close(self) -> None:
        """Give up what has not ended."""
        for lane in self.lanes:
            lane.cancel()
        await asyncio.gather(*self.lanes, return_exceptions=True)
        await self.requester.close()

    async def run_lane(self, queues: Iterator[deque[Target]]) -> None:
        """Fetch one queue after the other; several lanes may share one."""
        for queue in queues:
            while queue:
                await self.results.put(await self.get(queue.popleft()))

    async def get(self, target: Target) -> Fetched:
        """Fetch one URL, or find it in the store."""
        try:
            return await self._get(target)
        except Exception:  # noqa: BLE001 - see the next line
            # One URL costs itself alone, also where a library breaks on what a server sent.
            _log.exception("Fetching %r failed in an unforeseen way.", target.url)
            return Fetched(target.url, target.at, reason="fetch:error")
        finally:
            self.waiting[target.host] -= 1

    async def _get(self, target: Target) -> Fetched:
        store = self.known.store
        if wrong := self._wrong(target):
            return Fetched(target.url, target.at, reason=wrong)
        if store is None:
            return await self._follow(target, None)
        stored = store.get(target.at)
        if stored is None or not store.is_fresh(stored):
            stored = replace(await self._follow(target, stored), url=target.at)
            store.put(stored)
        elif wrong := self._wrong(target_of(stored.final_url)):
            return Fetched(target.url, stored.final_url, reason=wrong)
        elif stored.body is not None and len(stored.body) > self.params.max_bytes:
            stored = replace(stored, body=None, reason="fetch:too_large")
        return replace(stored, url=target.url)

    async def _follow(self, target: Target, stored: Fetched | None) -> Fetched:
        """Request a URL, and what it redirects to.

        Args:
            target: The URL.
            stored: What it was when it was last fetched.
        """
        url = target.url
        for _ in range(self.params.max_redirects + 1):
            at = target.at
            wrong = self._wrong(target) or await self._forbidden(target)
            if wrong:
                return Fetched(url, at, reason=wrong)
            old = stored if stored and stored.body is not None and stored.final_url == at else None
            answer = await self._ask(target, self.params.max_bytes, validators=_validators(old))
            came = None if answer.status is None else _now()
            if answer.unchanged and old:
                # Headers that come with it are newer (RFC 9111, section 3.2).
                headers = {**old.headers, **answer.headers}
                return replace(old, url=url, headers=headers, fetched_at=came)
            if answer.location is None:
                status, headers, body = answer.status, answer.headers, answer.body
                return Fetched(url, at, status, headers, body, answer.reason, came)
            target = target_of(answer.location, at)
        return Fetched(
            url, at, answer.status, answer.headers, None, "fetch:too_many_redirects", came
        )

    def _wrong(self, target: Target) -> str | None:
        """Return the reason why a URL is not even looked at."""
        if target.wrong:
            return target.wrong
        return "fetch:denied_host" if self.known.denied.denies(target.host) else None

    async def _forbidden(self, target: Target) -> str | None:
        """Return the reason why robots.txt forbids a URL."""
        if not self.params.respect_robots:
            return None
        known, origin = self.known.robots, target.origin
        rules = known.get(origin)
        if rules is None or rules.expires < time.monotonic():
            async with self.locks[origin]:
                rules = known.get(origin)
                if rules is None or rules.expires < time.monotonic():
                    rules = known[origin] = await self._read_robots(origin)
                if len(known) > _ROBOTS_KEPT:
                    del known[next(iter(known))]
        delay = min(rules.delay, self.params.max_crawl_delay_s)
        self.known.hosts[target.host].robots_delay = delay
        return rules.forbids(target.at, self.product)

    async def _read_robots(self, origin: str) -> Robots:
        target = target_of(f"{origin}/robots.txt")
        start, now = target.at, time.monotonic()
        for _ in range(ROBOTS_REDIRECTS + 1):
            answer = await self._ask(target, ROBOTS_BYTES, whole=False)
            if answer.location is None:
                break
            target = target_of(answer.location, target.at)
            if self._wrong(target):
                break
        return read_robots(
            answer,
            self.product,
            now,
            retry_s=self.params.host_pause_s,
            redirected=target.at != start,
        )

    async def _ask(
        self,
        target: Target,
        limit: int,
        *,
        whole: bool = True,
        validators: Mapping[str, str] | None = None,
    ) -> Answer:
        """Request one URL when its turn has come, and again where that may help."""
        host = self.known.hosts[target.host]
        tries = self.params.retries + 1
        attempt = 0
        while attempt < tries:
            async with self.slots[target.host]:
                if not await self._turn(host):
                    return Answer(reason="fetch:host_paused")
                # The connection for the last URL of a host is not kept: idle ones pile up.
                keep = self.waiting[target.host] > (1 if whole else 0)
                try:
                    answer = await self.requester.request(
                        target.at, limit=limit, whole=whole, validators=validators, keep=keep
                    )
                finally:
                    self.connections.release()
                fault = fault_of(answer.reason, passing=answer.passing)
                now = time.monotonic()
                host.note(
                    now,
                    self.params,
                    fault=fault,
                    attempt=attempt,
                    retry_after=answer.retry_after,
                    seconds=answer.seconds,
                )
            attempt += 1
            tries = min(tries, fault.tries + 1)
            if host.shut > now:
                break
        host.count(time.monotonic(), self.params, fault)
        return answer

    async def _turn(self, host: Host) -> bool:
        """Wait until the host may be asked and a connection is free, and take both.

        Returns:
            Whether they are taken; False where the host is left alone.
        """
        while True:
            now = time.monotonic()
            if now < host.shut:
                return False
            if now < host.ready:
                await asyncio.sleep(host.ready - now)
                continue
            await self.connections.acquire()
            # By now another request to the host may have begun.
            if max(host.ready, host.shut) <= time.monotonic():
                host.begin(time.monotonic(), self.params)
                return True
            self.connections.release()


def _validators(stored: Fetched | None) -> dict[str, str]:
    headers = stored.headers if stored else {}
    known = ((VALIDATORS[name], headers.get(name, "")) for name in VALIDATORS)
    return {
        name: value for name, value in known if value.isascii() and value.isprintable() and value
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
