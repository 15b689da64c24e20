"""Rules that tell a text about a picture from what else stands in an `alt`: each one a question.

Each rule takes a clean text (`mella.text.normalise`d, entities resolved) and answers True where it
is to be rejected. Rules look at whole texts: a sentence with the word "logo" is a sentence.
"""
# ruff: noqa: RUF001, RUF002  (Cyrillic letters and the signs of typography are just what is meant)

from collections import Counter
from collections.abc import Callable
from functools import cache

import regex

from mella.builders.culture.boilerplate import BOILERPLATE, CURRENCIES, DATE_WORDS

_MARKUP = regex.compile(
    r"</?[a-z][a-z0-9]*(?:\s[^<>]*)?/?>|<!--|\{\{|\}\}|\[/?(?:caption|img|url|gallery)\b[^\]]*\]"
    r"|\[\[|\$\{|<\?|%[sd]\b|function\s*\(|&[a-z]{2,8};|&#x?[0-9a-f]+;"
    r"|\b(?:href|src|width|height|style|class)\s*=\s*[\"'\d]",
    regex.IGNORECASE,
)
_URL = regex.compile(
    r"(?:[a-z][a-z0-9+.-]{1,15}://|www\.|data:[a-z]+/|mailto:)\S+"
    r"|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    r"|(?<![\p{L}\d.-])(?:[\p{L}\d-]{1,63}\.)+(?:[a-z]{2,24}|рф|срб|укр|бел|ไทย|한국)"
    r"(?![\p{L}\p{M}\d-])(?:/\S*)?",
    regex.IGNORECASE,
)
_CONTACT = regex.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"  # an e-mail address
    r"|(?<!\d)\+\d(?:[\s().-]{0,2}\d){7,14}(?!\d)"  # telephone, with the country
    # without it; "06-07-1969" is a date
    r"|(?<!\d[\s.,/-]?)(?!0\d[\s/-]\d{1,2}[\s/-](?:19|20)\d\d(?!\d))"
    r"\(?0[1-9]\d{0,3}\)?[\s/-]\d{1,4}[\s.-]?\d{2,4}(?:[\s.-]?\d{2,4})?(?!\d)"
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
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_NOT_WORDS = regex.compile(r"[^\p{L}\p{M}]+")
_DOMAIN = regex.compile(r"(?<!\S)(?:www\.)?[\p{L}\d-]+(?:\.[\p{L}\d-]+)*\.\p{L}{2,12}(?!\S)")
_SEPARATORS = regex.compile(r"\s*[,;|،؛、·•/]\s*|\s+[-–—>»]\s+")
_HASHTAG = regex.compile(r"#[\p{L}\p{M}\p{N}_]+")
_SENTENCE_END = regex.compile(r"[.!?؟।…]$")
_RUN = regex.compile(r"(\S)\1{4,}")

# UTF-8 that was read as one of these: what came out is made of its lead and continuation bytes.
_SINGLE_BYTE = ("cp1252", "cp1250", "cp1251", "cp1256", "cp874")
_UTF8 = regex.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_NOT_ASCII = regex.compile(rb"[\x80-\xff]")
# Another code page that was read as Latin-1: no language strings four such letters together.
_LATIN1_RUN = regex.compile(r"[\xa1-\xff]*[\xc0-\xff][\xa1-\xff]{2,}[\xc0-\xff][\xa1-\xff]*")
_QUESTION_MARKS = regex.compile(r"\?{3,}")


def is_markup(text: str) -> bool:
    """HTML, templates, wiki or shortcode markup, or entities that are still there."""
    return _MARKUP.search(text) is not None


def is_mojibake(text: str) -> bool:
    """Text that was decoded with the wrong character set, here or long before."""
    if "\ufffd" in text or _lost_letters(text):
        return True
    run = _LATIN1_RUN.search(text)
    if run and len(set(run[0])) > 2:
        return True
    return any(_is_utf8_read_as(text, codec) for codec in _SINGLE_BYTE)


def is_url(text: str) -> bool:
    """A URL, a domain or an e-mail address, or several, and little else."""
    rest = _URL.sub(" ", text)
    return rest != text and len(_LETTER.findall(rest)) * 4 < len(_LETTER.findall(text))


