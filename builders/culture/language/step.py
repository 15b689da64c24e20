"""Decide the language of a text from the page's evidence and from the text itself.

The page knows best: its `lang` attribute, its country domain and the language of its text agree far
more often than a caption of four words can be identified. So where the page says that it is in a
wanted language, the text may only veto; where the page is silent, the text must be nearly certain.
Both are one formula: the odds of the page times the odds of the text, calibrated for each language
(see `calibration`). Scripts come first: what is not mostly in a script of the language is not in
it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.culture.language.calibration import Calibration, calibrations, evidence
from mella.builders.culture.language.identifiers import WELL_KNOWN, Ensemble
from mella.builders.culture.language.page_language import PageLanguage, PageLanguages
from mella.builders.culture.language.serbian import TWINS, leaning
from mella.builders.culture.text.alphabets import words_in_script
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, SideReader, Step
from mella.languages import Language
from mella.text import dominant_script, scripts

READS = pa.schema(
    [
        pa.field("text", pa.string()),
        pa.field("element_lang", pa.string()),
        pa.field("page_lang", pa.string()),
        pa.field("page_text", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("page_url", pa.string()),
    ]
)
WRITES = pa.schema(
    [
        pa.field("lang", pa.string()),
        pa.field("script", pa.string()),
        pa.field("language_score", pa.float64()),
        REASON,
    ]
)

# A syllable or a word in one sign: such a letter says as much as two of an alphabet.
_DENSE = frozenset({"Hang", "Hani"})
# Scripts of one language alone, of all that matter here: no model is asked.
_OF_ONE_LANGUAGE = frozenset({"Hang", "Thai"})
# No page makes up for what a text of several words says itself: that it is in another language.
# That is where the identifiers give the other one such a share, and three times that of the
# language. For English less will do: what a site leaves untranslated is in English.
_CLEAR, _CLEAR_ENGLISH = 0.5, 0.3
_TIMES = 3
# Whatever is said for a script of one language, and for a language that the page rules out.
_CERTAIN = math.log(999)


@dataclass(frozen=True)
class LanguageParams:
    """What is wanted, and how much evidence it takes.

    What the defaults keep and let pass is in docs/language.md, as `benchmarks/language_id.py`
    measures it.

    Attributes:
        languages: The wanted languages.
        min_score: Least probability, from the page and the text together, that is kept.
        prior_sure: Probability of a language before the text is read, where the page is in it, and
            what is written on the page says so, or the image's own `lang` attribute.
        prior_page: The same where the page only declares the language, or lies in its domain.
        prior_silent: The same where the page does not say, or contradicts itself.
        prior_other: The same where the page is in another language.
        min_native: Least share of the text's letters in scripts of the language; a Hangul syllable
            or a Chinese character counts as two letters.
        full_letters: Letters from which on a text has its full weight; below, in proportion.
        page_text_chars: Characters of the page's text that are read.
        min_page_letters: Letters below which the page's text says nothing.
        low_memory: See `Ensemble`.
    """

    languages: tuple[Language, ...]
    min_score: float = 0.5
    prior_sure: float = 0.9
    prior_page: float = 0.65
    prior_silent: float = 0.05
    prior_other: float = 0.02
    min_native: float = 0.5
    full_letters: int = 14
    page_text_chars: int = 2000
    min_page_letters: int = 60
    low_memory: bool = False

    def __post_init__(self) -> None:
        check_least(self, {"full_letters": 1, "page_text_chars": 0, "min_page_letters": 0})
        for name in ("min_score", "min_native"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)!r} must be from 0 to 1.")
        for name in ("prior_sure", "prior_page", "prior_silent", "prior_other"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} must be more than 0 and less than 1: a text "
                    "can always say otherwise."
                )


@dataclass(frozen=True)
class Verdict:
    """The language of one text, or why it has none of the wanted ones.

    Attributes:
        lang: Code of the likeliest wanted language whose script the text is in; None if rejected.
        script: ISO 15924 code of most letters.
        score: Probability of the likeliest wanted language, kept or not; 0 to 1, 4 digits.
        reason: None if kept, else `language:other:<code>`, `language:uncertain` or
            `language:script`.
    """

    lang: str | None
    script: str | None
    score: float
    reason: str | None


def language_step(params: LanguageParams) -> Step:
    """Make the step that decides the language of each text."""
    return Step(
        name="language",
        version=3,
        fn=_annotate,
        reads=READS,
        writes=WRITES,
        params=params,
        setup=load_identifiers,
    )


def load_identifiers(params: LanguageParams, _side: SideReader | None = None) -> Ensemble:
    """Load the models for the wanted languages and all that is taken for them."""
    wanted = {language.code for language in params.languages}
    near = {code for language in params.languages for code in language.confusable}
    return Ensemble(wanted | near | set(WELL_KNOWN), low_memory=params.low_memory)


def decide(
    text: str,
    page: str | None,
    shares: dict[str, float],
    params: LanguageParams,
    *,
    sure: bool = False,
) -> Verdict:
    """Decide the language of one text.

    Args:
        text: The text, normalised.
        page: Code of the page's language; None: unknown.
        shares: What the identifiers say of the text, as `Ensemble.shares`.
        params: What is wanted.
        sure: Whether more says so than a declaration or a domain: see `PageLanguage`.
    """
    letters = _weighed_letters(text)
    if not letters:
        return Verdict(None, None, 0.0, "language:uncertain")
    script = max(letters, key=letters.__getitem__)
    total = sum(letters.values())
    native = [
        language
        for language in params.languages
        if sum(letters.get(code, 0) for code in language.scripts) >= params.min_native * total
    ]
    believed = PageLanguage(page, sure=sure)
    scored = [
        (_score(text, one, believed, letters=letters, shares=shares, params=params), one.code)
        for one in native
    ]
    score, code = max(scored, default=(0.0, ""))
    if score >= params.min_score:
        if other := _contradicts(text, code, script, shares):
            return Verdict(None, script, score, f"language:other:{other}")
        return Verdict(code, script, score, None)
    of_page = [language for language in params.languages if language.code == page]
    if not native or any(language not in native for language in of_page):
        return Verdict(None, script, score, "language:script")
    return Verdict(None, script, score, _other(text, script, code, shares))


def _contradicts(text: str, code: str, script: str, shares: dict[str, float]) -> str | None:
    """Return the other language that a text of several words is clearly in, or None."""
    words = words_in_script(text, script).split()
    if sum(sum(map(str.isalpha, word)) > 1 for word in words) < 2:
        return None
    family = {code, *TWINS.get((code, script), ())}
    own = math.fsum(shares.get(one, 0.0) for one in family)
    others = {one: share for one, share in shares.items() if one not in family}
    best = max(others, key=others.__getitem__, default="")
    enough = _CLEAR_ENGLISH if best == "en" else _CLEAR
    clear = others.get(best, 0.0) >= max(enough, _TIMES * own)
    return best if clear else None


def _annotate(table: pa.Table, params: LanguageParams, ensemble: Ensemble) -> pa.Table:
    # Cut in Arrow: a page's text is long, and stands beside each of its images.
    column = table.schema.get_field_index("page_text")
    head = pc.utf8_slice_codeunits(table["page_text"], 0, params.page_text_chars)
    rows = table.set_column(column, "page_text", head).to_pylist()
    pages = _page_languages(rows, params, ensemble)
    asked = [_to_identify(row["text"] or "") for row in rows]
    shares = ensemble.shares_of_all([text for text in asked if text])
    verdicts = [
        decide(row["text"] or "", page.code, shares.get(text or "", {}), params, sure=page.sure)
        for row, page, text in zip(rows, pages, asked, strict=True)
    ]
    return pa.Table.from_pylist(
        [
            {
                "lang": verdict.lang,
                "script": verdict.script,
                "language_score": verdict.score,
                REASON.name: verdict.reason,
            }
            for verdict in verdicts
        ],
        schema=WRITES,
    )


def _page_languages(
    rows: Sequence[dict[str, Any]], params: LanguageParams, ensemble: Ensemble
) -> list[PageLanguage]:
    """Return the language of each row's page; the text of a page is identified once a script."""
    evidence = PageLanguages(
        params.languages, ensemble, chars=params.page_text_chars, letters=params.min_page_letters
    )
    return [
        evidence.of(
            element=row["element_lang"],
            tag=row["page_lang"],
            domain=row["domain"],
            url=row["page_url"],
            text=row["page_text"],
            script=dominant_script(row["text"] or ""),
        )
        for row in rows
    ]


