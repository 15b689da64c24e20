"""Write and read what stands in the columns `page_consent` and `consent`.

One line says whether a sample may be used, what was asked for that, when, and what was found:

    allowed|page@2026-11-25T09:00:00Z x-robots-tag=none meta=allows tdm=none robots_txt=allows
    forbidden:image_noai|page@... meta=none|image@2026-11-25T09:00:07Z x-robots-tag=forbids:noai

(Each is one line; checks of the same subject and time share one `|` group.) What is not named was
not asked. `docs/consent.md` says more.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Literal
from urllib.parse import quote

from mella.errors import MellaError

NONE = "none"
"""Nothing is said: no such header, element or file, or nothing in it is for us."""
ALLOWS = "allows"
"""Something is said, and it does not forbid the use."""
UNREACHABLE = "unreachable"
"""Whether something is said can't be found out now; it forbids the use until it can."""

Subject = Literal["page", "image"]

_FORBIDS = "forbids:"
_LENGTH = 500
_GROUP = re.compile(r"(page|image)@(\S*)((?: [a-z_-]+=[^\s|]+)+)")


class ConsentError(MellaError, ValueError):
    """Parameters of the consent steps, or a stored consent, that mean nothing."""


@dataclass(frozen=True)
class Check:
    """What one source says of one subject.

    Attributes:
        subject: The page or the image.
        source: "x-robots-tag", "meta", "tdm", "robots_txt", "ai_txt"; or "tdm-policy", whose
            finding is the URL of the terms on which a reserved use may be had.
        finding: `NONE`, `ALLOWS`, `UNREACHABLE`, or what `forbids` returns.
        at: When the source was read, in UTC (RFC 3339); "" where that is not known.
    """

    subject: Subject
    source: str
    finding: str
    at: str = ""

    @property
    def against(self) -> str | None:
        """What forbids the use, such as "noai"; None if nothing."""
        if self.finding == UNREACHABLE:
            return UNREACHABLE
        forbidden = self.finding.startswith(_FORBIDS)
        return self.finding.removeprefix(_FORBIDS) if forbidden else None


def forbids(what: str) -> str:
    """Return the finding that something forbids the use."""
    return _FORBIDS + what


def as_value(text: str) -> str:
    """Return the first 500 characters of a text, with what would break the line percent-encoded."""
    return quote(text.strip()[:_LENGTH].encode("utf-8", "replace"), safe="!#$%&'()*+,/:;=?@[]~")


def verdict(checks: tuple[Check, ...]) -> str | None:
    """Return what forbids the use first, such as "noai" or "image_robots_txt"; None if nothing."""
    for check in checks:
        if check.against:
            return check.against if check.subject == "page" else f"image_{check.against}"
    return None


def format_consent(checks: tuple[Check, ...]) -> str:
    """Return the line for some checks; `parse_consent` reads it."""
    against = verdict(checks)
    parts = [f"forbidden:{against}" if against else "allowed"]
    for (subject, at), group in groupby(checks, key=lambda check: (check.subject, check.at)):
        found = " ".join(f"{check.source}={check.finding}" for check in group)
        parts.append(f"{subject}@{at} {found}")
    return "|".join(parts)


def parse_consent(line: str) -> tuple[Check, ...]:
    """Return the checks that a line of `format_consent` holds; `verdict` gives their sum.

    Raises:
        ConsentError: It is no such line.
    """
    stated, *groups = line.split("|")
    checks: list[Check] = []
    for group in groups:
        match = _GROUP.fullmatch(group)
        if match is None:
            raise ConsentError(f"{group!r} in the consent {line!r} is not SUBJECT@TIME SOURCE=...")
        subject: Subject = "page" if match[1] == "page" else "image"
        for found in match[3].split():
            source, _, finding = found.partition("=")
            checks.append(Check(subject, source, finding, match[2]))
    against = verdict(tuple(checks))
    if stated != (f"forbidden:{against}" if against else "allowed"):
        raise ConsentError(
            f"The consent {line!r} begins with {stated!r}, but its checks say "
            f"{against or 'allowed'!r}: it was changed, or written by another version."
        )
    return tuple(checks)
