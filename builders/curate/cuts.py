"""Cut by stored scores: the one step that holds the thresholds, so that they are cheap to change.

Scores are made once, by steps that fetch and ask models. This step only compares: with other
thresholds it is repeated within seconds, and nothing before it is (`mella-build run --replay`).

    [cuts]
    require = ["alignment_score"]         # a row without this score is cut
    nsfw_score = { most = 0.4 }
    alignment_score = { quantile = 0.3 }  # the lowest 30 % of each language are cut

    [cuts.th]                             # for Thai, this goes before what stands above
    alignment_score = { least = 0.1, quantile = 0.2 }

A line may also be given in a language only. A row whose score is not known passes, unless it is
required.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella.builders.engine.step import REASON, Step
from mella.builders.recipe import Recipe, RecipeError
from mella.errors import MellaError
from mella.languages import Language

LINES = pa.field(
    "cut_lines",
    pa.list_(
        pa.struct(
            [
                pa.field("score", pa.string()),
                pa.field("least", pa.float64()),  # null: there is no such line
                pa.field("most", pa.float64()),
            ]
        )
    ),
)
"""The lines that a row met; of a quantile, the score that it came to in the row's language."""

WRITES = pa.schema([LINES, REASON])

# What is computed from the columns of an image.
_DERIVED = {"min_side": ("width", "height"), "aspect": ("width", "height")}

_ROUNDING = 1e-9  # 0.29 of 100 is 29, and a bit less in floats

Scores = npt.NDArray[np.float64]


class CutError(MellaError, ValueError):
    """Cuts by a score that no step writes."""


@dataclass(frozen=True)
class Limit:
    """What a score must be; None: whatever it is. A bound itself is kept.

    Attributes:
        least: Lower scores are cut. `-inf` lifts the line in a language.
        most: Higher scores are cut. `inf` lifts the line in a language.
        quantile: Share, 0 to less than 1, of the rows of each language that are cut: those with the
            lowest scores, of all rows with a score that reach this step. Rows whose score equals
            that of the first one kept are kept too.
    """

    least: float | None = None
    most: float | None = None
    quantile: float | None = None

    def __post_init__(self) -> None:
        if self.least is not None and self.most is not None and not self.least <= self.most:
            raise ValueError(f"least = {self.least} must not be more than most = {self.most}.")
        if self.least == math.inf or self.most == -math.inf:
            raise ValueError("least = inf or most = -inf would cut every row.")
        if self.quantile is not None and not 0 <= self.quantile < 1:
            raise ValueError(f"quantile = {self.quantile} must be 0 or more, and less than 1.")

    def over(self, general: "Limit") -> "Limit":
        """Return this limit, with the values of a general one where it has none itself."""
        own = {name: getattr(self, name) for name in ("least", "most", "quantile")}
        return Limit(**{k: getattr(general, k) if v is None else v for k, v in own.items()})

    def line(self, scores: Scores) -> tuple[float | None, float | None]:
        """Return the least and the most that it comes to among these scores, NaN left out."""
        least = self.least
        known = np.sort(scores[~np.isnan(scores)])
        if self.quantile and len(known):
            of_rank = float(known[math.floor(self.quantile * len(known) + _ROUNDING)])
            least = of_rank if least is None else max(least, of_rank)
        return _finite(least), _finite(self.most)


@dataclass(frozen=True)
class Limits:
    """The scores that can be cut by; a row is rejected for the first that it fails, in this order.

    Attributes:
        min_side: The shorter side of the image, in pixels.
        aspect: The longer side divided by the shorter.
        width: In pixels.
        height: In pixels.
        bytes: Of the stored image.
        language_score: Probability of the language.
        nsfw_score: Of the image, from 0 (harmless) to 1.
        faces: How many the image shows.
        text_score: How much the image looks like rendered text and nothing else, from 0 to 1.
        alignment_score: How well text and image fit.
        quality_score: Of a translation.
        category_score: How sure the category is.
    """

    min_side: Limit = Limit()
    aspect: Limit = Limit()
    width: Limit = Limit()
    height: Limit = Limit()
    bytes: Limit = Limit()
    language_score: Limit = Limit()
    nsfw_score: Limit = Limit()
    faces: Limit = Limit()
    text_score: Limit = Limit()
    alignment_score: Limit = Limit()
    quality_score: Limit = Limit()
    category_score: Limit = Limit()


SCORES = tuple(one.name for one in fields(Limits))


