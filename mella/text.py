"""What is common to texts of all languages: their normal form and the scripts they are written in.

Only the standard library is used, so that the light core of mella can import it.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from functools import lru_cache

UNKNOWN_SCRIPT = "Zzzz"
"""ISO 15924 code under which the letters of all other scripts are counted."""

# What a reader never sees, and what only makes equal texts differ: controls that are not white
# space, soft hyphen, bidi marks and embeddings, word joiner and the invisible operators, byte order
# mark, interlinear annotation; and lone surrogates, which UTF-8 cannot store.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff]+"
)
# Thai and Lao have no spaces between words, so pages mark with a zero-width space where a line may
# break. A visible space in its place would be a mistake: there it ends a phrase.
_LINE_BREAK_HINT = re.compile(r"(?<=[\u0e00-\u0eff])\u200b+(?=[\u0e00-\u0eff])")
# Blank, though not white space to Python: zero-width space, Braille blank, Hangul fillers.
_BLANK = re.compile(r"[\u200b\u2800\u3164\uffa0]+")
_JOINERS = re.compile(r"[\u200c\u200d]+")

# Where the letters of each script stand, first and last code point, after the Unicode Character
# Database (Scripts.txt). A letter that several scripts share goes to the one whose texts it stands
# in (the Arabic tatweel, the long vowel mark of kana); phonetic symbols are Latin.
_RANGES = {
    "Arab": ((0x0620, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0xFB50, 0xFDFF),
             (0xFE70, 0xFEFC)),
    "Cyrl": ((0x0400, 0x052F), (0x1C80, 0x1C8F), (0xA640, 0xA69F)),
    "Deva": ((0x0900, 0x097F), (0xA8E0, 0xA8FF)),
    "Grek": ((0x0370, 0x03E1), (0x03F0, 0x03FF), (0x1F00, 0x1FFF), (0xAB65, 0xAB65)),
    "Hang": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FF),
             (0xFFA0, 0xFFDC)),
    "Hani": ((0x3005, 0x3005), (0x303B, 0x303B), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
             (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
    "Hebr": ((0x0590, 0x05FF), (0xFB1D, 0xFB4F)),
    "Hira": ((0x3041, 0x309F),),
    "Kana": ((0x30A1, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9D)),
    "Laoo": ((0x0E80, 0x0EFF),),
    "Latn": ((0x0041, 0x02E4), (0x1D00, 0x1DBF), (0x1E00, 0x1EFF), (0x2071, 0x2184),
             (0x2C60, 0x2C7F), (0xA722, 0xA7FF), (0xAB30, 0xAB64), (0xAB66, 0xAB69),
             (0xFB00, 0xFB06), (0xFF21, 0xFF5A)),
    "Thai": ((0x0E00, 0x0E7F),),
}  # fmt: skip
_BY_START = sorted((first, last, code) for code, spans in _RANGES.items() for first, last in spans)
_STARTS = [first for first, _, _ in _BY_START]


def normalise(text: str) -> str:
    """Return the form in which mella stores, compares and counts a text.

    That is Unicode NFC; each run of white space (no-break, ideographic and zero-width spaces and
    Hangul fillers included) one space, none at the ends; no control, bidi or other invisible
    characters. A zero-width (non-)joiner is kept just where it joins: between letters, marks or
    emoji. A zero-width space between Thai or Lao letters goes without a trace.

    HTML entities are not resolved: that is for whoever reads the HTML. Normalising twice is the
    same as once.
    """
    printable = text.isprintable()  # most texts are: nothing to look for but what looks blank
    if not printable:
        text = _INVISIBLE.sub("", text)
        text = _LINE_BREAK_HINT.sub("", text)
    text = _BLANK.sub(" ", text)
    if not printable:
        text = _JOINERS.sub(_joiner, text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def scripts(text: str) -> dict[str, int]:
    """Count the letters of a text by script, in the order in which the scripts first appear.

    Digits, punctuation, symbols and combining marks are no letters, and a decomposed letter or
    Hangul syllable counts as the composed one: the counts don't depend on the normalisation form.

    Returns:
        Number of letters by ISO 15924 code: Arab, Cyrl, Deva, Grek, Hang, Hani, Hebr, Hira, Kana,
        Laoo, Latn, Thai, and `UNKNOWN_SCRIPT` for the letters of any other.
    """
    counts: dict[str, int] = {}
    for char, times in Counter(unicodedata.normalize("NFC", text)).items():
        if char.isalpha():
            script = _script(char)
            counts[script] = counts.get(script, 0) + times
    return counts


def dominant_script(text: str) -> str | None:
    """Return the script with the most letters, the first one of equals, or None without letters."""
    counts = scripts(text)
    return max(counts, key=counts.__getitem__, default=None)


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    point = ord(letter)
    index = bisect_right(_STARTS, point) - 1
    if index < 0:
        return UNKNOWN_SCRIPT
    _, last, code = _BY_START[index]
    return code if point <= last else UNKNOWN_SCRIPT


def _joiner(run: re.Match[str]) -> str:
    """Keep one joiner of the run if what stands on both sides can be joined."""
    text, start, end = run.string, run.start(), run.end()
    if start == 0 or end == len(text):
        return ""
    sides = unicodedata.category(text[start - 1])[0], unicodedata.category(text[end])[0]
    return run[0][0] if all(side in "LMS" for side in sides) else ""
