"""Say which signals of sites forbid the use of what they hold, and whether sites are asked."""

from dataclasses import dataclass, field
from datetime import datetime

from mella.builders.culture.consent.record import ConsentError
from mella.builders.culture.consent.robots_directives import UNAVAILABLE_AFTER, read_date
from mella.builders.culture.fetch.params import FetchParams, agent_of, product_of

DIRECTIVES = (
    *("noai", "noimageai", "noml", "noindex", "noimageindex", UNAVAILABLE_AFTER),
    *("nosnippet", "noarchive", "nocache"),
)
"""Directives of X-Robots-Tag and meta elements that can forbid; `none` counts as `noindex`."""
PROTOCOLS = ("tdm", "robots_txt", "ai_train", "ai_txt")
"""What else can forbid: TDMRep in all its forms; of robots.txt, the rules for us and for
`training_agents`, and `Content-Signal: ai-train=no`; ai.txt."""


@dataclass(frozen=True)
class ConsentParams:
    """What forbids the use of a page and its images; `docs/consent.md` says why.

    Attributes:
        honour: Of `DIRECTIVES` and `PROTOCOLS`, those that forbid.
        live: Whether the files of sites are asked for now; it needs a contact in `fetch_params`.
            Without it only what came with page and image is judged, and what the fetcher obeyed.
        training_agents: Names in robots.txt, ai.txt and directives that count as ours, as rules
            for them say that a site's content may not train models.
        as_of: The date at which `unavailable_after` is judged (ISO 8601); "": now if `live`, else
            when page or image were collected.
        fetch_params: How files are fetched; its `user_agent` is our name.
    """

    honour: tuple[str, ...] = (
        *("noai", "noimageai", "noml", "noindex", "noimageindex", UNAVAILABLE_AFTER),
        *PROTOCOLS,
    )
    live: bool = False
    training_agents: tuple[str, ...] = ("Google-Extended", "Applebot-Extended")
    as_of: str = ""
    fetch_params: FetchParams = field(default_factory=FetchParams)

    def __post_init__(self) -> None:
        known = (*DIRECTIVES, *PROTOCOLS)
        for name in self.honour:
            if name not in known:
                raise ConsentError(
                    f"honour holds {name!r}; it may hold {', '.join(map(repr, known))}."
                )
        if self.as_of and read_date(self.as_of) is None:
            raise ConsentError(f'as_of = {self.as_of!r} must be "" or a date such as "2026-11-25".')
        if self.live:
            agent_of(self.fetch_params)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are asked for, as `PolicyReader` names them."""
        robots = ("robots_txt",) if {"robots_txt", "ai_train"} & {*self.honour} else ()
        return (*robots, *(name for name in ("ai_txt", "tdm") if name in self.honour))

    @property
    def agents(self) -> tuple[str, ...]:
        """The names that count as ours."""
        return (product_of(self.fetch_params), *self.training_agents)

    def judged_at(self, *times: str | None) -> datetime | None:
        """Return the date at which dates are judged: `as_of`, or the latest of some times."""
        latest = max((time for time in times if time), default="")
        return read_date(self.as_of or latest)
