"""Check captions and translations by their text alone."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import regex

from mella.builders.culture.language.identifiers import Ensemble
from mella.builders.culture.language.step import (
    LanguageParams,
    Verdict,
    decide,
    load_identifiers,
)
from mella.builders.culture.text.alphabets import words_in_script
from mella.builders.culture.text.rules import is_repeated
from mella.builders.engine.step import REASON, SideReader, Step
from mella.languages import Language
from mella.text import dominant_script, normalise

READS = pa.schema(
    [
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("text_en", pa.string()),
    ]
)
WRITES = pa.schema(
    [
        pa.field("text", pa.string()),  # normalised
        pa.field("text_en", pa.string()),
        pa.field("script", pa.string()),
        pa.field("language_score", pa.float64()),
        REASON,
    ]
)

_LETTERS = regex.compile(r"\P{L}+")
_GRAPHEME = regex.compile(r"\X")
# Runs of so many letters hardly ever come twice in honest prose of any script.
_RUN = 16


@dataclass(frozen=True)
class ChecksParams:
    """What a good caption is.

    Attributes:
        languages: The wanted languages.
        min_graphemes: Least length of a translation: a thick caption is at least a sentence.
        max_graphemes: Greatest length.
        max_copied: Greatest share of the English caption's words that stand in the translation:
            names do, sentences do not.
        max_looped: Greatest share of the runs of 16 letters that stood in the text before.
        min_score: Least probability of the language.
    """

    languages: tuple[Language, ...]
    min_graphemes: int = 20
    max_graphemes: int = 5000
    max_copied: float = 0.5
    max_looped: float = 0.25
    min_score: float = 0.5


def checks_step(params: ChecksParams) -> Step:
    """Return the step that rejects captions which are not good descriptions in their language.

    Reasons: `caption:empty`, `caption:too_short`, `caption:too_long`, `caption:loop`,
    `caption:untranslated`, and those of the language step behind `caption:`.
    """
    return Step(
        name="checks",
        version=2,
        fn=_check_all,
        reads=READS,
        writes=WRITES,
        params=params,
        setup=_setup,
    )


def copied(text: str, text_en: str) -> float:
    """Return the share of the English words that stand in the translation, 0 to 1."""
    words = {word for word in _LETTERS.split(text_en.casefold()) if len(word) > 2}
    return len(words & {*_LETTERS.split(text.casefold())}) / len(words) if words else 0.0


def looped(text: str) -> float:
    """Return the share of runs of 16 letters that stood in the text before, 0 to 1."""
    letters = _LETTERS.sub("", text)
    runs = [letters[start : start + _RUN] for start in range(len(letters) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _setup(params: ChecksParams, _: SideReader | None) -> Ensemble:
    return load_identifiers(LanguageParams(params.languages))


def _check_all(table: pa.Table, params: ChecksParams, ensemble: Ensemble) -> pa.Table:
    languages = {language.code: language for language in params.languages}
    rows = []
    for row in table.to_pylist():
        text, text_en = normalise(row["text"]), normalise(row["text_en"] or "") or None
        reason = _fault(text, text_en or "", params)
        checked: dict[str, Any] = {
            "text": text,
            "text_en": text_en,
            "script": dominant_script(text),
        }
        if reason is None:
            verdict = _language(text, languages[row["lang"]], params.min_score, ensemble)
            checked["language_score"], reason = verdict.score, verdict.reason
        rows.append({**checked, "reason": f"caption:{reason}" if reason else None})
    return pa.Table.from_pylist(rows, schema=WRITES)


def _fault(text: str, text_en: str, params: ChecksParams) -> str | None:
    length = len(_GRAPHEME.findall(text))
    faults = {
        "empty": not text,
        "loop": is_repeated(text) or looped(text) > params.max_looped,
        "untranslated": copied(text, text_en) > params.max_copied,
        "too_short": length < params.min_graphemes,
        "too_long": length > params.max_graphemes,
    }
    return next((name for name, found in faults.items() if found), None)


def _language(text: str, language: Language, min_score: float, ensemble: Ensemble) -> Verdict:
    """Judge whether a text is in the language it is said to be in, as if a page had said so."""
    only = LanguageParams((language,), min_score=min_score)
    shares = ensemble.shares(words_in_script(text, dominant_script(text)))
    return decide(text, language.code, shares, only)
