"""Read URLs that are to be fetched: where they lead, whose turn they take, who owns the host."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.fetch.public_address import is_disguised
from mella.builders.engine.shuffle import bucket_of

# What `resolve_url` returns as it is; most URLs have been through it, and it takes its time.
_CANONICAL = re.compile(
    r"(https?://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)"
    r"(?::(?!80/|443/)(?:[1-9][0-9]{1,3}|[1-5][0-9]{4}))?)/[!$-;=@-\[\]_a-z~]*(?:\?[!$-;=?@-\[\]_a-z~]+)?"
)
_MAX_URL = 8192


@dataclass(frozen=True)
class Target:
    """A URL to fetch.

    Attributes:
        url: As it was asked for.
        at: In canonical form.
        host: Whose turn it takes; "" where it may not be fetched.
        origin: Whose robots.txt counts: scheme, host, port.
        wrong: The reason why it may not be fetched, whatever is there.
    """

    url: str
    at: str
    host: str
    origin: str
    wrong: str | None


def target_of(url: str, base: str | None = None) -> Target:
    """Return where a URL leads.

    Args:
        url: As somebody wrote it.
        base: The URL to which it is relative; without, it is absolute.
    """
    match = _CANONICAL.fullmatch(url)
    if match and len(url) <= _MAX_URL:
        at, origin, host = url, match[1], match[2]
    else:
        resolved, wrong = resolve_url(url if base is None else base, url)
        if resolved is None:
            scheme = wrong in ("candidate:scheme", "candidate:data_uri")
            return Target(url, url, "", "", "fetch:scheme" if scheme else "fetch:bad_url")
        parts = urlsplit(resolved)
        at, origin, host = resolved, f"{parts.scheme}://{parts.netloc}", parts.hostname or ""
    if is_disguised(host):
        return Target(url, at, "", "", "fetch:bad_url")
    return Target(url, at, host, origin, None)


def host_of(url: str) -> str:
    """Return the host that a URL is fetched from, as pauses count it; "" where there is none."""
    return target_of(url).host


def owner_of(host: str, tasks: int) -> int:
    """Return which of `tasks` tasks asks a host: the same on every machine and in every run.

    One task that asks for all URLs of a host is enough to keep the host's pauses, with nothing
    to agree on between machines. It is how the engine deals out rows of a step with a `by`.

    Args:
        host: As `host_of` returns it.
        tasks: How many there are; more than 0.

    Returns:
        The number of the task, from 0.
    """
    return bucket_of(host, tasks)
