"""Measure text in the embedded fonts and break it into lines, for pages drawn without a browser."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import regex

from mella.builders.miniweb.subset_fonts import FONTS, SUBSETS

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

ELLIPSIS = "…"

# What a line is never broken inside: a grapheme cluster. Unicode lets a Thai vowel that is written
# before its consonant, or a vowel or sign written after it, stand alone; a Thai reader does not.
_CLUSTER = regex.compile(r"(?:(?=[\u0e40-\u0e44])\X)?\X(?:(?=[\u0e2f\u0e30\u0e32\u0e45\u0e46])\X)*")

# Where a line may end without a space. Thai: at the places where a syllable certainly ends, before
# a leading vowel and after a vowel or sign that closes one; where words end takes a dictionary.
# The other scripts that put no space between words: before any letter.
_STARTS = regex.compile(
    r"[\u0e40-\u0e44\p{Lao}\p{Khmer}\p{Myanmar}\p{Han}\p{Hiragana}\p{Katakana}]"
)
_ENDS = regex.compile(r"[\u0e2f\u0e30\u0e33\u0e46]$")


@dataclass(frozen=True)
class Typeface:
    """An embedded font.

    Attributes:
        family: The name by which CSS and SVG ask for it.
        path: Its file.
        advances: Width of each character that it has, in em.
        joined: Width of the letters that join the next one, where they do (Arabic), in em.
    """

    family: str
    path: Path
    advances: dict[str, float]
    joined: dict[str, float]


def load_typefaces() -> tuple[Typeface, ...]:
    """Read the embedded fonts, in the order in which they are tried for a character."""
    return tuple(load_typeface(subset.family, FONTS / subset.file) for subset in SUBSETS)


def load_typeface(family: str, path: Path) -> Typeface:
    """Read the widths of a font."""
    from fontTools.ttLib import TTFont

    with TTFont(path, lazy=True) as font:
        em = font["head"].unitsPerEm
        widths = font["hmtx"].metrics
        names = {chr(code): glyph for code, glyph in font.getBestCmap().items()}
        medial = _medial_forms(font)
        return Typeface(
            family,
            path,
            advances={c: widths[glyph][0] / em for c, glyph in names.items()},
            joined={c: widths[medial[g]][0] / em for c, g in names.items() if g in medial},
        )


def _medial_forms(font: "TTFont") -> dict[str, str]:
    """Return the glyph that stands for a letter between two others, by the letter's glyph."""
    if "GSUB" not in font:
        return {}
    table = font["GSUB"].table
    lookups = {
        number
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "medi"
        for number in record.Feature.LookupListIndex
    }
    forms: dict[str, str] = {}
    for number in sorted(lookups):
        for subtable in table.LookupList.Lookup[number].SubTable:
            forms.update(getattr(getattr(subtable, "ExtSubTable", subtable), "mapping", {}))
    return forms


def main_typeface(text: str, faces: Iterable[Typeface]) -> Typeface:
    """Return the font that has the most characters of `text`; the first of equals."""
    return max(faces, key=lambda face: sum(character in face.advances for character in text))


def face_of(character: str, faces: Iterable[Typeface]) -> Typeface | None:
    """Return the first font that has `character`, or None."""
    return next((face for face in faces if character in face.advances), None)


def measure(text: str, faces: Iterable[Typeface]) -> float:
    """Return the width of `text` in em, before kerning; a character that no font has counts 1 em.

    An Arabic letter that joins the next one is measured in its medial form.
    """
    faces = tuple(faces)
    width = 0.0
    for character, following in itertools.pairwise((*text, "")):
        face = face_of(character, faces)
        if face is None:
            width += 1.0
        elif character in face.joined and following.isalpha():
            width += face.joined[character]
        else:
            width += face.advances[character]
    return width


def clusters(text: str) -> list[str]:
    """Split `text` into the pieces that a line is never broken inside."""
    found: list[str] = _CLUSTER.findall(text)
    return found


def wrap(
    text: str, width: float, measured: Callable[[str], float], *, limit: int | None = None
) -> list[str]:
    """Break `text` into lines no wider than `width`.

    Lines break at white space, in scripts without spaces where a syllable ends, and elsewhere only
    in what is wider than a line. A cluster wider than a line stands alone on one.

    Args:
        text: Any text; runs of white space count as one space.
        width: Of a line, in the unit of `measured`.
        measured: Returns the width of a text.
        limit: The most lines; what is left over is cut, and the last line ends in an ellipsis.
    """
    lines = list(itertools.islice(_lines(text, width, measured), limit and limit + 1))
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[: limit - 1], _cut(lines[limit - 1], width, measured)]


def _lines(text: str, width: float, measured: Callable[[str], float]) -> Iterator[str]:
    line = ""
    for piece, spaced in _pieces(text, width, measured):
        longer = f"{line} {piece}" if spaced and line else line + piece
        if line and measured(longer) > width:
            yield line
            line = piece
        else:
            line = longer
    if line:
        yield line


def _pieces(
    text: str, width: float, measured: Callable[[str], float]
) -> Iterator[tuple[str, bool]]:
    """Yield what may not be broken, and whether a space stands before it."""
    for word in text.split():
        spaced = True
        for run in _runs(word):
            for piece in [run] if measured(run) <= width else clusters(run):
                yield piece, spaced
                spaced = False


def _runs(word: str) -> Iterator[str]:
    run = ""
    for cluster in clusters(word):
        if run and (_STARTS.match(cluster) or (_ENDS.search(run) and cluster[0].isalpha())):
            yield run
            run = ""
        run += cluster
    yield run


def _cut(line: str, width: float, measured: Callable[[str], float]) -> str:
    kept = clusters(line)
    while kept and measured("".join(kept) + ELLIPSIS) > width:
        kept.pop()
    return "".join(kept).rstrip() + ELLIPSIS
