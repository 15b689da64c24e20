"""Read reservations of text and data mining: the TDM Reservation Protocol (TDMRep).

W3C Community Group, final report of 10 May 2024, <https://www.w3.org/community/reports/tdmrep/
CG-FINAL-tdmrep-20240510/>. A site speaks in `/.well-known/tdmrep.json`, in the headers
`tdm-reservation` and `tdm-policy`, and in meta elements of these names. Meta elements go before
headers, headers before the file; what one of them leaves out does not reset the others.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mella.builders.culture.consent.url_pattern import matches, normal_escapes, path_of
from mella.builders.culture.signals import Signal

TDM_FILE = "/.well-known/tdmrep.json"


@dataclass(frozen=True)
class Tdm:
    """What is said of one resource.

    Attributes:
        reserved: Whether mining is reserved; None: nothing is said.
        policy: URL of the terms on which it may be had.
    """

    reserved: bool | None = None
    policy: str | None = None

    def superseded_by(self, later: "Tdm") -> "Tdm":
        """Return what holds when another technique, which goes before this one, is read."""
        return Tdm(
            self.reserved if later.reserved is None else later.reserved,
            self.policy if later.policy is None else later.policy,
        )


@dataclass(frozen=True)
class TdmRule:
    """One rule of a file: what is said of the paths that match a pattern."""

    location: str
    tdm: Tdm


def parse_tdmrep(body: bytes) -> tuple[TdmRule, ...] | None:
    """Parse `tdmrep.json`; None where it is no such file: the site does not use the protocol.

    Rules that lack what is mandatory are left out. More than the report asks is understood: a
    rule without the array around it, and a `location` without its first slash.
    """
    try:
        found = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list):
        return None
    return tuple(rule for rule in map(_rule, found) if rule)


def tdm_of_file(rules: Iterable[TdmRule], url: str) -> Tdm:
    """Return what a site's file says of a URL: the first rule that matches counts."""
    path = path_of(url)
    return next((rule.tdm for rule in rules if matches(rule.location, path)), Tdm())


def tdm_of_signals(signals: Iterable[Signal]) -> Tdm:
    """Return what headers and meta elements say of the resource that they came with."""
    signals = list(signals)
    headers, metas = (
        Tdm(_reserved(_values(signals, where, "tdm-reservation")), _policy(signals, where))
        for where in ("header", "meta")
    )
    return headers.superseded_by(metas)


def _rule(found: Any) -> TdmRule | None:
    if not isinstance(found, dict):
        return None
    location, policy = found.get("location"), found.get("tdm-policy")
    reserved = _reserved([str(found.get("tdm-reservation")).lower()])
    if not isinstance(location, str) or not location.strip() or reserved is None:
        return None
    location = location.strip()
    location = location if location.startswith(("/", "*")) else f"/{location}"
    policy = policy if isinstance(policy, str) else None
    return TdmRule(normal_escapes(location), Tdm(reserved, policy))


def _values(signals: Iterable[Signal], where: str, name: str) -> list[str]:
    return [
        value.strip()
        for signal in signals
        if signal["where"] == where and signal["name"] == name
        for value in signal["value"].split(",")
    ]


def _policy(signals: Iterable[Signal], where: str) -> str | None:
    # A URL may hold a comma, so the value is not split.
    values = (
        s["value"].strip() for s in signals if (s["where"], s["name"]) == (where, "tdm-policy")
    )
    return next((value for value in values if value), None)


def _reserved(values: Iterable[str]) -> bool | None:
    """Return what values of `tdm-reservation` say: one that reserves is enough.

    0 and 1 are the values of the report, true and false what some write in JSON; all else counts
    as if it was not there.
    """
    known = [value in ("1", "true") for value in values if value in ("0", "1", "true", "false")]
    return any(known) if known else None
