"""Tell the whole story of a row: from the record it came from to the sample that was made of it.

A build has levels: records, candidates, images, samples. The rows of one level are made of rows of
the level before, and share an identity with them, which is followed both ways.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mella.builders.engine.ledger import (
    IDENTIFIERS,
    Place,
    Story,
    begun_segments,
    find_rows,
)
from mella.builders.engine.parts import Stage

LINKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("url", "url"),),
    (("url", "page_url"), ("collected_at", "collected_at")),
    (("id", "id"),),
    (("file_sha256", "file_sha256"), ("lang", "lang"), ("text", "text")),
    (("key", "key"),),
)
"""What says that a row was made of another: pairs of its column and of that of the new row.

The first pair must be equal and known on both sides. The others must not differ where both sides
have them: a page may have been collected twice, and an image has captions in several languages.
"""

Segment = Sequence[Stage]
Found = dict[Place, Story]


@dataclass(frozen=True)
class Verdict:
    """What one step made of a row.

    Attributes:
        step: Its name.
        wrote: The columns that it wrote, other than image bytes, null ones left out. A value that a
            later step replaced is the later one.
        reason: Why the step rejected the row, or None.
    """

    step: str
    wrote: dict[str, Any]
    reason: str | None


@dataclass(frozen=True)
class Chapter:
    """The part of a story that tells of one row.

    Attributes:
        number: From 1, in the order of telling: a row comes after all that it was made of.
        came_from: Numbers of the chapters of the rows that it was made of.
        unit: What the row is, in the plural.
        step: The step that rejected it, or None.
        reason: Why, or None.
        verdicts: Of the steps that saw the row, in their order.
        row: All columns of the row.
    """

    number: int
    came_from: tuple[int, ...]
    unit: str
    step: str | None
    reason: str | None
    verdicts: tuple[Verdict, ...]
    row: dict[str, Any]


def trace(stages: Sequence[Stage], needle: str) -> list[Chapter]:
    """Return the whole story of the rows that `needle` names: what made them, what became of them.

    Other rows that came from the same page are not told of, unless `needle` names the page.

    Args:
        stages: Of a build, finished or not.
        needle: A URL of a page or an image, a key, a SHA-256 or the name of an input.
    """
    levels = begun_segments(stages)
    found = [find_rows(level, {name: {needle} for name in IDENTIFIERS}) for level in levels]
    for upper in range(len(levels) - 1):
        found[upper + 1] |= _next_rows(found[upper], levels[upper + 1], down=True)
    for lower in range(len(levels) - 1, 0, -1):
        found[lower - 1] |= _next_rows(found[lower], levels[lower - 1], down=False)
    return _tell(levels, found)


def _next_rows(found: Found, level: Segment, *, down: bool) -> Found:
    """Return the rows of a neighbouring level that were made of those found, or they of them."""
    wanted: dict[str, set[str]] = {}
    for (upper, lower), *_ in LINKS:
        have, want = (upper, lower) if down else (lower, upper)
        values = {story.row[have] for story in found.values() if have in story.row}
        if values:
            wanted.setdefault(want, set()).update(values)
    if not wanted:
        return {}
    near = find_rows(level, wanted)
    return {
        place: story
        for place, story in near.items()
        if any(
            _is_made_of(story.row, other.row) if down else _is_made_of(other.row, story.row)
            for other in found.values()
        )
    }


def _is_made_of(row: Mapping[str, Any], of: Mapping[str, Any]) -> bool:
    return any(
        of.get(first[0]) is not None
        and of.get(first[0]) == row.get(first[1])
        and all(of.get(a) == row.get(b) for a, b in more if a in of and b in row)
        for first, *more in LINKS
    )


def _tell(levels: Sequence[Segment], found: Sequence[Found]) -> list[Chapter]:
    """Put the rows in an order in which each follows what it came from, as closely as can be."""
    rows = [(depth, story) for depth, level in enumerate(found) for story in level.values()]
    parents = [
        [
            number
            for number, (above, other) in enumerate(rows)
            if above == depth - 1 and _is_made_of(story.row, other.row)
        ]
        for depth, story in rows
    ]
    chapters: dict[int, Chapter] = {}

    def tell(number: int) -> None:
        depth, story = rows[number]
        came_from = tuple(chapters[parent].number for parent in parents[number])
        verdicts = _verdicts(levels[depth], story)
        chapters[number] = Chapter(
            len(chapters) + 1, came_from, story.unit, story.step, story.reason, verdicts, story.row
        )
        for child, of in enumerate(parents):
            if number in of and all(parent in chapters for parent in of):
                tell(child)

    for number in range(len(rows)):
        if not parents[number]:
            tell(number)
    return list(chapters.values())


def _verdicts(level: Segment, story: Story) -> tuple[Verdict, ...]:
    verdicts = []
    for stage in level:
        wrote = {name: story.row[name] for name in stage.columns if name in story.row}
        rejects = stage.name == story.step
        if not (stage.finished() or wrote):
            break
        verdicts.append(Verdict(stage.name, wrote, story.reason if rejects else None))
        if rejects:
            break
    return tuple(verdicts)
