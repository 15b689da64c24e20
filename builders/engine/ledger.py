"""Account for every row of a build: the funnel that sums to the whole, and the story of one row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.engine.parts import Stage, outcomes, segments
from mella.builders.engine.step import REASON

IDENTIFIERS = (
    "key",
    "id",
    "url",
    "image_url",
    "page_url",
    "sha256",
    "original_sha256",
    "path",
    "name",
)
"""Columns by which `explain` finds a row."""


@dataclass(frozen=True)
class Reject:
    """How many rows one step rejected for one reason."""

    step: str
    reason: str
    rows: int


@dataclass(frozen=True)
class Level:
    """What became of the rows of one kind.

    Attributes:
        unit: What a row is: "records", "candidates".
        rows: All there were.
        rejects: In the order of the steps, the most frequent reason first.
        kept: Rows that no step rejected.
    """

    unit: str
    rows: int
    rejects: tuple[Reject, ...]
    kept: int


def funnel(stages: Sequence[Stage]) -> list[Level]:
    """Return what became of every row, a level for each kind of row.

    In each level the rejected and kept rows sum to all rows: each row has one end.

    Raises:
        FormatError: A step has not finished, or the sums differ (a damaged build).
    """
    levels = []
    for segment in segments(stages):
        rejects = []
        for stage in segment:
            counts: dict[str, int] = {}
            for part in stage.parts():
                for reason, rows in part.reasons.items():
                    counts[reason] = counts.get(reason, 0) + rows
            ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            rejects += [Reject(stage.name, reason, rows) for reason, rows in ordered]
        rows = sum(part.rows for part in segment[0].parts())
        kept = sum(part.kept for part in segment[-1].parts())
        levels.append(Level(segment[0].unit, rows, tuple(rejects), kept))
    return levels


@dataclass(frozen=True)
class Story:
    """What became of one row.

    Attributes:
        unit: What the row is, in the plural.
        row: Every column that a step wrote, other than image bytes, null ones left out.
        step: The step that rejected it, or None.
        reason: Why, or None.
    """

    unit: str
    row: dict[str, Any]
    step: str | None
    reason: str | None


def explain(stages: Sequence[Stage], needle: str) -> list[Story]:
    """Return the stories of the rows that `needle` identifies.

    Args:
        stages: Of a build, finished or not.
        needle: A URL of a page or an image, a key, a SHA-256 or the name of an input.
    """
    stories = []
    for segment in segments(stages):
        if not segment[0].finished():
            break
        for part in segment[0].parts():
            table = outcomes(segment, part.name)
            stories += [_story(segment[0].unit, row) for row in _matches(table, needle)]
    return stories


def _matches(table: pa.Table, needle: str) -> list[dict[str, Any]]:
    found = pa.array([False] * table.num_rows)
    for name in IDENTIFIERS:
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            equal = pc.fill_null(pc.equal(table[name], needle), fill_value=False)
            found = pc.or_(found, equal.combine_chunks() if table.num_rows else found)
    rows: list[dict[str, Any]] = table.filter(found).to_pylist()
    return rows


def _story(unit: str, row: dict[str, Any]) -> Story:
    step, reason = row.pop("step"), row.pop(REASON.name)
    return Story(unit, {k: v for k, v in row.items() if v is not None}, step, reason)
