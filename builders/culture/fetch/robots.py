"""Decide by robots.txt (RFC 9309) what may be fetched, and how often."""

from dataclasses import dataclass
from http import HTTPStatus

from protego import Protego

from mella.builders.culture.fetch.http_request import Answer

ROBOTS_BYTES = 500 * 1024
"""Of a robots.txt: the least that RFC 9309 asks a crawler to read."""
ROBOTS_REDIRECTS = 5
"""The least that RFC 9309 asks a crawler to follow."""
_KEPT_S = 24 * 3600  # the longest that RFC 9309 allows to keep rules

# Where robots.txt fails so, the URL itself would too.
_SAME_FOR_PAGE = ("fetch:private_address", "fetch:dns", "fetch:host_paused")


@dataclass(frozen=True)
class Robots:
    """What a site allows.

    Attributes:
        rules: None: everything is allowed, unless there is a reason.
        reason: Why nothing is allowed.
        expires: When it must be read again, by `time.monotonic`.
        delay: Seconds between requests that it asks for.
    """

    rules: Protego | None
    reason: str | None
    expires: float
    delay: float = 0.0

    def forbids(self, url: str, product: str) -> str | None:
        """Return the reason why a product may not fetch a URL."""
        if self.rules is None:
            return self.reason
        return None if self.rules.can_fetch(url, product) else "fetch:robots"


def read_robots(
    answer: Answer, product: str, now: float, *, retry_s: float, redirected: bool
) -> Robots:
    """Read the answer to a request for robots.txt.

    4xx: there are no rules, all is allowed. What cannot be read forbids all.

    Args:
        answer: Of the last request; one with a location: there were too many redirects.
        product: For which it is read.
        now: By `time.monotonic`.
        retry_s: When what cannot be read is tried again.
        redirected: Whether it is another URL's answer.
    """
    if answer.body is not None:
        text = answer.body.decode("utf-8-sig", "replace")
        rules = Protego.parse(text)
        rate = rules.request_rate(product)
        between = rate.seconds / rate.requests if rate else 0.0
        delay = max(between, rules.crawl_delay(product) or 0.0)
        return Robots(rules, None, now + _KEPT_S, delay)
    # Too many requests is not an answer to whether there are rules.
    status = answer.status or 0
    if 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS:
        return Robots(None, None, now + _KEPT_S)
    reason = "fetch:robots_unreachable"
    if not redirected and answer.reason in _SAME_FOR_PAGE:
        reason = answer.reason
    return Robots(None, reason, now + retry_s)
