"""Choose some of the rows that each rule rejected, the same ones every time, with small images."""

import base64
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.engine.ledger import Place
from mella.builders.engine.parts import Stage, outcomes, segments
from mella.builders.engine.step import REASON

_IDENTITY = ("id", "page_url", "image_url", "url", "sha256", "key", "name")
_QUOTED = ("lang", "text", "alt", "image_url", "page_url", "url", *_IDENTITY)
_IMAGE = "image"
# Images that were rejected for these are not copied into a page that is made to be looked at.
_WITHHELD = ("safety", "hashes", "hosts"), ("cut:nsfw_score", "denied:", "safety:")

Segment = Sequence[Stage]
Ranked = tuple[bytes, str, int]
"""A row: the hash that decides whether it is chosen, its part, its number there."""


@dataclass(frozen=True)
class Example:
    """A rejected row.

    Attributes:
        lang: Its language, where it is known.
        text: The text, or the `alt` that it would have been taken from.
        image_url: Where the image is.
        page_url: Where the page is; or the address of the record.
        thumbnail: A small JPEG as a `data:` URL, where the image is stored and may be shown.
        withheld: Whether the image is not shown because of what it was rejected for.
    """

    lang: str | None
    text: str | None
    image_url: str | None
    page_url: str | None
    thumbnail: str | None
    withheld: bool


@dataclass(frozen=True)
class Rejected:
    """The rows that one step rejected for one reason, and some of them.

    Attributes:
        unit: What they are, in the plural.
        step: The step.
        reason: Why.
        rows: How many.
        examples: Some.
    """

    unit: str
    step: str
    reason: str
    rows: int
    examples: tuple[Example, ...]


def rejected_examples(stages: Sequence[Stage], *, count: int, side: int) -> list[Rejected]:
    """Return, for each step and reason, how many rows were rejected and a few of them.

    Rows are chosen by the hash of what identifies them: the choice does not depend on the parts,
    and grows and shrinks with the data without becoming another one.

    Args:
        stages: Of a finished build.
        count: Examples of each reason, at most.
        side: Longest side of a thumbnail in pixels.
    """
    return [one for segment in segments(stages) for one in _of_segment(segment, count, side)]


def _of_segment(segment: Segment, count: int, side: int) -> Iterator[Rejected]:
    rows: dict[tuple[str, str], int] = {}
    chosen: dict[tuple[str, str], list[Ranked]] = {}
    for part in segment[0].parts():
        table = outcomes(segment, part.name, _IDENTITY)
        ranked: dict[tuple[str, str], list[Ranked]] = {}
        for number, row in _rejected_rows(table):
            ranked.setdefault((row["step"], row[REASON.name]), []).append(
                (_rank(row), part.name, number)
            )
        for end, new in ranked.items():
            rows[end] = rows.get(end, 0) + len(new)
            chosen[end] = nsmallest(count, [*chosen.get(end, []), *new])
    order = {stage.name: number for number, stage in enumerate(segment)}
    places = [(part, number) for some in chosen.values() for _, part, number in some]
    quoted = _quote(segment, places)
    shown = [place for place in places if not _is_withheld(*_end(quoted[place]))]
    thumbnails = _thumbnails(segment, shown, side)
    for step, reason in sorted(rows, key=lambda end: (order[end[0]], -rows[end[0], end[1]], end)):
        examples = tuple(
            _example(quoted[part, number], thumbnails.get((part, number)))
            for _, part, number in chosen[step, reason]
        )
        yield Rejected(segment[0].unit, step, reason, rows[step, reason], examples)


def _rejected_rows(table: pa.Table) -> Iterator[tuple[int, dict[str, Any]]]:
    numbers = pc.indices_nonzero(table["step"].is_valid())
    yield from zip(numbers.to_pylist(), table.take(numbers).to_pylist(), strict=True)


def _rank(row: dict[str, Any]) -> bytes:
    identity = "\0".join(str(row.get(name) or "") for name in _IDENTITY)
    return hashlib.blake2b(identity.encode(), digest_size=8).digest()


def _end(row: dict[str, Any]) -> tuple[str, str]:
    return row["step"], row[REASON.name]


def _is_withheld(step: str, reason: str) -> bool:
    steps, reasons = _WITHHELD
    return step in steps or reason.startswith(reasons)


def _by_part(places: Sequence[Place]) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    for part, number in places:
        parts.setdefault(part, []).append(number)
    return parts


def _quote(segment: Segment, places: Sequence[Place]) -> dict[Place, dict[str, Any]]:
    quoted: dict[Place, dict[str, Any]] = {}
    for part, numbers in _by_part(places).items():
        rows = outcomes(segment, part, _QUOTED).take(pa.array(numbers)).to_pylist()
        quoted |= {(part, number): row for number, row in zip(numbers, rows, strict=True)}
    return quoted


def _thumbnails(segment: Segment, places: Sequence[Place], side: int) -> dict[Place, str]:
    made: dict[Place, str] = {}
    if not any(_IMAGE in stage.columns for stage in segment):
        return made
    for part, numbers in _by_part(places).items():
        images = outcomes(segment, part, [_IMAGE])
        if _IMAGE not in images.column_names:
            continue
        for number in numbers:
            data = images[_IMAGE][number].as_py()
            if data is not None and (url := thumbnail(data, side)) is not None:
                made[part, number] = url
    return made


def thumbnail(data: bytes, side: int) -> str | None:
    """Return a stored image, made small, as a `data:` URL; None where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
            small.thumbnail((side, side))
            # A new image: nothing of the file but its pixels goes on, no EXIF and no comment.
            clean = Image.frombytes("RGB", small.size, small.tobytes())
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    file = io.BytesIO()
    clean.save(file, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _example(row: dict[str, Any], small: str | None) -> Example:
    return Example(
        lang=row.get("lang"),
        text=row.get("text") or row.get("alt"),
        image_url=row.get("image_url"),
        page_url=row.get("page_url") or row.get("url") or row.get("name"),
        thumbnail=small,
        withheld=_is_withheld(*_end(row)),
    )