@dataclass(frozen=True)
class CutParams:
    """Where to cut.

    Attributes:
        limits: In every language.
        of_language: Limits that go before these, by language code.
        require: Scores without which a row is cut.
    """

    limits: Limits = field(default_factory=Limits)
    of_language: tuple[tuple[str, Limits], ...] = ()
    require: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.require if name not in SCORES]:
            raise ValueError(
                f"require names {', '.join(unknown)}: the scores are {', '.join(SCORES)}."
            )

    def limit(self, score: str, lang: str | None) -> Limit:
        """Return the limit of a score in a language."""
        general: Limit = getattr(self.limits, score)
        for code, limits in self.of_language:
            if code == lang:
                own: Limit = getattr(limits, score)
                return own.over(general)
        return general

    def scores(self) -> list[str]:
        """Return the scores that have a limit in some language, or are required."""
        everywhere = (self.limits, *(limits for _, limits in self.of_language))
        return [
            score
            for score in SCORES
            if score in self.require or any(getattr(one, score) != Limit() for one in everywhere)
        ]


def read_cuts(recipe: Recipe, languages: Sequence[Language]) -> CutParams:
    """Take the table [cuts] of a recipe: scores, and tables of the languages that are built.

    Raises:
        RecipeError: A score, a language or a value is unknown or wrong.
    """
    codes = [language.code for language in languages]
    known: list[tuple[str, Any, Any]] = [
        ("require", tuple[str, ...], field(default=())),
        *((score, Limit, field(default=Limit())) for score in SCORES),
        *((code, Limits, field(default=Limits())) for code in codes),
    ]
    # The languages are known only now; as fields, a misspelt one is an error like any other key.
    table: Any = recipe.table("cuts", make_dataclass("Cuts", known, frozen=True))
    of_language = [(code, getattr(table, code)) for code in codes]
    try:
        return CutParams(
            Limits(**{score: getattr(table, score) for score in SCORES}),
            tuple((code, limits) for code, limits in of_language if limits != Limits()),
            table.require,
        )
    except ValueError as error:
        raise RecipeError(f"{recipe.path}: [cuts]: {error}") from error


def cut_step(params: CutParams, columns: Iterable[str]) -> Step:
    """Return the step that cuts.

    Rows get `cut:SCORE`, or `cut:no_SCORE` where a score is required and not known. All rows of a
    language meet in one call, which reads nothing but their scores: so quantiles are exact, and do
    not depend on the parts.

    Args:
        params: Where to cut.
        columns: All that earlier steps write.

    Raises:
        CutError: A score that is to be cut by is not among them.
    """
    there, scores = set(columns), params.scores()
    needed = dict.fromkeys(name for score in scores for name in _DERIVED.get(score, (score,)))
    if missing := [name for name in needed if name not in there]:
        raise CutError(
            f"[cuts] asks for {', '.join(missing)}, which no step of this pipeline writes: take it "
            "out of the recipe, or turn on the step that makes it."
        )
    reads = [pa.field("lang", pa.string()), *(pa.field(name, pa.float64()) for name in needed)]
    return Step(
        name="cut",
        version=1,
        fn=_cut,
        reads=pa.schema(reads),
        writes=WRITES,
        params=params,
        by="lang",
    )


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and math.isfinite(bound) else None


def _cut(table: pa.Table, params: CutParams, _: Any) -> pa.Table:
    langs = np.array(table["lang"].to_pylist(), dtype=object)
    reasons = np.full(table.num_rows, None, dtype=object)
    lines = np.full(table.num_rows, 0, dtype=np.int64)
    codes = list(dict.fromkeys(langs.tolist()))
    scores = {score: _scores(table, score) for score in params.scores()}
    met: list[list[dict[str, Any]]] = []
    for number, lang in enumerate(codes):
        rows = np.flatnonzero(langs == lang)
        lines[rows] = number
        met.append([])
        for score, values in scores.items():
            own = values[rows]
            least, most = params.limit(score, lang).line(own)
            fails = np.zeros(len(rows), dtype=bool)
            if least is not None:
                fails |= own < least
            if most is not None:
                fails |= own > most
            if least is not None or most is not None:
                met[-1].append({"score": score, "least": least, "most": most})
            _set(reasons, rows[fails], f"cut:{score}")
            if score in params.require:
                _set(reasons, rows[np.isnan(own)], f"cut:no_{score}")
    of_row = pa.array(met, LINES.type).take(pa.array(lines))
    return pa.table([of_row, pa.array(reasons.tolist(), pa.string())], schema=WRITES)


def _scores(table: pa.Table, score: str) -> Scores:
    """Return a score of every row; NaN where it is not known, which no line cuts."""
    columns = [_floats(table, name) for name in _DERIVED.get(score, (score,))]
    if score == "min_side":
        return np.minimum(*columns)
    if score == "aspect":
        shorter = np.minimum(*columns)
        return np.maximum(*columns) / np.where(shorter > 0, shorter, np.nan)
    return columns[0]


def _floats(table: pa.Table, name: str) -> Scores:
    values = table[name].combine_chunks().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)


def _set(reasons: npt.NDArray[np.object_], rows: npt.NDArray[np.int64], reason: str) -> None:
    """Give rows a reason, but those that have one already."""
    free = rows[[reasons[row] is None for row in rows]]
    reasons[free] = reason
