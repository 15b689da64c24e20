"""Say how URLs are fetched, and under which name."""

from dataclasses import dataclass, field

from mella.builders.curate.lists import Lists
from mella.builders.engine.params import check_least
from mella.errors import MellaError


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
        answer_timeout_s: Of one request, from the connection to the end of the headers.
        min_bytes_per_s: A body that comes more slowly, from its beginning on, is given up; 0:
            never.
        slow_grace_s: But not before this time.
        max_bytes_per_s: Of all bodies together, as they are sent, in this process; 0: no limit.
        connections: At the same time, in all.
        per_host_connections: At the same time to one host.
        per_host_delay_s: Pause between two requests to one host.
        max_crawl_delay_s: A longer Crawl-delay in robots.txt counts as this.
        slow_answer_s: An answer whose headers take longer slows its host's requests down.
        max_slowdown_s: By how much the pause of a host grows at most.
        retries: After what may pass; `faults.py` says what that is.
        backoff_s: Pause of the host before the first retry; it doubles with each.
        max_retry_after_s: A host that asks for a longer pause is left alone for so long.
        max_host_failures: After so many failures in a row a host is left alone.
        host_pause_s: For how long.
        max_redirects: Each one is checked like a new URL.
        dns_ttl_s: For how long the addresses of a name are remembered.
        dns_failure_ttl_s: For how long it is remembered that a name has none.
        respect_robots: Whether robots.txt is read and obeyed.
        allow_private: Whether addresses that are not public may be connected to (for tests).
        hosts: Lists of hosts that are not asked for anything. In a recipe, those of `[hosts]`.
        store: A folder in which answers are kept, so that a fetch which was interrupted does not
            ask for them again; "" for none.
        store_fresh_s: An older answer is asked for again, if it has changed.
    """

    contact: str = ""
    user_agent: str = "mella/0.1"
    max_bytes: int = 20_000_000
    timeout_s: float = 60.0
    answer_timeout_s: float = 20.0
    min_bytes_per_s: float = 1000.0
    slow_grace_s: float = 10.0
    max_bytes_per_s: float = 0.0
    connections: int = 64
    per_host_connections: int = 1
    per_host_delay_s: float = 1.0
    max_crawl_delay_s: float = 30.0
    slow_answer_s: float = 5.0
    max_slowdown_s: float = 30.0
    retries: int = 2
    backoff_s: float = 1.0
    max_retry_after_s: float = 60.0
    max_host_failures: int = 5
    host_pause_s: float = 600.0
    max_redirects: int = 5
    dns_ttl_s: float = 600.0
    dns_failure_ttl_s: float = 60.0
    respect_robots: bool = True
    allow_private: bool = False
    hosts: Lists = field(default_factory=Lists)
    store: str = ""
    store_fresh_s: float = 86_400.0

    def __post_init__(self) -> None:
        check_least(
            self,
            {
                "max_bytes": 1,
                "timeout_s": 0.001,
                "answer_timeout_s": 0.001,
                "min_bytes_per_s": 0,
                "slow_grace_s": 0,
                "max_bytes_per_s": 0,
                "connections": 1,
                "per_host_connections": 1,
                "per_host_delay_s": 0,
                "max_crawl_delay_s": 0,
                "slow_answer_s": 0,
                "max_slowdown_s": 0,
                "retries": 0,
                "backoff_s": 0,
                "max_retry_after_s": 0,
                "max_host_failures": 1,
                "host_pause_s": 0,
                "max_redirects": 0,
                "dns_ttl_s": 0,
                "dns_failure_ttl_s": 0,
                "store_fresh_s": 0,
            },
        )


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


def product_of(params: FetchParams) -> str:
    """Return the name by which robots.txt knows this agent."""
    return params.user_agent.partition("/")[0].strip()
