"""Read the directives of X-Robots-Tag headers and of `<meta name="robots">`.

No standard has the grammar. This follows the documentation of those who read them most (Google,
"Robots meta tag, data-nosnippet, and X-Robots-Tag specifications"; MDN, "X-Robots-Tag"):

    value     = item *("," item)
    item      = [agent ":"] directive / [agent ":"] directive ":" argument
    directive = "noindex" / "none" / "noai" / "max-image-preview" / ...

The name of an agent holds for all that follows it in the value, up to the next one. Case and white
space do not count. As sites write so too, `;` and white space also separate directives.
"""

import re
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

UNAVAILABLE_AFTER = "unavailable_after"
_WITH_ARGUMENT = ("max-snippet", "max-image-preview", "max-video-preview", UNAVAILABLE_AFTER)
_EVERYONE = ("", "*", "robots")
_LENGTH = 16 << 10  # of a value; no header line that is fetched is longer
_IMPLIED = {"none": ("noindex", "nofollow")}
# What comes after a comma inside a date: "25 Jun 2010", "25-Jun-10", "2010 15:00". (The crawler
# 360Spider begins with digits too.)
_DATE_GOES_ON = re.compile(r"\d{1,2}(?:\s|-)|\d{4}(?:\s|-|$)")


@dataclass(frozen=True)
class Directive:
    """One directive.

    Attributes:
        agent: The crawler that it is for, lower-case; None: every one.
        name: Lower-case, such as "noai".
        argument: As it was sent, such as a date; "" where there is none.
    """

    agent: str | None
    name: str
    argument: str = ""


def parse_directives(value: str, agent: str | None = None) -> tuple[Directive, ...]:
    """Parse one header line or the content of one meta element.

    Args:
        value: As it was sent. Nothing in it is an error.
        agent: Whom it is for until the value itself names one: the name of the meta element.
    """
    agent = _agent(agent or "*")
    found: list[Directive] = []
    items = deque(re.split(r"[,;]", value[:_LENGTH]))
    while items:
        item = items.popleft().strip()
        head, colon, rest = (part.strip() for part in item.partition(":"))
        if colon and head.lower() not in _WITH_ARGUMENT:
            agent = _agent(head)
            items.appendleft(rest)
        elif colon:
            name = head.lower()
            while name == UNAVAILABLE_AFTER and items and _DATE_GOES_ON.match(items[0].strip()):
                rest = f"{rest}, {items.popleft().strip()}"
            found.append(Directive(agent, name, rest))
        else:
            found += (Directive(agent, word) for word in item.lower().split())
    return tuple(found)


def names_for(
    directives: Collection[Directive], agents: Collection[str], now: datetime | None
) -> Iterator[str]:
    """Yield the names of the directives that an agent has to obey, and of those they imply.

    Those for every agent and those for this one add up: none takes another back.
    `unavailable_after` counts where its date has passed; one that can't be read counts too, as the
    site sets a limit which may have been reached.

    Args:
        directives: Of all headers and elements of one response.
        agents: Names of the agent, in any case.
        now: When it is judged; None: no date has passed but those that can't be read.
    """
    ours = {None, *(name.lower() for name in agents)}
    for directive in directives:
        if directive.agent not in ours:
            continue
        if directive.name == UNAVAILABLE_AFTER:
            date = read_date(directive.argument)
            if date is not None and (now is None or date > now):
                continue
        yield directive.name
        yield from _IMPLIED.get(directive.name, ())


def read_date(text: str) -> datetime | None:
    """Read a date of RFC 822, RFC 850 or ISO 8601; UTC where it names no zone; None: it is none."""
    text = text.strip()
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text)
            return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    return None


def _agent(name: str) -> str | None:
    name = name.strip().lower()
    return None if name in _EVERYONE else name
