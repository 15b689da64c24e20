"""Decide whether an image may be used, by what came with it; this is the last word on consent.

Reasons are `consent:image_` and what forbids: `consent:image_noai`, `consent:image_tdm`.
"""

from typing import Any

import pyarrow as pa

from mella.builders.culture.consent.params import ConsentParams
from mella.builders.culture.consent.record import (
    ALLOWS,
    Check,
    format_consent,
    parse_consent,
    verdict,
)
from mella.builders.culture.consent.step import directive_check, tdm_checks
from mella.builders.culture.consent.tdm import tdm_of_signals
from mella.builders.culture.signals import SIGNALS
from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [
        pa.field("image_signals", SIGNALS),
        pa.field("page_consent", pa.string()),
        pa.field("collected_at", pa.string()),
        pa.field("fetched_at", pa.string()),  # null where an archive held the image
    ]
)
WRITES = pa.schema([pa.field("consent", pa.string()), REASON])

Row = dict[str, Any]


def image_consent_step(params: ConsentParams) -> Step:
    """Return the step that decides by what came with the image.

    Args:
        params: The same as those of the step "consent".
    """
    return Step(
        name="image_consent",
        version=1,
        fn=_judge,
        reads=READS,
        writes=WRITES,
        params=params,
    )


def _judge(table: pa.Table, params: ConsentParams, _: Any) -> pa.Table:
    made = []
    for row in table.to_pylist():
        checks = _checks(row, params)
        against = verdict(checks)
        reason = f"consent:{against}" if against else None
        made.append({"consent": format_consent(checks), "reason": reason})
    return pa.Table.from_pylist(made, schema=WRITES)


def _checks(row: Row, params: ConsentParams) -> tuple[Check, ...]:
    before = parse_consent(row["page_consent"])
    signals, fetched_at = row["image_signals"] or [], row["fetched_at"]
    # When the archive got it is not known; it holds page and image, about as old as each other.
    at = fetched_at or row["collected_at"]
    now = params.judged_at(at, *(check.at for check in before))
    checks = [directive_check("image", "x-robots-tag", signals, params, at=at, now=now)]
    said = tdm_of_signals(signals)
    if "tdm" in params.honour and (said.reserved is not None or not _asked(before, "tdm")):
        # The header goes before the file.
        before = tuple(c for c in before if (c.subject, c.source) != ("image", "tdm"))
        checks += tdm_checks("image", said, at)
    if fetched_at and params.fetch_params.respect_robots and not _asked(before, "robots_txt"):
        checks.append(Check("image", "robots_txt", ALLOWS, fetched_at))  # else it had not come
    return (*before, *checks)


def _asked(checks: tuple[Check, ...], source: str) -> bool:
    return any((check.subject, check.source) == ("image", source) for check in checks)
