"""Keep the pace: when a host may be asked, when it is left alone, how fast bytes may come."""

import asyncio
import time
from dataclasses import dataclass

from mella.builders.culture.fetch.faults import Fault
from mella.builders.culture.fetch.params import FetchParams

_BURST_S = 0.5  # what was not used of the bandwidth is kept for so long
_EASES = 0.75  # what a good answer leaves of a slow-down
_HOSTS_KEPT = 100_000


@dataclass
class Host:
    """What is known of a host; times are those of `time.monotonic`.

    Attributes:
        ready: When the next request may start.
        shut: Until when the host is left alone.
        failures: In a row.
        robots_delay: Seconds between requests, as its robots.txt asks.
        slowdown: Seconds more, because it seems to have too much to do.
    """

    ready: float = 0.0
    shut: float = 0.0
    failures: int = 0
    robots_delay: float = 0.0
    slowdown: float = 0.0

    def pause(self, params: FetchParams) -> float:
        """Return the seconds between two requests."""
        return max(params.per_host_delay_s, self.robots_delay) + self.slowdown

    def begin(self, now: float, params: FetchParams) -> None:
        """Note that a request begins."""
        self.ready = now + self.pause(params)

    def note(
        self,
        now: float,
        params: FetchParams,
        *,
        fault: Fault,
        attempt: int = 0,
        retry_after: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Learn from how a request ended.

        Args:
            now: When it did.
            params: How hosts are asked.
            fault: What follows from it.
            attempt: How many of the same went before it.
            retry_after: Seconds that the server asks to wait.
            seconds: How long the answer took to begin.
        """
        if fault.strains or seconds > params.slow_answer_s:
            slower = max(2 * self.slowdown, params.backoff_s)
            self.slowdown = min(slower, params.max_slowdown_s)
        elif not fault.counts:
            eased = self.slowdown * _EASES
            self.slowdown = eased if eased > params.backoff_s / 4 else 0.0
        back_off = params.backoff_s * 2**attempt if fault.tries else 0.0
        wait = back_off if retry_after is None else retry_after
        self.ready = max(self.ready, now + max(wait, self.pause(params)))
        if wait > max(back_off, params.max_retry_after_s):
            self.shut = self.ready

    def count(self, now: float, params: FetchParams, fault: Fault) -> None:
        """Leave a host alone that fails again and again: each failure may take the whole time."""
        self.failures = self.failures + 1 if fault.counts else 0
        if self.failures >= params.max_host_failures:
            self.failures = 0
            self.shut = max(self.shut, now + params.host_pause_s)

    def is_idle(self, now: float) -> bool:
        """Whether nothing would be lost if the host were forgotten, but the rules of its robots."""
        return max(self.ready, self.shut) < now and not (self.failures or self.slowdown)


class Hosts:
    """The hosts that were asked; those of which nothing need be known are forgotten in time."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._enough = _HOSTS_KEPT

    def __getitem__(self, name: str) -> Host:
        """Return what is known of a host."""
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= self._enough:
                now = time.monotonic()
                self._hosts = {n: h for n, h in self._hosts.items() if not h.is_idle(now)}
                self._enough = max(_HOSTS_KEPT, 2 * len(self._hosts))
            host = self._hosts[name] = Host()
        return host


class Bandwidth:
    """A limit on bytes a second, over all connections: a token bucket, kept as a time."""

    def __init__(self, rate: float) -> None:
        """Allow `rate` bytes a second; 0: any number."""
        self.rate = rate
        self._ready = 0.0  # when all that was taken would have come at the rate

    async def take(self, size: int) -> float:
        """Wait until `size` bytes fit, and return for how many seconds."""
        if not self.rate:
            return 0.0
        now = time.monotonic()
        self._ready = max(self._ready, now - _BURST_S) + size / self.rate
        wait = max(0.0, self._ready - now)
        await asyncio.sleep(wait)
        return wait
