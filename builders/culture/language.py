"""Decide the language of a text from the page's evidence and from the text itself.

The page knows best: its `lang` attribute, its country domain and the language of its text agree far
more often than a caption of four words can be identified. So where the page says that it is in a
wanted language, the text may only veto; where the page is silent, the text must be nearly certain.
Both are one formula: the odds of the page times the odds of the text, where a short text counts
for less. Scripts come first: what is not mostly in a script of the language is not in it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.culture.alphabets import foreign_share
from mella.builders.culture.identifiers import WELL_KNOWN, Ensemble
from mella.builders.culture.page_language import PageLanguages
from mella.builders.culture.serbian import TWINS, leaning
from mella.builders.engine.step import REASON, SideReader, Step
from mella.languages import Language
from mella.text import scripts

READS = pa.schema(
    [
        pa.field("text", pa.string()),
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
# No text says more than this for or against a language.
_CERTAIN = 0.999
# Where every second word has a letter that the language lacks, the odds fall to a quarter.
_LETTERS_COUNT = 2.0


@dataclass(frozen=True)
class LanguageParams:
    """What is wanted, and how much evidence it takes.

    The defaults were chosen on emoji names of two or three words (Unicode CLDR, 500 a language,
    `benchmarks/language_id.py`): on pages of their language 94 % or more of each are kept.

    Attributes:
        languages: The wanted languages.
        min_score: Least probability, from the page and the text together, that is kept.
        prior_page: Probability of a language before the text is read, where the page is in it.
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
    prior_page: float = 0.75
    prior_silent: float = 0.1
    prior_other: float = 0.03
    min_native: float = 0.5
    full_letters: int = 14
    page_text_chars: int = 2000
    min_page_letters: int = 60
    low_memory: bool = False


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
        version=1,
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
    text: str, page: str | None, shares: dict[str, float], params: LanguageParams
) -> Verdict:
    """Decide the language of one text.

    Args:
        text: The text, normalised.
        page: Code of the page's language; None: unknown.
        shares: What the identifiers say of the text, as `Ensemble.shares`.
        params: What is wanted.
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
    scored = [
        (_score(text, one, page, letters=letters, shares=shares, params=params), one.code)
        for one in native
    ]
    score, code = max(scored, default=(0.0, ""))
    if score >= params.min_score:
        return Verdict(code, script, score, None)
    of_page = [language for language in params.languages if language.code == page]
    if not native or any(language not in native for language in of_page):
        return Verdict(None, script, score, "language:script")
    return Verdict(None, script, score, _other(text, script, code, shares))


def words_in_script(text: str, script: str | None) -> str:
    """Return the words of a text that have a letter of the script: what is to be identified.

    Model names and brands in Latin letters say nothing of the language of a Russian caption.
    """
    return " ".join(word for word in text.split() if script in scripts(word)) if script else ""


def _annotate(table: pa.Table, params: LanguageParams, ensemble: Ensemble) -> pa.Table:
    # Cut in Arrow: a page's text is long, and stands beside each of its images.
    column = table.schema.get_field_index("page_text")
    head = pc.utf8_slice_codeunits(table["page_text"], 0, params.page_text_chars)
    rows = table.set_column(column, "page_text", head).to_pylist()
    pages = _page_languages(rows, params, ensemble)
    asked: list[str | None] = [_to_identify(row["text"] or "") for row in rows]
    shares = ensemble.shares_of_all([text for text in asked if text])
    verdicts = [
        decide(row["text"] or "", page, shares.get(text or "", {}), params)
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
) -> list[str | None]:
    """Return the language of each row's page; the text of a page is identified once."""
    evidence = PageLanguages(
        params.languages, ensemble, chars=params.page_text_chars, letters=params.min_page_letters
    )
    return [
        evidence.of(
            tag=row["page_lang"],
            domain=row["domain"],
            url=row["page_url"],
            text=row["page_text"],
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
    page: str | None,
    *,
    letters: Counter[str],
    shares: dict[str, float],
    params: LanguageParams,
) -> float:
    """Probability of a language: the odds of the page times the odds of the text."""
    if page is None:
        prior = params.prior_silent
    else:
        prior = params.prior_page if page == language.code else params.prior_other
    script = max(letters, key=letters.__getitem__)
    weight = min(1.0, sum(letters.values()) / params.full_letters)
    if script in _OF_ONE_LANGUAGE:
        share, weight = 1.0, 1.0
    else:
        share = _share(text, language.code, script, page, shares)
    share = min(max(share, 1 - _CERTAIN), _CERTAIN)
    log_odds = math.log(prior / (1 - prior)) + weight * math.log(share / (1 - share))
    # Letters prove as much in a short text as in a long one.
    own = 1 - foreign_share(text, language.code, script)
    log_odds += _LETTERS_COUNT * math.log(max(own, 1 - _CERTAIN))
    return round(1 / (1 + math.exp(-log_odds)), 4)


def _share(text: str, code: str, script: str, page: str | None, shares: dict[str, float]) -> float:
    """What the text says for a language, with the twins that only the page can tell from it."""
    twins = TWINS.get((code, script))
    if twins is None:
        return shares.get(code, 0.0)
    if page != code or leaning(text) not in {code, None}:
        return 0.0
    return math.fsum(shares.get(twin, 0.0) for twin in (code, *twins))


def _other(text: str, script: str, best: str, shares: dict[str, float]) -> str:
    """Name the language that the text is in instead, if the identifiers mostly agree on one."""
    twins = TWINS.get((best, script), ())
    code: str | None
    if math.fsum(shares.get(one, 0.0) for one in (best, *twins)) > 0.5:
        code = leaning(text) if twins else best
    else:
        code = next((one for one, share in shares.items() if one != best and share > 0.5), None)
    return "language:uncertain" if code in {None, best} else f"language:other:{code}"
