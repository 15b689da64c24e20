"""Find and remove what a reader of a text cannot see: direction controls, joiners, hidden tags.

`mella.text.normalise` removes all bidi controls and most joiners. What is asked here is what the
controls did before that: an override that turned letters around leaves a text which no reader saw.
"""

import re
import unicodedata

import regex

_OVERRIDES = {"\u202d": frozenset({"R", "AL"}), "\u202e": frozenset({"L", "EN", "AN"})}
_EMBEDDINGS = "\u202a\u202b\u202d\u202e"
_ISOLATES = "\u2066\u2067\u2068"
_POP, _POP_ISOLATE = "\u202c", "\u2069"

# Tags spell the flags of regions behind a black flag (UTS 51, ED-14a). Elsewhere nothing shows
# them, but a language model reads them as letters.
_FLAG = regex.compile("(?P<flag>\U0001f3f4[\U000e0020-\U000e007e]{1,30}\U000e007f)")
_TAG = regex.compile(rf"{_FLAG.pattern}|[\U000e0000-\U000e007f]+")
# One variation selector chooses how a sign looks; several in a row only store bytes.
_SELECTORS = regex.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3}")

# Where a joiner changes what is seen. After a virama, and a non-joiner between letters that would
# join (RFC 5892, A.1 and A.2); a joiner between such letters; a joiner in an emoji (UTS 51).
_JOINS_ON = r"[\p{Joining_Type=Dual_Joining}\p{Joining_Type=Left_Joining}]"
_JOINS_BACK = r"[\p{Joining_Type=Dual_Joining}\p{Joining_Type=Right_Joining}]"
_CLEAR = r"\p{Joining_Type=Transparent}*"
_JOINERS = r"[\u200c\u200d]"
_JOINER = regex.compile(
    rf"(?<=\p{{Canonical_Combining_Class=9}})(?P<needed>{_JOINERS}){_JOINERS}*"
    rf"|(?<={_JOINS_ON}{_CLEAR})(?P<needed>{_JOINERS}){_JOINERS}*(?={_CLEAR}{_JOINS_BACK})"
    r"|(?<=[\p{Extended_Pictographic}\ufe0f\U0001f3fb-\U0001f3ff])(?P<needed>\u200d)"
    r"(?=\p{Extended_Pictographic})"
    rf"|{_JOINERS}+"
)


_HTML_SPACE = re.compile(r"[ \t\n\f\r]+")


def collapse_spaces(raw: str) -> str:
    """Return a text as HTML shows it, one space for each run of white space, and no more changed.

    For columns that hold what a page says before it is judged: `mella.text.normalise` would take
    away the controls by which `is_turned`, `is_hidden` and `mojibake.repair` go.
    """
    if not raw.isprintable() or "  " in raw:
        raw = _HTML_SPACE.sub(" ", raw)
    return raw.strip(" ")


def is_turned(raw: str) -> bool:
    """Whether a bidi override is left open, or shows letters or figures in the wrong order.

    Directions and the ends of overrides are those of UAX 9. Marks, embeddings and isolates only
    arrange what is written: they reject nothing.

    Args:
        raw: The text before it is normalised.
    """
    if not any(control in raw for control in _OVERRIDES):
        return False
    open_: list[str] = []
    for char in raw:
        if char in _EMBEDDINGS or char in _ISOLATES:
            open_.append(char)
        elif char == _POP:
            if open_ and open_[-1] in _EMBEDDINGS:
                open_.pop()
        elif char == _POP_ISOLATE:
            if any(one in _ISOLATES for one in open_):
                while open_.pop() not in _ISOLATES:
                    pass
        elif open_ and unicodedata.bidirectional(char) in _OVERRIDES.get(open_[-1], ()):
            return True
    return any(one in _OVERRIDES for one in open_)


def is_hidden(raw: str) -> bool:
    """Whether a text carries another that no reader sees, in tags or in variation selectors."""
    if raw.isascii():
        return False
    return _SELECTORS.search(raw) is not None or any(
        match["flag"] is None for match in _TAG.finditer(raw)
    )


def without_invisible(text: str) -> str:
    """Return a text without hidden tags, and without joiners that join nothing in its script."""
    if text.isascii():
        return text
    if "\u200c" in text or "\u200d" in text:
        text = _JOINER.sub(lambda match: match["needed"] or "", text)
    return str(_TAG.sub(lambda match: match["flag"] or "", text))
