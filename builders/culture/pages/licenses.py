"""Bring what pages say of a license into a short, comparable form."""

import re

_CC_URL = re.compile(
    r"(?:https?:)?//(?:[a-z0-9-]+\.)*creativecommons\.org/"
    r"(?:licenses/(?P<terms>[a-z]+(?:-[a-z]+)*)"
    r"|publicdomain/(?P<public>zero|mark|certification))"
    r"(?:/(?P<version>\d\.\d))?"
    r"(?:/(?P<port>[a-z]{2,3}|scotland))?"
    r"(?:/(?:deed|legalcode|rdf)?(?:\.[a-z-]+)*)?/?(?:[?#].*)?",
    re.IGNORECASE,
)
_CC_TEXT = re.compile(
    r"(?:creative commons cc|creative commons|cc)[\s-]*"
    r"(?P<terms>(?:by|nc|nd|sa)(?:[\s-]+(?:by|nc|nd|sa))*)"
    r"(?:[\s-]+v?(?P<version>\d\.\d))?"
    r"(?:[\s-]+(?P<port>[a-z]{2,3}|international|unported|generic))?",
    re.IGNORECASE,
)
_CC0_TEXT = re.compile(r"cc[\s-]*(?:0|zero)(?:[\s-]+v?1\.0)?(?:[\s-]+universal)?", re.IGNORECASE)
_LONG_NAMES = (
    ("attribution", "by"),
    ("noncommercial", "nc"),
    ("non-commercial", "nc"),
    ("noderivatives", "nd"),
    ("noderivs", "nd"),
    ("no derivatives", "nd"),
    ("sharealike", "sa"),
    ("share alike", "sa"),
    ("share-alike", "sa"),
)
_LONG = re.compile("|".join(name for name, _ in _LONG_NAMES), re.IGNORECASE)
# The order of the parts in SPDX, also of licenses whose URL has them in another.
_TERMS = ("by", "nc", "nd", "sa")
_PUBLIC = {"zero": "CC0-1.0", "mark": "CC-PDM-1.0", "certification": "CC-PDDC"}
_LENGTH = 300


def normal_license(license: str | None) -> str | None:  # noqa: A002 - the name of the column
    """Return a short form of a license.

    Args:
        license: A URL, or a text such as "CC BY-SA 4.0" or "Creative Commons Attribution 3.0".

    Returns:
        For licenses of Creative Commons their SPDX identifier ("CC-BY-SA-4.0", "CC-BY-3.0-US",
        "CC0-1.0"; without the version where none is named). Anything else as it is, in one line of
        at most 300 characters. None for nothing.
    """
    text = " ".join((license or "").split())
    if not text:
        return None
    if match := _CC_URL.fullmatch(text):
        if match["public"]:
            return _PUBLIC[match["public"].lower()]
        return _spdx(match["terms"], match["version"], match["port"]) or text[:_LENGTH]
    if _CC0_TEXT.fullmatch(text):
        return _PUBLIC["zero"]
    if match := _CC_TEXT.fullmatch(_abbreviated(text)):
        port = match["port"] if len(match["port"] or "") <= len("igo") else None
        return _spdx(match["terms"], match["version"], port) or text[:_LENGTH]
    return text[:_LENGTH]


def _spdx(terms: str, version: str | None, port: str | None) -> str | None:
    named = set(re.split(r"[\s-]+", terms.lower()))
    if not named <= set(_TERMS):
        return None
    parts = [term for term in _TERMS if term in named]
    return "-".join(part.upper() for part in ("CC", *parts, version, port) if part)


def _abbreviated(text: str) -> str:
    """Return "Creative Commons Attribution-ShareAlike 4.0" as "Creative Commons by-sa 4.0"."""
    names = dict(_LONG_NAMES)
    short = _LONG.sub(lambda match: names[match[0].lower()], text)
    return re.sub(r"\s+license$", "", short, flags=re.IGNORECASE)
