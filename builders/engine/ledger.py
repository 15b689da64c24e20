"""Account for every row of a build: the funnel that sums to the whole, and the story of one row."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
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
"""Columns by which `find_rows` is asked for what a user names."""

UNKNOWN = "-"
"""The group of rows in a funnel by column, in which that column is not known (yet)."""


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


def funnel_by(stages: Sequence[Stage], column: str) -> list[dict[str, Level]]:
    """Return what became of every row, apart for each value of a column such as `lang`.

    Args:
        stages: Of a finished build.
        column: Of strings. Where it is null, or no step has written it yet, the value is "-".

    Returns:
        For each kind of row: the values, in order, and their level. All levels of one kind name
        the same rejects, in the order of `funnel`, and together they sum to it.

    Raises:
        FormatError: A step has not finished.
    """
    for stage in stages:
        stage.parts()  # an error where it has not finished
    return [_level_by(segment, column) for segment in segments(stages)]


def _level_by(segment: Sequence[Stage], column: str) -> dict[str, Level]:
    counts: dict[str, Counter[tuple[str | None, str | None]]] = {}
    for part in segment[0].parts():
        table = outcomes(segment, part.name, [column])
        if column not in table.column_names:
            table = table.append_column(column, pa.nulls(table.num_rows, pa.string()))
        ends = table.group_by([column, "step", REASON.name]).aggregate([([], "count_all")])
        for end in ends.to_pylist():
            value = UNKNOWN if end[column] is None else end[column]
            counts.setdefault(value, Counter())[end["step"], end[REASON.name]] += end["count_all"]
    order = {stage.name: number for number, stage in enumerate(segment)}
    total = sum(counts.values(), Counter())
    del total[None, None]
    names = sorted(total, key=lambda end: (order[str(end[0])], -total[end], str(end[1])))
    levels = {}
    for value in sorted(counts):
        of_value = counts[value]
        rejects = tuple(Reject(str(step), str(why), of_value[step, why]) for step, why in names)
        levels[value] = Level(segment[0].unit, of_value.total(), rejects, of_value[None, None])
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


Place = tuple[str, int]
"""Where a row lies: its part, and its number in the part."""


def begun_segments(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Return the segments of a build whose rows are all there, however far they have come."""
    begun = []
    for segment in segments(stages):
        if not segment[0].finished():
            break
        begun.append(segment)
    return begun


def find_rows(
    segment: Sequence[Stage], wanted: Mapping[str, Collection[str]]
) -> dict[Place, Story]:
    """Return the stories of the rows in which a column has one of the wanted values.

    Args:
        segment: One expanding stage, finished, and the annotating stages after it.
        wanted: Values by column; columns that are not there, or not of strings, match nothing.
    """
    found: dict[Place, Story] = {}
    for part in segment[0].parts():
        numbers = _matches(outcomes(segment, part.name, wanted.keys()), wanted)
        if not numbers:
            continue
        rows = outcomes(segment, part.name).take(pa.array(numbers)).to_pylist()
        for number, row in zip(numbers, rows, strict=True):
            found[part.name, number] = _story(segment[0].unit, row)
    return found


def _matches(table: pa.Table, wanted: Mapping[str, Collection[str]]) -> list[int]:
    numbers: set[int] = set()
    for name, values in wanted.items():
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            equal = pc.is_in(table[name], value_set=pa.array(sorted(values), pa.string()))
            numbers.update(_numbers(equal))
    return sorted(numbers)


def _numbers(mask: pa.ChunkedArray) -> Iterator[int]:
    return iter(pc.indices_nonzero(mask).to_pylist())


def _story(unit: str, row: dict[str, Any]) -> Story:
    step, reason = row.pop("step"), row.pop(REASON.name)
    return Story(unit, {k: v for k, v in row.items() if v is not None}, step, reason)
