"""Match the path of a URL against a pattern as robots.txt has them.

The patterns are those of RFC 9309, sections 2.2.2 and 2.2.3: they stand for the beginning of a
path, `*` for any characters, `$` at the end for the end of the path. TDMRep and ai.txt took them
over.
"""

import re
from urllib.parse import quote, urlsplit

_ESCAPES = re.compile(r"%[0-9A-Fa-f]{2}|[^\x21-\x7e]+")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_SPECIAL = {"*": "%2A", "$": "%24"}


def path_of(url: str) -> str:
    """Return path and query of an absolute URL, in the form that `matches` compares.

    What has a meaning in a pattern is escaped: only `%24` in a pattern matches a `$` in a URL.
    """
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return "".join(_SPECIAL.get(character, character) for character in normal_escapes(path))


def normal_escapes(text: str) -> str:
    """Return a path or pattern with the one form of each escape that RFC 9309 compares.

    Escaped letters, digits and `-._~` are written plainly; what is not ASCII, as escaped UTF-8;
    other escapes, in upper case.
    """
    return _ESCAPES.sub(_normal_escape, text)


def matches(pattern: str, path: str) -> bool:
    """Say whether a pattern matches a path; the time is linear in the path for each `*`.

    Args:
        pattern: Of a rule, with `normal_escapes`.
        path: As `path_of` returns it.
    """
    ends = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not others:
        return not ends or path == first
    at = len(first)
    last = others.pop() if ends else ""
    for part in others:
        found = path.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return not ends or (len(path) - len(last) >= at and path.endswith(last))


def _normal_escape(match: re.Match[str]) -> str:
    if not match[0].startswith("%"):
        return quote(match[0].encode("utf-8", "replace"))
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()
