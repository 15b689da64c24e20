"""Rules that tell a text about a picture from what else stands in an `alt`: each one a question.

Each rule takes a clean text (`mella.text.normalise`d, entities resolved) and answers True where it
is to be rejected. Rules look at whole texts: a sentence with the word "logo" is a sentence.
"""
# ruff: noqa: RUF001, RUF002  (Cyrillic letters and the signs of typography are just what is meant)

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

import regex

from mella.builders.culture.text.boilerplate import (
    BARGAINS,
    BOILERPLATE,
    COMPANIONS,
    CURRENCIES,
    DATE_WORDS,
    ORDERS,
)
from mella.builders.culture.text.mojibake import is_mojibake
from mella.builders.culture.text.personal_data import has_personal_data

_MARKUP = regex.compile(
    r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|<!--|\{\{|\}\}|\[/?(?:caption|img|url|gallery)\b[^\]]*\]"
    r"|\[\[|\$\{|<\?|%[sd]\b|function\s*\(|&[a-z]{2,8};|&#x?[0-9a-f]+;"
    r"|\b(?:href|src|width|height|style|class)\s*=\s*[\"'\d]",
    regex.IGNORECASE,
)
_MARKUP_SIGN = regex.compile(r"[<>{}\[$%&=(?]")
_URL_SIGN = regex.compile(r"[.:@]")
_URL = regex.compile(
    r"(?:[a-z][a-z0-9+.-]{1,15}://|www\.|data:[a-z]+/|mailto:)\S+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|(?<![\p{L}\d.-])(?:[\p{L}\d-]{1,63}\.)+(?:[a-z]{2,24}|рф|срб|укр|бел|ไทย|한국)"
    r"(?![\p{L}\p{M}\d-])(?:/\S*)?",
    regex.IGNORECASE,
)
_FILE = regex.compile(
    r"\.(?:jpe?g|jfif|png|gif|webp|svg|bmp|tiff?|avif|hei[cf]|ico|psd|pdf|mp4|mov|raw|cr2|nef)\b",
    regex.IGNORECASE,
)
_CAMERA = regex.compile(
    r"(?:img|image|dsc[nf]?|dscf|p|pict|picture|mvi|gopr|pxl|wp|sam|foto|photo|pic|scan|slide|"
    r"screenshot|kakaotalk|line_album|fb_img|untitled|без имени|фото|снимок|снимок экрана|"
    r"snímek obrazovky|képernyőkép|스크린샷|캡처|사진|ảnh|hình|รูป|ภาพ|صورة|слика)"
    r"(?=(?:\D*\d){3})(?:[\s_().\d-]|photo|wa|at|в|v|오전|오후|am|pm|copy|edited)*",
    regex.IGNORECASE,
)
_HASH = regex.compile(r"(?=.*\d)(?:[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_SLUG = regex.compile(r"\S*_\S*|(?=[\d-]*[a-z])[a-z0-9]+(?:-[a-z0-9]+){2,}")
_DIMENSIONS = regex.compile(
    r"\d+(?:[.,]\d+)?\s*(?:px|cm|mm|m|см|мм|м)?\s*[x×х*]\s*\d+(?:[.,]\d+)?"
    r"(?:\s*[x×х*]\s*\d+(?:[.,]\d+)?)?\s*(?:px|cm|mm|m|in|см|мм|м|пикс|пикселей|픽셀|พิกเซล|سم)?\.?",
    regex.IGNORECASE,
)
_MONEY = "|".join(regex.escape(word) for word in sorted(CURRENCIES, key=len, reverse=True))
_AMOUNT = r"\d[\d\s.,'’]*(?:[-–]\s*\d[\d\s.,]*)?"
_PRICE = regex.compile(
    rf"(?:[\p{{L}}]{{1,6}}\.?:?\s+)?(?:(?:{_MONEY})\.?\s*{_AMOUNT}|{_AMOUNT}\s*(?:{_MONEY}))"
    rf"\s*[.,/-]*(?:{_MONEY})?\.?",
    regex.IGNORECASE,
)
_DATE_WORD = "|".join(
    regex.escape(word)
    for word in sorted({w for ws in DATE_WORDS.values() for w in ws}, key=len, reverse=True)
)
# A number with a separator or a word of dates; "Apollo 11" and "1984" are left to other rules.
_DATE = regex.compile(
    rf"(?=.*\d)(?=.*(?:\p{{L}}|\d\s?[.:/-]\s?\d))"
    rf"(?:(?<!\p{{L}})(?:{_DATE_WORD})(?!\p{{L}})|[\d\s.,:/()–-]|(?<=\d)T(?=\d))+Z?",
    regex.IGNORECASE,
)
_LETTER = regex.compile(r"\p{L}")
_DIGIT = regex.compile(r"\d")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_NOT_WORDS = regex.compile(r"[^\p{L}\p{M}]+")
_DOMAIN = regex.compile(r"(?<!\S)(?:www\.)?[\p{L}\d-]+(?:\.[\p{L}\d-]+)*\.\p{L}{2,12}(?!\S)")
_UNSPACED = regex.compile(r"[\p{Hangul}\p{Thai}]")
_SEPARATORS = regex.compile(r"\s*[,;|،؛、·•/]\s*|\s+[-–—>»]\s+")
_LONGEST_COMPOUND = 40
_PHRASE_SIZES = range(6, 0, -1)
_HASHTAG = regex.compile(r"#[\p{L}\p{M}\p{N}_]+")
_SENTENCE_END = regex.compile(r"[.!?؟।…]$")
_RUN = regex.compile(r"(\S)\1{4,}")


def is_markup(text: str) -> bool:
    """HTML, templates, wiki or shortcode markup, or entities that are still there."""
    return _MARKUP_SIGN.search(text) is not None and _MARKUP.search(text) is not None


def is_url(text: str) -> bool:
    """A URL, a domain or an e-mail address, or several, and little else."""
    if not _URL_SIGN.search(text):
        return False
    rest = _URL.sub(" ", text)
    return rest != text and len(_LETTER.findall(rest)) * 4 < len(_LETTER.findall(text))


def is_file_name(text: str) -> bool:
    """The name of a file: with its ending, from a camera or a phone, a hash, or a slug."""
    if _DIGIT.search(text) and (_CAMERA.fullmatch(text) or _HASH.fullmatch(text.casefold())):
        return True
    ending = _FILE.search(text) if "." in text else None
    if ending and (" " not in text or not text[ending.end() :].strip(' )"”')):
        return True
    return " " not in text and _SLUG.fullmatch(text) is not None


def is_dimensions(text: str) -> bool:
    """Width and height: `300x250`, `50 × 70 cm`."""
    return _DIGIT.match(text) is not None and _DIMENSIONS.fullmatch(text) is not None


def is_price(text: str) -> bool:
    """A price and no more than a word before it: `od 1 290 Kč`."""
    return _DIGIT.search(text) is not None and _PRICE.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """A date or a time, in figures or with the name of the month."""
    return _DIGIT.search(text) is not None and _DATE.fullmatch(text) is not None


def has_no_letters(text: str) -> bool:
    """Figures, punctuation, emoji."""
    return _LETTER.search(text) is None


def is_boilerplate(text: str) -> bool:
    """What names the kind or the use of an image and not what it shows, whatever the number."""
    bare = _DOMAIN.sub(" ", text) if "." in text else text
    bare = _NOT_WORDS.sub(" ", bare).strip().casefold()
    if not bare:
        return False
    phrases, companions, compound = _boilerplate()
    words, at, named = bare.split(), 0, False
    while at < len(words):
        size = next((n for n in _PHRASE_SIZES if " ".join(words[at : at + n]) in phrases), 0)
        if size:
            named = True
        elif words[at] not in companions:
            # Many parts can be cut in very many ways.
            parts = compound.fullmatch(words[at]) if len(words[at]) <= _LONGEST_COMPOUND else None
            if parts is None:
                return False
            named = named or parts["name"] is not None
        at += max(size, 1)
    return named


def is_repeated(text: str) -> bool:
    """One word, one sign or one phrase over and over."""
    run = _RUN.search(text)
    if run and 2 * len(run[0]) >= len(text):
        return True
    words = _WORD.findall(text.casefold())
    if len(words) == len(set(words)):
        return False
    if (most := max(Counter(words).values())) >= 3 and 2 * most >= len(words):
        return True
    half = len(words) // 2
    return any(words == words[:n] * (len(words) // n) for n in range(2, half + 1))


def is_list(text: str) -> bool:
    """Key words for a search engine: many short items, or mostly hashtags."""
    tags = _HASHTAG.findall(text)
    if len(tags) >= 3 and 2 * sum(map(len, tags)) >= len(text.replace(" ", "")):
        return True
    items = [item for item in _SEPARATORS.split(text) if item]
    if len(items) < 4 or _SENTENCE_END.search(text):
        return False
    lengths = [len(item) for item in items]
    if max(lengths) > 30:
        return False
    return _have_much_in_common(items) or (len(items) >= 6 and sum(lengths) <= 15 * len(items))


def is_advert(text: str) -> bool:
    """A call to buy and the praise of a price: `купить диван недорого`."""
    text = text.casefold()
    words = set(_WORD.findall(text))
    # A Vietnamese "mua" (buy) calls only where the text begins with it.
    return (text.startswith("mua ") or _holds(text, words, ORDERS)) and _holds(
        text, words, BARGAINS
    )


RULES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("text:markup", is_markup),
    ("text:mojibake", is_mojibake),
    ("text:file_name", is_file_name),
    ("text:url", is_url),
    ("text:dimensions", is_dimensions),
    ("text:price", is_price),
    ("text:date", is_date),
    ("text:no_letters", has_no_letters),
    ("text:personal_data", has_personal_data),
    ("text:boilerplate", is_boilerplate),
    ("text:repeated", is_repeated),
    ("text:list", is_list),
    ("text:advert", is_advert),
)
"""Reasons and rules, in the order in which they are asked: the one that says most comes first."""


@cache
def _boilerplate() -> tuple[frozenset[str], frozenset[str], "regex.Pattern[str]"]:
    """Return phrases, the words that stand beside them, and what finds compounds of both.

    Korean and Thai write several such words as one: 회사로고, ไอคอนเฟซบุ๊ก.
    """
    phrases = frozenset(phrase for phrases in BOILERPLATE.values() for phrase in phrases)
    companions = frozenset(word for words in COMPANIONS.values() for word in words)
    compound = regex.compile(
        rf"(?:(?P<name>{_any(name for name in phrases if _UNSPACED.match(name))})"
        rf"|{_any(word for word in companions if _UNSPACED.match(word))})+"
    )
    return phrases, companions, compound


def _holds(text: str, words: set[str], terms: tuple[str, ...]) -> bool:
    """Whether a text in lower case holds one of the terms."""
    single, anywhere = _by_kind(terms)
    return not words.isdisjoint(single) or any(term in text for term in anywhere)


@cache
def _by_kind(terms: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the words among terms, and what is found anywhere: phrases, Thai and Korean words."""
    single = frozenset(term for term in terms if term.isalpha() and not _UNSPACED.match(term))
    return single, tuple(term for term in terms if term not in single)


def _any(words: Iterable[str]) -> str:
    return "|".join(regex.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))


def _have_much_in_common(items: list[str]) -> bool:
    """Whether a word is in most of the items, or all begin alike, as key words are varied.

    Not so where they are names: of four people in Vietnam, two or three may be called Nguyễn.
    """
    if all(word[0].isupper() for item in items[1:] for word in item.split()):
        return False
    first, last = min(items), max(items)  # what these share, all share
    if len(first) >= 4 and last.startswith(first[:4]):
        return True
    words = Counter(
        word for item in items for word in set(_WORD.findall(item.casefold())) if len(word) > 2
    )
    return max(words.values(), default=0) >= max(3, 0.6 * len(items))
