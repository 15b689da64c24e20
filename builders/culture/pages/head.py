"""Read what a page says of itself: address, language, licence, lead images, signals."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.pages.html import PageError
from mella.builders.culture.signals import Signal
from mella.builders.culture.text.invisible import collapse_spaces
from mella.text import normalise

_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*")
_NO_LANGUAGES = ("und", "mul", "zxx", "mis")
_LANGUAGE_NAMES = ("content-language", "og:locale")  # in this order
# Names of crawlers hold "bot" or "crawler" and so on; these words of a value stand for themselves.
_SIGNAL_NAME = re.compile(
    r"robots|x-robots-tag|tdm-[a-z]+|mella|.*(?:bot|crawler|spider)\b.*|.*-extended"
)
_SIGNAL_VALUE = re.compile(r"(?<![\w-])no(?:ai|imageai|imageindex)(?![\w-])", re.IGNORECASE)
_MAX_SIGNALS = 100
_MAX_SIGNAL_CHARS = 10_000
_LICENSE_NAMES = ("license", "dcterms.license", "dc.rights", "dcterms.rights", "dc.rights.license")
_LICENSE_CHARS = 300
_REL = 'a[rel~="license" i], link[rel~="license" i]'
_CC = 'a[href*="creativecommons.org/licenses/" i], a[href*="creativecommons.org/publicdomain/" i]'
_LEAD = {
    "og:image": "og", "og:image:url": "og", "og:image:secure_url": "og",
    "twitter:image": "twitter", "twitter:image:src": "twitter",
}  # fmt: skip
_LEAD_ALT = {"og:image:alt": "og", "twitter:image:alt": "twitter"}


@dataclass
class LeadImage:
    """An image that stands for a page where others link to it (Open Graph, Twitter cards).

    Attributes:
        role: "og" or "twitter".
        url: As it is written.
        alt: Its description.
    """

    role: str
    url: str
    alt: str | None = None


class License(NamedTuple):
    """A hint at a licence: a URL or a short text, and where it stands (rel, cc_link, meta)."""

    license: str | None = None
    origin: str | None = None


@dataclass
class Metas:
    """The `<meta>` elements of a page that matter here.

    Attributes:
        languages: By name ("content-language", "og:locale").
        signals: What the page says of its use.
        leads: Its lead images.
        license: What it says of its licence.
    """

    languages: dict[str, str] = field(default_factory=dict)
    signals: list[Signal] = field(default_factory=list)
    leads: list[LeadImage] = field(default_factory=list)
    license: str | None = None


def read_metas(page: LexborHTMLParser) -> Metas:
    """Read the `<meta>` elements of a page, wherever they stand in it.

    Raises:
        PageError: It says more of its use than can be kept: none of that may get lost.
    """
    metas = Metas()
    for node in page.tags("meta"):
        attributes = node.attributes
        content = attributes.get("content")
        if not content:
            continue
        # Written in either attribute, whatever the standards say.
        for key in ("name", "property", "http-equiv"):
            if name := (attributes.get(key) or "").strip().lower():
                _take(metas, name, content)
    if len(metas.signals) > _MAX_SIGNALS or any(
        len(signal["value"]) > _MAX_SIGNAL_CHARS for signal in metas.signals
    ):
        raise PageError("page:too_complex", "The page has too many robots directives.")
    return metas


def _take(metas: Metas, name: str, content: str) -> None:
    if name in _LANGUAGE_NAMES:
        metas.languages.setdefault(name, content)
    elif role := _LEAD.get(name):
        # The secure address of an image, and its address under another name, follow it.
        if not (name in ("og:image:url", "og:image:secure_url") and metas.leads):
            metas.leads.append(LeadImage(role, content))
    elif role := _LEAD_ALT.get(name):
        _describe(metas.leads, role, content)
    elif name in _LICENSE_NAMES:
        metas.license = metas.license or content
    elif _SIGNAL_NAME.fullmatch(name) or _SIGNAL_VALUE.search(content):
        signal: Signal = {"where": "meta", "name": name, "value": content}
        if signal not in metas.signals:
            metas.signals.append(signal)


def _describe(leads: list[LeadImage], role: str, alt: str) -> None:
    """Give a description to the image it follows (ogp.me, "structured properties")."""
    for lead in reversed(leads):
        if lead.role == role:
            lead.alt = lead.alt or collapse_spaces(alt) or None
            return


def base_of(page: LexborHTMLParser, page_url: str) -> str:
    """Return the address that those in the page are relative to."""
    for node in page.tags("base"):
        if href := node.attributes.get("href"):
            return resolve_url(page_url, href)[0] or page_url
    return page_url


def language_tag(name: str | None) -> str | None:
    """Return a language tag in lower case ("sr-latn-rs"), or None for what names no language."""
    tag = (name or "").strip().lower().replace("_", "-")
    named = _LANGUAGE.fullmatch(tag) and tag.partition("-")[0] not in _NO_LANGUAGES
    return tag if named else None


def language_of(attributes: dict[str, str | None]) -> str | None:
    """Return the language that an element declares."""
    for name in ("lang", "xml:lang"):
        if (value := attributes.get(name)) and (tag := language_tag(value)):
            return tag
    return None


def page_language(root: LexborNode | None, metas: Metas, header: str | None) -> str | None:
    """Return the language that a page declares: of the first place that names a single one.

    The places are `<html lang>`, `<meta http-equiv=content-language>`, `og:locale` and the header.
    """
    if root is not None and (own := language_of(root.attributes)):
        return own
    names = (*map(metas.languages.get, _LANGUAGE_NAMES), header)
    return next((tag for name in names if (tag := language_tag(name))), None)


def page_license(page: LexborHTMLParser | None, base: str, metas: Metas) -> License:
    """Return the licence that a page hints at, the plainest statement first.

    Args:
        page: Where links are looked for; None where it is known to have none to a licence.
        base: The address that those in the page are relative to.
        metas: Of the page.
    """
    for origin, selector in (("rel", _REL), ("cc_link", _CC)):
        for node in page.css(selector) if page else ():
            if url := resolve_url(base, node.attributes.get("href") or "")[0]:
                return License(url, origin)
    text = normalise(metas.license or "")[:_LICENSE_CHARS]
    return License(text, "meta") if text else License()
