"""Character sets of web pages: find the one that is true, not just the one that is declared.

The order is: byte order mark, valid UTF-8, what is declared (HTTP, then `<meta>`), the habit of the
page's language, statistics. Valid UTF-8 goes before the declarations because text in another
encoding is hardly ever valid UTF-8, while UTF-8 reads without a fault in many single-byte ones.
"""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What browsers do beyond the names: supersets are used for their subsets (WHATWG Encoding).
_CODECS = {
    "euc_kr": "cp949",
    "iso8859-11": "cp874",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "ascii": "cp1252",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "shift_jis": "cp932",
    "big5": "big5hkscs",
}
# Names in use that the standard does not list.
_NAMES = {
    "cp949": "cp949", "cp-949": "cp949", "ms949": "cp949", "uhc": "cp949", "cp874": "cp874",
    "windows874": "cp874", "tis620": "cp874", "win-1251": "cp1251", "windows1251": "cp1251",
    "win1251": "cp1251", "cp-1251": "cp1251", "windows1250": "cp1250", "win-1250": "cp1250",
    "windows1256": "cp1256", "windows1258": "cp1258", "utf": "utf-8", "utf_8": "utf-8",
}  # fmt: skip
# The single encoding that pages in a language used before UTF-8, as in the locales of browsers.
_HABITS = {
    "ar": "cp1256", "cs": "cp1250", "hu": "cp1250", "ko": "cp949",
    "ru": "cp1251", "sr": "cp1251", "th": "cp874", "vi": "cp1258",
}  # fmt: skip
_META = re.compile(
    rb"<(?:meta\b[^>]{0,400}?\bcharset|\?xml\b[^>]{0,200}?\bencoding)\s*=\s*[\"']?\s*([\w:.+-]{2,40})",
    re.IGNORECASE,
)
_LANG = re.compile(rb"<html\b[^>]{0,400}?\blang\s*=\s*[\"']?\s*([a-z]{2})\b", re.IGNORECASE)
_FAULTS = re.compile("[\ufffd\x80-\x9f]")
_NON_ASCII = re.compile("[^\x00-\x7f]")
_HANGUL = re.compile("[\uac00-\ud7a3]")
_TOLERATED = 0.02  # of the characters beyond ASCII: a broken byte here and there
_PRESCAN = 1024
_SAMPLE = 64 << 10


def decode_page(body: bytes, declared: str | None = None) -> tuple[str, str]:
    """Decode a page.

    Args:
        body: Its bytes; an incomplete character at the end is dropped.
        declared: The charset of its HTTP header.

    Returns:
        The text, and the Python name of the encoding that it was read with. Bytes that do not fit
        become U+FFFD: decoding never fails.
    """
    for bom, encoding in _BOMS:
        if body.startswith(bom):
            return _decode(body[len(bom) :], encoding), encoding
    encoding = _choose(body, declared)
    return _decode(body, encoding), encoding


def to_utf8(body: bytes, declared: str | None = None) -> bytes:
    """Return a page in UTF-8, without byte order mark; see `decode_page`."""
    if b"\0" not in body[:_SAMPLE] and not _declares_utf16(declared):
        try:
            _, read = codecs.utf_8_decode(body, "strict", False)  # noqa: FBT003 - it has no name
        except UnicodeDecodeError:
            pass
        else:
            return body[:read].removeprefix(codecs.BOM_UTF8)
    return decode_page(body, declared)[0].encode("utf-8", "replace")


def codec_of(label: str) -> str | None:
    """Return the Python codec that browsers would use for a charset label, or None."""
    label = label.strip().lower()
    name = _NAMES.get(label) or map_encoding_to_html5(label, fallback_utf8=False)
    return _CODECS.get(name, name) if name else None


def _choose(body: bytes, declared: str | None) -> str:
    utf16 = _declares_utf16(declared)
    if b"\0" in body[:_SAMPLE]:
        wide = _utf16(body)
        if wide:
            return wide
    elif not utf16 or not _utf16(body):
        try:
            codecs.getincrementaldecoder("utf-8")().decode(body)
        except UnicodeDecodeError:
            pass
        else:
            return "utf-8"
    sample = body[:_SAMPLE] if len(body) <= _SAMPLE else _densest(body)
    habit, found = _habit(body), _detect(sample)
    candidates = [*_declared(body, declared), *_guesses(habit, found)]
    if habit == found and habit is not None:
        candidates.insert(0, habit)  # two witnesses against the declaration
    faults = {name: _fault_share(sample, name) for name in candidates}
    for name in candidates:
        if faults[name] <= _TOLERATED:
            return name
    return min(candidates, key=lambda name: faults[name])


def _declares_utf16(declared: str | None) -> bool:
    return declared is not None and (codec_of(declared) or "").startswith("utf-16")


def _declared(body: bytes, http: str | None) -> list[str]:
    meta = _META.search(body[:_PRESCAN])
    labels = [http or "", meta[1].decode("ascii", "replace") if meta else ""]
    names = [codec_of(label) for label in labels if label]
    # A server's default of Latin-1 says nothing; a UTF-16 page would not have come this far.
    return [name for name in names if name and name != "cp1252" and not name.startswith("utf-16")]


def _habit(body: bytes) -> str | None:
    lang = _LANG.search(body[:_PRESCAN])
    return _HABITS.get(lang[1].decode().lower()) if lang else None


def _detect(sample: bytes) -> str | None:
    found = codec_of(detect_encoding(sample) or "")
    # The detector does not know Korean, and then says UTF-8.
    return "cp949" if found in (None, "utf-8") and _is_korean(sample) else found


def _guesses(habit: str | None, found: str | None) -> list[str]:
    """Return the encodings that an undeclared page may have, the likeliest first."""
    # Western Latin is what the statistics say when they know no better.
    guesses = [habit, found] if found in ("cp1252", "utf-8") else [found, habit]
    return [name for name in guesses if name] + ["cp1252", "utf-8"]


def _utf16(body: bytes) -> str | None:
    """Return the byte order of UTF-16, which markup shows: every tag begins with `<` and a NUL."""
    start = body[:_SAMPLE]
    if max(start.count(b"<\0"), start.count(b"\0<")) * 2 <= start.count(b"<"):
        return None
    return "utf-16-le" if start[1::2].count(b"\0") >= start[::2].count(b"\0") else "utf-16-be"


def _is_korean(sample: bytes) -> bool:
    text = _decode(sample, "cp949")
    beyond = len(_NON_ASCII.findall(text))
    return beyond > 0 and len(_HANGUL.findall(text)) > beyond * 0.8


def _fault_share(sample: bytes, encoding: str) -> float:
    text = _decode(sample, encoding)
    beyond = len(_NON_ASCII.findall(text))
    return len(_FAULTS.findall(text)) / beyond if beyond else 0.0


def _densest(body: bytes) -> bytes:
    """Return the stretch of a long page around its first byte beyond ASCII."""
    first = re.search(rb"[\x80-\xff]", body)
    start = first.start() if first else 0
    return body[start : start + _SAMPLE]


def _decode(body: bytes, encoding: str) -> str:
    # Without a final call, the incomplete character that a cut page ends with is left out.
    return codecs.getincrementaldecoder(encoding)("replace").decode(body)
