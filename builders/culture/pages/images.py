"""Gather the images that a page names beside its image elements: lead images and JSON-LD."""

from collections.abc import Iterable
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.pages.head import LeadImage
from mella.builders.culture.pages.structured_data import StructuredDataError, structured_images
from mella.builders.culture.text.invisible import collapse_spaces

_JSON_LD = "application/ld+json"


@dataclass
class NamedImage:
    """What the head of a page and its structured data say of one address.

    Attributes:
        role: "og", "twitter" or "json_ld": what named it first.
        url: Absolute; None where there is none.
        reason: Why there is none.
        og_alt: The description of Open Graph or a Twitter card.
        structured_text: The caption, description or name of JSON-LD.
        license: As JSON-LD says, a URL or a short text.
    """

    role: str
    url: str | None
    reason: str | None = None
    og_alt: str | None = None
    structured_text: str | None = None
    license: str | None = None


def named_images(
    page: LexborHTMLParser, base: str, leads: Iterable[LeadImage], *, text_chars: int
) -> list[NamedImage]:
    """Return the images that a page names, those of equal address as one.

    A script of JSON-LD that cannot be read is an image without address, for the reason
    `candidate:bad_json_ld`.
    """
    named: list[NamedImage] = []
    by_url: dict[str, NamedImage] = {}

    def at(role: str, address: str) -> NamedImage:
        url, reason = resolve_url(base, address)
        if url in by_url:
            return by_url[url]
        named.append(NamedImage(role, url, reason))
        if url:
            by_url[url] = named[-1]
        return named[-1]

    for lead in leads:
        image = at(lead.role, lead.url)
        image.og_alt = image.og_alt or _cut(lead.alt, text_chars)
    for node in page.tags("script"):
        kind = node.attributes.get("type") or ""
        if kind.partition(";")[0].strip().lower() != _JSON_LD:
            continue
        try:
            for one in structured_images(node.text(deep=True)):
                image = at("json_ld", one.url)
                image.structured_text = image.structured_text or _cut(one.text, text_chars)
                image.license = image.license or _cut(one.license, text_chars)
        except StructuredDataError:
            named.append(NamedImage("json_ld", None, "candidate:bad_json_ld"))
    return named


def _cut(text: str | None, chars: int) -> str | None:
    return collapse_spaces(text or "")[:chars].rstrip() or None
