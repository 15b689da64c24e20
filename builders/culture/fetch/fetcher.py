"""Fetch URLs politely and safely: every URL ends in a body or in a named reason.

Polite: robots.txt, a pause and a limit of connections for each host, `Retry-After`, back-off, a
longer pause for hosts that answer slowly, a limit on the bandwidth; hosts that keep failing are
left alone. Safe: only http and https, only public addresses (checked where the connection is made,
so that neither a name, a redirect nor a change of DNS gets around it), limits on time, speed,
headers, redirects and the size of the decoded body; no proxies and no cookies.

`docs/fetching.md` says what is checked in which order.
"""

import asyncio
import time
from collections.abc import Generator, Iterable

from mella.builders.culture.fetch.answer_store import AnswerStore
from mella.builders.culture.fetch.crawl import Crawl, Known, PausableLoop
from mella.builders.culture.fetch.fetched import Fetched
from mella.builders.culture.fetch.names import Lookup, NameCache, system_lookup
from mella.builders.culture.fetch.pacing import Bandwidth
from mella.builders.culture.fetch.params import FetchError, FetchParams, agent_of
from mella.builders.culture.fetch.target import host_of, owner_of, target_of
from mella.builders.curate.lists import host_rules

__all__ = ["FetchError", "FetchParams", "Fetched", "Fetcher", "agent_of", "host_of", "owner_of"]


class Fetcher:
    """Fetches URLs; remembers, from one call to the next, robots.txt and how the hosts behave."""

    def __init__(self, params: FetchParams, *, lookup: Lookup = system_lookup) -> None:
        """Connect to nothing yet.

        Args:
            params: How URLs are fetched.
            lookup: Finds the addresses of a host name.

        Raises:
            FetchError: There is no contact.
            ListError: A list of hosts cannot be read.
        """
        self.params = params
        self.agent = agent_of(params)
        names = NameCache(lookup, ttl_s=params.dns_ttl_s, failure_ttl_s=params.dns_failure_ttl_s)
        store = AnswerStore(params) if params.store else None
        bandwidth, denied = Bandwidth(params.max_bytes_per_s), host_rules(params.hosts)
        self._known = Known(params, self.agent, names, bandwidth, denied, store)

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
        wanted = [target_of(url) for url in dict.fromkeys(urls)]
        left = len(wanted)
        loop = PausableLoop()
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            crawl = runner.run(Crawl.start(self._known, wanted))
            try:
                while left:
                    # Not `runner.run`: it minds the signals of the process at each call.
                    taken = loop.run_until_complete(crawl.take())
                    left -= len(taken)
                    before = time.monotonic()
                    yield from taken
                    loop.skip(time.monotonic() - before)
            finally:
                runner.run(crawl.close())
