"""Ask a robots.txt (RFC 9309) whether something may be used, not only whether it may be fetched.

Some of its user agents are no crawlers: `Google-Extended` and `Applebot-Extended` stand in
robots.txt only to say whether what other crawlers fetch may train models. A site that names them
speaks of a use, so it is heard by others who have that use in mind.

Its lines `Content-Signal: search=yes, ai-train=no` say so for everyone (Cloudflare, "Content
Signals Policy", 2025, <https://contentsignals.org>).
"""

from collections.abc import Collection
from dataclasses import dataclass

from protego import Protego

from mella.builders.culture.consent.agent_groups import USER_AGENT, agent_lines
from mella.builders.culture.fetch.robots import ROBOTS_BYTES

ROBOTS_FILE = "/robots.txt"

_SIGNAL = "content-signal"


@dataclass(frozen=True)
class RobotsRules:
    """The rules of a file.

    Attributes:
        rules: What may be fetched.
        named: The user agents that the file names, lower-case.
        training: By user agent, what it says of the use for training models.
    """

    rules: Protego
    named: frozenset[str]
    training: dict[str, bool]

    def allows(self, url: str, product: str, others: Collection[str] = ()) -> bool:
        """Say whether a URL may be used.

        Args:
            url: Absolute.
            product: Our name. Where the file names it, no other group counts.
            others: Names of other agents, whose groups count too where the file names them.
        """
        if not self.rules.can_fetch(url, product):
            return False
        if product.lower() in self.named:
            return True
        heard = [name for name in others if name.lower() in self.named]
        return all(self.rules.can_fetch(url, name) for name in heard)

    def allows_training(self, product: str, others: Collection[str] = ()) -> bool:
        """Say whether no `Content-Signal` forbids to train models; names count as in `allows`."""
        own = product.lower()
        names = (own,) if own in self.named else ("*", *(name.lower() for name in others))
        return all(self.training.get(name, True) for name in names)


def parse_robots_rules(body: bytes) -> RobotsRules:
    """Parse robots.txt; what is no rule is left out."""
    text = body[:ROBOTS_BYTES].decode("utf-8-sig", "replace")
    named: set[str] = set()
    training: dict[str, bool] = {}
    for agents, name, value in agent_lines(text, ("allow", "disallow", _SIGNAL)):
        if name == USER_AGENT:
            named |= {*agents}
        elif name == _SIGNAL and (said := _training(value)) is not None:
            # Where a site says both, that which forbids counts.
            training |= {agent: said and training.get(agent, True) for agent in agents}
    return RobotsRules(Protego.parse(text), frozenset(named), training)


def _training(value: str) -> bool | None:
    signals = dict(part.partition("=")[::2] for part in "".join(value.lower().split()).split(","))
    return {"yes": True, "no": False}.get(signals.get("ai-train", ""))
