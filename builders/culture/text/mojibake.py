"""Find texts that were decoded with the wrong character set, and repair them where that is certain.

Three faults are common on the web: UTF-8 that was read as an 8-bit code page (once or twice), an
8-bit code page that was read as Latin-1, and a Central European page that was read as a Western
one. A repair is certain where every byte fits and what comes out can be read; all else is left for
`is_mojibake` to reject.
"""

import unicodedata
from functools import cache

import regex

from mella.builders.culture.text.alphabets import ALPHABETS
from mella.text import scripts

# UTF-8 that was read as one of these: what came out is made of its lead and continuation bytes.
_READ_AS = ("cp1252", "cp1250", "cp1251", "cp1256", "cp874")
_UTF8 = regex.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_LEAD, _CONTINUATION = range(0xC2, 0xF5), range(0x80, 0xC0)
# Another code page that was read as Latin-1: no language strings four such letters together.
_LATIN1_RUN = regex.compile(r"[\xa1-\xff]*[\xc0-\xff][\xa1-\xff]{2,}[\xc0-\xff][\xa1-\xff]*")
_QUESTION_MARKS = regex.compile(r"\?{3,}")
_LETTER = regex.compile(r"\p{L}")

_THAI = regex.compile(r"\p{Thai}")
_THAI_WORD = regex.compile(r"(?:[เแโใไ]?[ก-ฮ][ฯ-ฺๅ-๎]*)+")
_THAI_LEADS = ("เธ", "เน")

# What each of the code pages that are read as Latin-1 spells with, and how its words look.
_CODE_PAGES = (
    ("cp1251", "Cyrl", regex.compile(r"\p{Lu}?\p{Ll}+|\p{Lu}+")),
    ("koi8-r", "Cyrl", regex.compile(r"\p{Lu}?\p{Ll}+|\p{Lu}+")),
    ("cp1256", "Arab", regex.compile(r"[^ةىئؤءـ\p{M}][^ةى]*[ةى]?\p{M}*")),
    ("tis-620", "Thai", _THAI_WORD),
    ("euc-kr", "Hang", regex.compile(r"[가-힣]+")),
)
_WORD = regex.compile(r"[\p{L}\p{M}]+")
# Letters of which a text has a share at least: most of it, where the code page is the right one.
_COMMON = {
    "Arab": (("ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىي", 1.0), ("اليمنور", 0.3)),
    "Cyrl": (("оеаинтсрвлкмдпу", 0.65), ("аеёиоуыэюя", 0.25)),
    "Thai": (("ะัาำิีึืุูเแโใไ็่้", 0.2), ("ะัาำิีึืุูเแโใไ็่้กขคงจชดตถทธนบปพมยรลวสหอ", 0.8)),
}
_FEWEST_LETTERS = 4

_CENTRAL_EUROPEAN = ("cp1250", "iso8859-2")
_NO_TEXT = ("Cn", "Co", "Cs")
_ROUNDS = 3


def is_mojibake(text: str) -> bool:
    """Text that was decoded with the wrong character set, here or long before."""
    if text.isascii():
        return "???" in text and _lost_letters(text)
    if "\ufffd" in text or _lost_letters(text):
        return True
    run = _LATIN1_RUN.search(text)
    if run and len(set(run[0])) > 2:
        return True
    return _pair(*_READ_AS).search(text) is not None and any(
        _is_utf8_read_as(text, codec) for codec in _READ_AS
    )


def repair(raw: str, language: str | None = None) -> str:
    """Return a text in the characters it was written in, where it is certain what they were.

    Args:
        raw: The text before it is normalised: bytes that became controls or a no-break space are
            needed.
        language: Tag of the page's language, such as "cs" or "hu-hu": tells whether `õ` is a
            letter or a broken `ő`. None: unknown.
    """
    text = raw
    for _ in range(_ROUNDS):
        if text.isascii():
            break
        better = _from_utf8(text) or _from_code_page(text)
        if better is None:
            break
        text = better
    return _from_central_european(text, language) or text


def _from_utf8(text: str) -> str | None:
    if not _pair(*_READ_AS).search(text):
        return None
    for codec in _READ_AS:
        if not _is_utf8_read_as(text, codec):
            continue
        try:
            better = b"".join(_byte(char, codec) for char in text).decode()
        except UnicodeError:
            continue
        if not any(unicodedata.category(char) in _NO_TEXT for char in better):
            return better
    return None


def _from_code_page(text: str) -> str | None:
    """Return what another code page makes of Latin-1; None if not just one makes sense."""
    run = _LATIN1_RUN.search(text)
    if not run or len(set(run[0])) <= 2:
        return None
    try:
        raw = b"".join(_byte(char, "cp1252") for char in text)
    except UnicodeEncodeError:
        return None
    found = {better for page in _CODE_PAGES if (better := _read(raw, *page)) is not None}
    return found.pop() if len(found) == 1 else None


