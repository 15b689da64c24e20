"""Read ai.txt: what of a site may be used to train models.

Spawning proposed it in 2023 (<https://site.spawning.ai/spawning-ai-txt>); there is no formal
grammar. What its generator writes is robots.txt with patterns of file names:

    User-Agent: *
    Disallow: *.jpg
    Allow: *.txt
    Disallow: /

The longest pattern that matches counts, as in RFC 9309; of equally long ones that which forbids.
"""

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from mella.builders.culture.consent.agent_groups import USER_AGENT, agent_lines
from mella.builders.culture.consent.url_pattern import matches, normal_escapes, path_of

AI_FILE = "/ai.txt"

_EXTENSION = re.compile(r"(?:/?\*)?\.([A-Za-z0-9]{1,10})\$?")
_HAS_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,10})$")


@dataclass(frozen=True)
class AiRule:
    """One line of a group.

    Attributes:
        pattern: Of paths, as in robots.txt.
        extension: Of file names, lower-case, where the pattern is about these alone: "*.c" is not
            about "/style.css" or "/a.com/".
        allows: Whether it allows or forbids.
    """

    pattern: str
    extension: str | None
    allows: bool


@dataclass(frozen=True)
class AiTxt:
    """The rules of a file, by user agent (lower-case; "*": every other)."""

    groups: dict[str, tuple[AiRule, ...]]

    def allows(self, url: str, product: str, others: Collection[str] = (), *, usual: str) -> bool:
        """Say whether a URL may be used.

        Args:
            url: Absolute.
            product: Our name. A group for it is the only one that counts.
            others: Names of other agents, whose groups count with those for everyone.
            usual: The extension that is taken where the URL has none, such as "html".
        """
        own = product.lower()
        names = (own,) if own in self.groups else ("*", *(name.lower() for name in others))
        named = _HAS_EXTENSION.search(urlsplit(url).path)
        extension = (named[1] if named else usual).lower()
        path = path_of(url)
        return all(_allows(self.groups.get(name, ()), path, extension) for name in names)


def parse_ai_txt(text: str) -> AiTxt:
    """Parse ai.txt; what is no rule is left out. Rules before any user agent are for everyone."""
    groups: dict[str, list[AiRule]] = defaultdict(list)
    for agents, name, value in agent_lines(text, ("allow", "disallow")):
        for agent in agents:
            rules = groups[agent]
            if name != USER_AGENT and value:
                extension = _EXTENSION.fullmatch(value)
                known = extension[1].lower() if extension else None
                rules.append(AiRule(normal_escapes(value), known, name == "allow"))
    return AiTxt({agent: tuple(rules) for agent, rules in groups.items()})


def _allows(rules: Collection[AiRule], path: str, extension: str) -> bool:
    found = [rule for rule in rules if _matches(rule, path, extension)]
    best = max(found, key=lambda rule: (len(rule.pattern), not rule.allows), default=None)
    return best is None or best.allows


def _matches(rule: AiRule, path: str, extension: str) -> bool:
    if rule.extension is not None:
        return rule.extension == extension
    return matches(rule.pattern, path)
