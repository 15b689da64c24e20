"""Count stored scores into histograms, by language, with the lines at which they were cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.engine.ledger import UNKNOWN
from mella.builders.engine.parts import Stage, outcomes, segments

SCORES = (
    "language_score",
    "nsfw_score",
    "alignment_score",
    "quality_score",
    "category_score",
)
LINES = "cut_lines"
"""The column in which the cut says which lines a row met."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Histogram:
    """The scores of one language.

    Attributes:
        score: Name of the score.
        lang: The language, or "-".
        edges: Of the bins, one more than there are bins; equal for all languages.
        kept: Rows of each bin that no step rejected.
        rejected: Rows of each bin that some step rejected, at the score or elsewhere.
        least: Line below which the cut rejected, or None.
        most: Line above which it did.
    """

    score: str
    lang: str
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    rejected: tuple[int, ...]
    least: float | None
    most: float | None


def histograms(stages: Sequence[Stage], *, bins: int) -> list[Histogram]:
    """Return the histograms of all scores that a finished build has stored.

    Where there is a cut, the rows counted are those of its kind that have the score, else those
    of the first kind that has it.
    """
    every = segments(stages)
    cut = next((s for s in every if any(LINES in stage.columns for stage in s)), None)
    result = []
    for score in SCORES:
        having = [s for s in every if any(score in stage.columns for stage in s)]
        if having:
            segment = cut if cut is not None and cut in having else having[0]
            result += _of_score(segment, score, bins)
    return result


def _of_score(segment: Sequence[Stage], score: str, bins: int) -> list[Histogram]:
    low, high = 0.0, 1.0  # most scores are probabilities, and all are then on one scale
    for table in _tables(segment, score):
        ends = pc.min_max(table[score]).as_py()
        low, high = min(low, ends["min"]), max(high, ends["max"])
    edges = np.linspace(low, high, bins + 1)
    counts: dict[tuple[str, bool], Counts] = {}
    lines: dict[str, dict[str, Any]] = {}
    for table in _tables(segment, score):
        langs = np.array(table["lang"].to_pylist(), dtype=object)
        kept = table["step"].is_null().to_numpy()
        values = table[score].to_numpy()
        for lang in dict.fromkeys(langs.tolist()):
            for is_kept in (True, False):
                some = values[(langs == lang) & (kept == is_kept)]
                new = np.histogram(some, edges)[0]
                before = counts.get((lang, is_kept), np.zeros(bins, dtype=np.int64))
                counts[lang, is_kept] = before + new
        for lang, met in _lines(table, score):
            lines.setdefault(lang, met)
    return [
        Histogram(
            score,
            lang,
            tuple(edges.tolist()),
            tuple(counts[lang, True].tolist()),
            tuple(counts[lang, False].tolist()),
            lines.get(lang, {}).get("least"),
            lines.get(lang, {}).get("most"),
        )
        for lang in sorted({lang for lang, _ in counts})
    ]


def _tables(segment: Sequence[Stage], score: str) -> Iterator[pa.Table]:
    """Yield the rows of each part that have the score, with their language and end."""
    for part in segment[0].parts():
        table = outcomes(segment, part.name, ["lang", score, LINES])
        if score not in table.column_names:
            continue  # no row of this part came so far
        known = pc.is_finite(table[score].cast(pa.float64()))
        table = table.filter(pc.fill_null(known, fill_value=False))
        if not table.num_rows:
            continue
        if "lang" not in table.column_names:
            table = table.append_column("lang", pa.nulls(table.num_rows, pa.string()))
        langs = pc.fill_null(table["lang"], UNKNOWN)
        yield table.set_column(table.column_names.index("lang"), "lang", langs)


def _lines(table: pa.Table, score: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if LINES not in table.column_names:
        return
    met = table.filter(table[LINES].is_valid())
    langs = met["lang"].to_pylist()
    for lang in dict.fromkeys(langs):
        # All rows of a language met the same lines.
        for line in met[LINES][langs.index(lang)].as_py():
            if line["score"] == score:
                yield lang, line