def _to_identify(text: str) -> str | None:
    letters = _weighed_letters(text)
    script = max(letters, key=letters.__getitem__, default=None)
    return None if script in _OF_ONE_LANGUAGE else words_in_script(text, script)


def _weighed_letters(text: str) -> Counter[str]:
    return Counter(
        {script: count * (2 if script in _DENSE else 1) for script, count in scripts(text).items()}
    )


def _score(
    text: str,
    language: Language,
    page: PageLanguage,
    *,
    letters: Counter[str],
    shares: dict[str, float],
    params: LanguageParams,
) -> float:
    """Probability of a language: the odds of the page times the odds of the text."""
    if page.code is None:
        prior = params.prior_silent
    elif page.code != language.code:
        prior = params.prior_other
    else:
        prior = params.prior_sure if page.sure else params.prior_page
    script = max(letters, key=letters.__getitem__)
    if script in _OF_ONE_LANGUAGE:
        said = _CERTAIN
    elif _is_ruled_out(text, language.code, script, page):
        said = -_CERTAIN
    else:
        weight = min(1.0, sum(letters.values()) / params.full_letters)
        words = words_in_script(text, script)
        calibration = calibrations().get((language.code, script), Calibration())
        said = calibration.log_odds(*evidence(words, language.code, script, shares, weight=weight))
    log_odds = math.log(prior / (1 - prior)) + said
    return round(1 / (1 + math.exp(-log_odds)), 4)


def _is_ruled_out(text: str, code: str, script: str, page: PageLanguage) -> bool:
    """Whether the text is a twin's by its words, or the page does not tell it from the twins."""
    if (code, script) not in TWINS:
        return False
    return page.code != code or leaning(text) not in {code, None}


def _other(text: str, script: str, best: str, shares: dict[str, float]) -> str:
    """Name the language that the text is in instead, if the identifiers mostly agree on one."""
    twins = TWINS.get((best, script), ())
    code: str | None
    if math.fsum(shares.get(one, 0.0) for one in (best, *twins)) > 0.5:
        code = leaning(text) if twins else best
    else:
        code = next((one for one, share in shares.items() if one != best and share > 0.5), None)
    return "language:uncertain" if code in {None, best} else f"language:other:{code}"
