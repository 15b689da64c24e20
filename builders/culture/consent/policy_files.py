"""Get what sites say in files about the use of what they hold: robots.txt, ai.txt, tdmrep.json."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from mella.builders.culture.consent.ai_txt import AI_FILE, AiTxt, parse_ai_txt
from mella.builders.culture.consent.robots_rules import ROBOTS_FILE, RobotsRules, parse_robots_rules
from mella.builders.culture.consent.tdm import TDM_FILE, TdmRule, parse_tdmrep
from mella.builders.culture.fetch.fetcher import Fetched, Fetcher
from mella.builders.culture.fetch.robots import ROBOTS_BYTES

POLICY_BYTES = 2_000_000
"""The largest file that is read; a larger one counts as unreachable."""

# In the order in which a site is asked.
_PATHS = {"robots_txt": ROBOTS_FILE, "ai_txt": AI_FILE, "tdm": TDM_FILE}
_KEPT_SITES = 20_000

Rules = TypeVar("Rules")


@dataclass(frozen=True)
class PolicyFile(Generic[Rules]):
    """What became of one file.

    Attributes:
        rules: What it says; None: there is no such file, or it can't be read.
        reachable: Whether it is known that there is one or none.
        at: When it was asked for, in UTC (RFC 3339).
    """

    rules: Rules | None
    reachable: bool
    at: str


@dataclass(frozen=True)
class SitePolicy:
    """The files of one origin; None: not asked for."""

    robots_txt: PolicyFile[RobotsRules] | None = None
    ai_txt: PolicyFile[AiTxt] | None = None
    tdm: PolicyFile[tuple[TdmRule, ...]] | None = None


class PolicyReader:
    """Asks each site once for its files, and remembers what it said."""

    def __init__(self, fetcher: Fetcher, names: Collection[str]) -> None:
        """Ask for nothing yet.

        Args:
            fetcher: How files are fetched. It obeys robots.txt, as ai.txt and tdmrep.json are not
                exempt from it; what it forbids to read counts as not there.
            names: Of "robots_txt", "ai_txt", "tdm": which files are asked for.
        """
        self._fetcher = fetcher
        self._paths = [path for name, path in _PATHS.items() if name in names]
        self._known: dict[str, SitePolicy] = {}

    def read(self, urls: Iterable[str]) -> dict[str, SitePolicy]:
        """Return the policies of the sites that hold `urls`, by `origin_of` them."""
        origins = list(dict.fromkeys(map(origin_of, urls)))
        new = [origin for origin in origins if origin not in self._known]
        wanted = [origin + path for origin in new for path in self._paths]
        answers = {answer.url: answer for answer in self._fetcher.stream(wanted)}
        for origin in new:
            self._known[origin] = _policy(origin, answers)
        found = {origin: self._known[origin] for origin in origins}
        for origin in list(self._known)[: max(0, len(self._known) - _KEPT_SITES)]:
            del self._known[origin]
        return found


def origin_of(url: str) -> str:
    """Return scheme, host and port of an absolute URL: what one robots.txt is for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _policy(origin: str, answers: dict[str, Fetched]) -> SitePolicy:
    robots, ai, tdm = (answers.get(origin + path) for path in _PATHS.values())
    return SitePolicy(
        _read(robots, parse_robots_rules) if robots else None,
        _read(ai, _parse_ai) if ai else None,
        _read(tdm, parse_tdmrep) if tdm else None,
    )


def _parse_ai(body: bytes) -> AiTxt:
    return parse_ai_txt(body[:ROBOTS_BYTES].decode("utf-8-sig", "replace"))


def _read(answer: Fetched, parse: Callable[[bytes], Rules | None]) -> PolicyFile[Rules]:
    at = answer.fetched_at or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if answer.body is not None:
        return PolicyFile(parse(answer.body), reachable=True, at=at)
    status = answer.status or 0
    # As RFC 9309 has it for robots.txt; too many requests is no answer to whether there is a file.
    absent = 400 <= status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS
    barred = answer.reason == "fetch:robots"
    return PolicyFile(None, reachable=absent or barred, at=at)
