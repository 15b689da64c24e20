"""The languages: one entry each, complete; adding a ninth language is adding one entry."""

from collections.abc import Iterable
from dataclasses import dataclass

from mella.errors import unknown_name


@dataclass(frozen=True)
class Language:
    """What mella knows of a language.

    Attributes:
        code: ISO 639-1, the name used everywhere in mella.
        name: In English.
        native_name: In the language.
        scripts: ISO 15924 codes, the preferred one first.
        rtl: Whether it is written from right to left.
        domains: Country-code top-level domains, ASCII and internationalised (punycode), whose
            pages are mostly in this language.
        crawl_code: ISO 639-3, as in the Common Crawl columnar index (`content_languages`).
        nllb_codes: FLORES-200 code for each script, in the order of `scripts`.
        madlad_code: Target token of MADLAD-400, without `<2` and `>`.
        confusable: ISO 639-1 codes of languages that identification mistakes for this one.
        segmenter: How words are found: "regex", "kiwi", "newmm" or "syllable".
        stemmer: Snowball algorithm, or None where there is none.
        culture_prompts: Questions, in the language, that a native alt-text answers.
        linguistics_prompts: Requests, in the language, that a thick description answers.
    """

    code: str
    name: str
    native_name: str
    scripts: tuple[str, ...]
    rtl: bool
    domains: tuple[str, ...]
    crawl_code: str
    nllb_codes: tuple[str, ...]
    madlad_code: str
    confusable: tuple[str, ...]
    segmenter: str
    stemmer: str | None
    culture_prompts: tuple[str, ...]
    linguistics_prompts: tuple[str, ...]


_BUILT_IN: tuple[Language, ...] = ()

_languages = {language.code: language for language in _BUILT_IN}


def languages() -> dict[str, Language]:
    """Return every known language by its code, in alphabetical order."""
    return dict(sorted(_languages.items()))


def get_language(code: str) -> Language:
    """Return the entry of a language.

    Raises:
        UnknownNameError: No such language; the message lists the known ones.
    """
    if code not in _languages:
        raise unknown_name("language", code, _languages)
    return _languages[code]


def register_language(language: Language) -> None:
    """Add a language, or replace the entry with the same code."""
    _languages[language.code] = language


def resolve_languages(lang: str | Iterable[str]) -> tuple[Language, ...]:
    """Return the entries for a code, several codes, or "all", without repeats, in order.

    Raises:
        UnknownNameError: A code is unknown, or none was given.
    """
    if lang == "all":
        return tuple(languages().values())
    codes = [lang] if isinstance(lang, str) else list(lang)
    if not codes:
        raise unknown_name("language", "(none)", _languages)
    return tuple(get_language(code) for code in dict.fromkeys(codes))
