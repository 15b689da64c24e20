"""Of several texts of one picture in one language keep the best, and remember the others."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import regex

from mella.builders.engine.params import check_least

OTHER_TEXTS = pa.field("other_texts", pa.list_(pa.string()))
"""Column of a kept row: the texts of the rows that were rejected for it, the best first."""

ORIGINS = (
    *("alt", "figcaption", "aria_label", "json_ld", "og_alt", "title"),
    *("heading", "paragraph"),
)
"""Values of `text_origin`: what is written for the image comes before what stands around it."""

_GRAPHEME = regex.compile(r"\X")
_LETTER = regex.compile(r"\p{L}")
# A syllable or a word in one sign.
_DENSE = regex.compile(r"\p{Script=Hangul}|\p{Script=Han}")


@dataclass(frozen=True)
class TextChoice:
    """How the best text is chosen.

    Attributes:
        enough: Length from which on more does not make a text better; see `length`.
        max_others: Texts that are remembered beside the best, at most.
    """

    enough: int = 80
    max_others: int = 100

    def __post_init__(self) -> None:
        check_least(self, {"enough": 0, "max_others": 0})


def length(text: str) -> int:
    """Return the graphemes with a letter; a Hangul syllable or a Chinese character counts twice."""
    letters = [grapheme for grapheme in _GRAPHEME.findall(text) if _LETTER.search(grapheme)]
    return len(letters) + sum(1 for grapheme in letters if _DENSE.match(grapheme))


def text_rank(text: str, origin: str | None, choice: TextChoice) -> tuple[int, int]:
    """Return what sorts texts, the best first: the longer, up to `enough`; then by its origin."""
    place = ORIGINS.index(origin) if origin in ORIGINS else len(ORIGINS)
    return -min(length(text), choice.enough), place


def keep_best(
    groups: Sequence[Hashable],
    ranks: Sequence[Any],
    texts: Sequence[str],
    others: Sequence[Sequence[str] | None],
    choice: TextChoice,
) -> tuple[list[bool], list[list[str]]]:
    """Keep the row of each group that ranks first.

    Args:
        groups: Of each row: rows with equal values are one group.
        ranks: Of each row; no two of a group are equal, so that their order does not matter.
        texts: Of each row.
        others: Texts that were rejected for a row before; they stand behind its own.
        choice: How many other texts are remembered.

    Returns:
        Of each row whether it is kept, and its other texts: each once, without the kept one; none
        for a row that is not kept.
    """
    of_group: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        of_group.setdefault(group, []).append(number)
    kept = [False] * len(groups)
    remembered: list[list[str]] = [[] for _ in groups]
    for numbers in of_group.values():
        numbers.sort(key=ranks.__getitem__)
        best = numbers[0]
        kept[best] = True
        found = [texts[number] for number in numbers]
        found += [text for number in numbers for text in others[number] or ()]
        different = dict.fromkeys(text for text in found if text != texts[best])
        remembered[best] = list(different)[: choice.max_others]
    return kept, remembered
