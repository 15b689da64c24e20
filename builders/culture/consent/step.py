"""Decide whether page and image may be used, by what the site says before the image is asked for.

Three kinds of evidence: the headers and meta elements that came with the page; where `live` is set,
the files of the page's site; and those of the image's site. Files that can't be reached forbid.
Reasons are `consent:` and what forbids: `consent:noai`, `consent:tdm`, `consent:robots_txt`,
`consent:unreachable`, `consent:image_ai_txt`, and so on. `image_consent.py` goes on where the image
has come.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.consent.params import ConsentParams
from mella.builders.culture.consent.policy_files import (
    POLICY_BYTES,
    PolicyFile,
    PolicyReader,
    SitePolicy,
    origin_of,
)
from mella.builders.culture.consent.record import (
    ALLOWS,
    NONE,
    UNREACHABLE,
    Check,
    Subject,
    as_value,
    forbids,
    format_consent,
    verdict,
)
from mella.builders.culture.consent.robots_directives import names_for, parse_directives
from mella.builders.culture.consent.tdm import Tdm, tdm_of_file, tdm_of_signals
from mella.builders.culture.fetch.fetcher import Fetcher
from mella.builders.culture.signals import SIGNALS, Signal
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema(
    [
        pa.field("page_signals", SIGNALS),
        pa.field("page_url", pa.string()),
        pa.field("image_url", pa.string()),
        pa.field("image_host", pa.string()),
        pa.field("collected_at", pa.string()),
    ]
)
WRITES = pa.schema([pa.field("page_consent", pa.string()), REASON])

# What stands where the URL of a page has no extension, as ai.txt forbids by these.
_OF_PAGES = "html"
_NO_POLICY = SitePolicy()

Row = dict[str, Any]


def consent_step(params: ConsentParams) -> Step:
    """Return the step that decides by what is known before the image is fetched.

    Where sites are asked, rows are dealt out by the host of the image, so that one process asks it.
    """
    return Step(
        name="consent",
        version=1,
        fn=_judge,
        reads=READS,
        writes=WRITES,
        params=params,
        by="image_host" if params.live else None,
        setup=_open_reader,
    )


def directive_check(
    subject: Subject,
    source: str,
    signals: list[Signal],
    params: ConsentParams,
    *,
    at: str | None,
    now: datetime | None,
) -> Check:
    """Return what directives say.

    Args:
        subject: Of what.
        source: "x-robots-tag" or "meta": which of the signals are read.
        signals: Of the response.
        params: Which directives forbid.
        at: When the response came.
        now: The date at which `unavailable_after` is judged.
    """
    wanted = "meta" if source == "meta" else "header"
    found = [
        directive
        for signal in signals
        if signal["where"] == wanted and (wanted == "meta" or signal["name"] == source)
        for directive in parse_directives(
            signal["value"], signal["name"] if wanted == "meta" else None
        )
    ]
    names = list(names_for(found, params.agents, now))
    against = next((name for name in names if name in params.honour), None)
    finding = forbids(against) if against else ALLOWS if names else NONE
    return Check(subject, source, finding, at or "")


def tdm_checks(subject: Subject, tdm: Tdm, at: str | None) -> Iterator[Check]:
    """Yield what TDMRep says, with the terms of what is reserved."""
    finding = NONE if tdm.reserved is None else forbids("tdm") if tdm.reserved else ALLOWS
    yield Check(subject, "tdm", finding, at or "")
    if tdm.reserved and tdm.policy and tdm.policy.strip():
        yield Check(subject, "tdm-policy", as_value(tdm.policy), at or "")


def _open_reader(params: ConsentParams, _: SideReader | None) -> PolicyReader | None:
    if not params.live:
        return None
    fetcher = Fetcher(replace(params.fetch_params, max_bytes=POLICY_BYTES))
    return PolicyReader(fetcher, params.files)


def _judge(table: pa.Table, params: ConsentParams, reader: PolicyReader | None) -> pa.Table:
    rows = table.to_pylist()
    sites: dict[str, SitePolicy] = {}
    if reader:
        # A site is not asked for the sake of rows that are rejected anyway.
        left = [row for row in rows if verdict(tuple(_page_checks(row, params))) is None]
        urls = (_absolute(row[name]) for row in left for name in ("page_url", "image_url"))
        sites = reader.read(url for url in urls if url)
    made = []
    for row in rows:
        checks = tuple(_checks(row, params, sites))
        against = verdict(checks)
        reason = f"consent:{against}" if against else None
        made.append({"page_consent": format_consent(checks), "reason": reason})
    return pa.Table.from_pylist(made, schema=WRITES)


def _checks(row: Row, params: ConsentParams, sites: dict[str, SitePolicy]) -> Iterator[Check]:
    page, image = _absolute(row["page_url"]), _absolute(row["image_url"])
    site = sites.get(origin_of(page), _NO_POLICY) if page else _NO_POLICY
    own = tuple(_page_checks(row, params, site))
    yield from own
    if not params.live or verdict(own):
        return
    if page:
        yield from _file_checks("page", page, site, params, usual=_OF_PAGES)
    else:
        yield Check("page", "robots_txt", UNREACHABLE)  # there is no site to ask
    if image:
        host = sites.get(origin_of(image), _NO_POLICY)
        if "tdm" in params.honour:
            yield from _tdm_of("image", image, host, Tdm(), None)
        yield from _file_checks("image", image, host, params, usual="")


def _page_checks(row: Row, params: ConsentParams, site: SitePolicy = _NO_POLICY) -> Iterator[Check]:
    """Yield what came with the page, and TDMRep, in which the file only fills what that leaves."""
    signals, at = row["page_signals"] or [], row["collected_at"]
    now = params.judged_at(at, _now() if params.live else None)
    for source in ("x-robots-tag", "meta"):
        yield directive_check("page", source, signals, params, at=at, now=now)
    if "tdm" in params.honour:
        url = _absolute(row["page_url"])
        yield from _tdm_of("page", url, site, tdm_of_signals(signals), at)


def _tdm_of(
    subject: Subject, url: str | None, site: SitePolicy, said: Tdm, at: str | None
) -> Iterator[Check]:
    """Yield what TDMRep says, given what headers and elements `said` at some time."""
    file = site.tdm
    if said.reserved is None and file:
        if not file.reachable:
            yield Check(subject, "tdm", UNREACHABLE, file.at)
            return
        at = file.at
    filed = tdm_of_file(file.rules or (), url) if file and url else Tdm()
    yield from tdm_checks(subject, filed.superseded_by(said), at)


def _file_checks(
    subject: Subject, url: str, site: SitePolicy, params: ConsentParams, *, usual: str
) -> Iterator[Check]:
    product, *others = params.agents
    if file := site.robots_txt:
        against = None
        if file.rules and "robots_txt" in params.honour:
            against = None if file.rules.allows(url, product, others) else "robots_txt"
        if file.rules and "ai_train" in params.honour and against is None:
            against = None if file.rules.allows_training(product, others) else "ai_train"
        yield _file_check(subject, "robots_txt", file, against)
    if listed := site.ai_txt:
        against = None
        if listed.rules and not listed.rules.allows(url, product, others, usual=usual):
            against = "ai_txt"
        yield _file_check(subject, "ai_txt", listed, against)


def _file_check(subject: Subject, source: str, file: PolicyFile[Any], against: str | None) -> Check:
    if not file.reachable:
        return Check(subject, source, UNREACHABLE, file.at)
    if file.rules is None:
        return Check(subject, source, NONE, file.at)
    return Check(subject, source, forbids(against) if against else ALLOWS, file.at)


def _absolute(url: str | None) -> str | None:
    """Return a URL in the form in which it is fetched; None where there is none."""
    return resolve_url("", url)[0] if url else None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