def has_contact(text: str) -> bool:
    """An e-mail address or a telephone number: of a person, or of an advertisement."""
    return _CONTACT.search(text) is not None


def is_file_name(text: str) -> bool:
    """The name of a file: with its ending, from a camera or a phone, a hash, or a slug."""
    if _CAMERA.fullmatch(text) or _HASH.fullmatch(text.casefold()):
        return True
    ending = _FILE.search(text)
    if ending and (" " not in text or not text[ending.end() :].strip(' )"”')):
        return True
    return _SLUG.fullmatch(text) is not None


def is_dimensions(text: str) -> bool:
    """Width and height: `300x250`, `50 × 70 cm`."""
    return _DIMENSIONS.fullmatch(text) is not None


def is_price(text: str) -> bool:
    """A price and no more than a word before it: `od 1 290 Kč`."""
    return _PRICE.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """A date or a time, in figures or with the name of the month."""
    return _DATE.fullmatch(text) is not None


def has_no_letters(text: str) -> bool:
    """Figures, punctuation, emoji."""
    return _LETTER.search(text) is None


def is_boilerplate(text: str) -> bool:
    """What names the kind or the use of an image and not what it shows, whatever the number."""
    bare = _NOT_WORDS.sub(" ", _DOMAIN.sub(" ", text)).strip().casefold()
    if not bare:
        return False
    phrases, words = _boilerplate()
    return bare in phrases or all(word in words for word in bare.split())


def is_repeated(text: str) -> bool:
    """One word, one sign or one phrase over and over."""
    run = _RUN.search(text)
    if run and 2 * len(run[0]) >= len(text):
        return True
    words = _WORD.findall(text.casefold())
    if words and (most := max(Counter(words).values())) >= 3 and 2 * most >= len(words):
        return True
    half = len(words) // 2
    return any(words == words[:n] * (len(words) // n) for n in range(2, half + 1))


def is_list(text: str) -> bool:
    """Key words for a search engine: many short items, or mostly hashtags."""
    tags = _HASHTAG.findall(text)
    if len(tags) >= 3 and 2 * sum(map(len, tags)) >= len(text.replace(" ", "")):
        return True
    items = [item for item in _SEPARATORS.split(text) if item]
    if len(items) < 6 or _SENTENCE_END.search(text):
        return False
    lengths = [len(item) for item in items]
    return max(lengths) <= 30 and sum(lengths) <= 15 * len(items)


RULES: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("text:markup", is_markup),
    ("text:mojibake", is_mojibake),
    ("text:file_name", is_file_name),
    ("text:url", is_url),
    ("text:dimensions", is_dimensions),
    ("text:price", is_price),
    ("text:date", is_date),
    ("text:no_letters", has_no_letters),
    ("text:contact", has_contact),
    ("text:boilerplate", is_boilerplate),
    ("text:repeated", is_repeated),
    ("text:list", is_list),
)
"""Reasons and rules, in the order in which they are asked: the one that says most comes first."""


@cache
def _boilerplate() -> tuple[frozenset[str], frozenset[str]]:
    """Return the phrases, and the single words that are boilerplate in any combination."""
    phrases = frozenset(phrase for phrases in BOILERPLATE.values() for phrase in phrases)
    return phrases, frozenset(phrase for phrase in phrases if " " not in phrase)


def _lost_letters(text: str) -> bool:
    lost = sum(map(len, _QUESTION_MARKS.findall(text)))
    return lost > 0 and lost >= len(_LETTER.findall(text))


def _is_utf8_read_as(text: str, codec: str) -> bool:
    if not _fits(text, codec):
        return False
    raw = text.encode(codec, errors="replace")  # one byte for each character
    sequences = list(_UTF8.finditer(raw))
    covered = sum(len(sequence[0]) for sequence in sequences)
    if not sequences or covered < 0.8 * len(_NOT_ASCII.findall(raw)):
        return False
    # One alone may be chance (a capital and a closing quotation mark), but not inside a word.
    first = sequences[0].start()
    inside = first > 0 and text[first - 1].islower() and text[first].isupper()
    return len(sequences) >= 2 or inside


def _fits(text: str, codec: str) -> bool:
    """Whether all but a few characters are of the character set (a few are lost on the way)."""
    lost = text.encode(codec, errors="replace").count(b"?") - text.count("?")
    return lost * 5 <= len(text)