def _read(raw: bytes, codec: str, script: str, word: "regex.Pattern[str]") -> str | None:
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return None
    return text if _can_be_read(text, script, word) else None


def _can_be_read(text: str, script: str, word: "regex.Pattern[str]") -> bool:
    """Whether what is not ASCII in a text is words of a script, and not just its letters."""
    counts = scripts(text)
    ascii_letters = sum(char.isascii() and char.isalpha() for char in text)
    if counts.pop("Latn", 0) != ascii_letters or counts.keys() != {script}:
        return False
    words = [one for one in _WORD.findall(text) if not one.isascii()]
    letters = "".join(words).casefold()
    foreign = sum(not char.isascii() for char in text)
    return (
        len(letters) >= max(_FEWEST_LETTERS, 0.7 * foreign)
        and all(word.fullmatch(one) for one in words)
        and all(
            sum(letter in common for letter in letters) >= least * len(letters)
            for common, least in _COMMON.get(script, ())
        )
    )


def _from_central_european(text: str, language: str | None) -> str | None:
    """Return the text of a Central European language that was read as Western European."""
    alphabet = ALPHABETS.get(((language or "").partition("-")[0].lower(), "Latn"))
    if text.isascii() or alphabet is None:
        return None
    try:
        raw = b"".join(_byte(char, "cp1252") for char in text)
    except UnicodeEncodeError:
        return None
    best, most = None, 1  # a single letter may be a foreign name: Camões on a Hungarian page
    for codec in _CENTRAL_EUROPEAN:
        better = raw.decode(codec, errors="replace")
        pairs = zip(text, better, strict=True)
        changed = [(old.lower(), new.lower()) for old, new in pairs if old != new]
        certain = all(old not in alphabet and new in alphabet for old, new in changed)
        if certain and len(changed) > most:
            best, most = better, len(changed)
    return best


def _lost_letters(text: str) -> bool:
    lost = sum(map(len, _QUESTION_MARKS.findall(text)))
    return lost > 0 and lost >= len(_LETTER.findall(text))


def _is_utf8_read_as(text: str, codec: str) -> bool:
    if not _pair(codec).search(text) or (codec == "cp874" and _is_thai(text)):
        return False
    raw = b"".join(_byte_or_mark(char, codec) for char in text)
    if (raw.count(b"?") - text.count("?")) * 5 > len(text):  # a few are lost on the way
        return False
    sequences = list(_UTF8.finditer(raw))
    # Dashes and quotation marks may be right among letters that are not.
    rest = set(range(len(text))).difference(*(range(*match.span()) for match in sequences))
    stray = sum(not text[at].isascii() and unicodedata.category(text[at])[0] in "LM" for at in rest)
    if 4 * stray > len(text) - len(rest):
        return False
    if not sequences:
        return False
    # One alone may be chance (a capital and a closing quotation mark), but not inside a word.
    first = sequences[0].start()
    inside = first > 0 and text[first - 1].islower() and text[first].isupper()
    return len(sequences) >= 2 or inside


def _is_thai(text: str) -> bool:
    """Whether what is Thai in a text is words, though its letters may also be bytes of UTF-8.

    Thai that was read as Thai has a lead byte at every third place: เธงเธฑเธ”.
    """
    if 5 * sum(text.count(lead) for lead in _THAI_LEADS) >= len(text):
        return False
    return all(_THAI_WORD.fullmatch(one) for one in _WORD.findall(text) if _THAI.search(one))


@cache
def _pair(*codecs: str) -> "regex.Pattern[str]":
    """Return what finds two characters that are the first bytes of UTF-8 in one of the codecs."""
    return regex.compile(
        "|".join(
            "".join(
                f"[{''.join(regex.escape(_shown(byte, codec)) for byte in some)}]"
                for some in (_LEAD, _CONTINUATION)
            )
            for codec in codecs
        )
    )


def _shown(byte: int, codec: str) -> str:
    try:
        return bytes([byte]).decode(codec)
    except UnicodeDecodeError:
        return chr(byte)


@cache
def _byte_or_mark(char: str, codec: str) -> bytes:
    try:
        return _byte(char, codec)
    except UnicodeEncodeError:
        return b"?"


@cache
def _byte(char: str, codec: str) -> bytes:
    """Return the byte of a character; a byte that a code page lacks stands for itself.

    So do browsers (WHATWG Encoding): byte 0x81 of windows-1252 becomes U+0081.
    """
    return char.encode("latin-1" if "\x80" <= char <= "\x9f" else codec)
