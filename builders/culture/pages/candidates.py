"""Find the images of a page, and the words that the page gives them.

Every image of every page becomes one row, kept or with a reason: `candidate:no_text`,
`candidate:data_uri`, `candidate:repeated` and so on. A page that cannot be read becomes one row
with a reason `page:...`; a page without images, none. Structured data that is no JSON becomes one
row with `candidate:bad_json_ld`, and costs nothing else.

Images come from `<img>` and `<amp-img>`, then from `og:image` and Twitter cards, then from JSON-LD.
What these say of the address of an `<img>` stands in the row of that one; an address that no
`<img>` has becomes a row of its own, with its `image_role`.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from selectolax.lexbor import LexborHTMLParser
from tldextract import TLDExtract

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.pages.charset import to_utf8
from mella.builders.culture.pages.head import (
    base_of,
    page_language,
    page_license,
    read_metas,
)
from mella.builders.culture.pages.html import PageError, parse_page, visible_text
from mella.builders.culture.pages.image_sources import image_address
from mella.builders.culture.pages.images import NamedImage, named_images
from mella.builders.culture.pages.licenses import normal_license
from mella.builders.culture.pages.prefilter import may_hold_images, may_name_license
from mella.builders.culture.pages.surroundings import Placed, Surroundings, placed_images
from mella.builders.culture.signals import SIGNALS
from mella.builders.culture.text.invisible import collapse_spaces
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step
from mella.text import normalise

READS = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("url", pa.string()),
        pa.field("charset", pa.string()),
        pa.field("content_language", pa.string()),
        pa.field("signals", SIGNALS),
        pa.field("collected_at", pa.string()),
        pa.field("body", pa.large_binary()),
    ]
)

CANDIDATES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # of page, image and place in the page
        pa.field("page_url", pa.string(), nullable=False),
        pa.field("domain", pa.string()),  # registered domain, or the host
        pa.field("page_lang", pa.string()),  # as the page declares, lower-case: "sr-latn-rs"
        pa.field("element_lang", pa.string()),  # as the element nearest to the image declares
        pa.field("page_text", pa.string()),  # its start; null where no image of the page is kept
        pa.field("ordinal", pa.int32(), nullable=False),  # among the images of the page, from 0
        pa.field("image_role", pa.string()),  # img, og, twitter, json_ld: what names it first
        pa.field("image_url", pa.string()),
        pa.field("image_host", pa.string()),  # of image_url: a host is fetched from by one process
        pa.field("alt", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("title", pa.string()),
        pa.field("aria_label", pa.string()),
        pa.field("og_alt", pa.string()),
        pa.field("structured_text", pa.string()),  # of JSON-LD
        pa.field("heading", pa.string()),  # the last one before the image
        pa.field("paragraph", pa.string()),  # around the image, or the last one before it
        pa.field("license", pa.string()),  # "CC-BY-4.0", or what the page says: a URL, a short text
        pa.field("license_origin", pa.string()),  # json_ld, rel, cc_link, meta
        pa.field("declared_width", pa.int32()),
        pa.field("declared_height", pa.int32()),
        pa.field("page_signals", SIGNALS),  # of the response's headers and of the page
        pa.field("collected_at", pa.string()),
        REASON,
    ]
)
"""The columns of a candidate."""

_WORDS = ("alt", "caption", "title", "aria_label", "og_alt", "structured_text")
_PIXELS = re.compile(r"\s*([0-9]{1,5})(?:\.[0-9]*)?(?:px)?\s*", re.IGNORECASE)
_TABLE_ROWS = 4096
_KNOWN_HOSTS = 10_000

Row = dict[str, Any]


@dataclass(frozen=True)
class CandidatesParams:
    """How candidates are found.

    Attributes:
        max_per_page: Further images of a page get `candidate:too_many`.
        page_text_chars: Characters of the page's visible text to keep.
        caption_chars: Characters to keep of a figure's caption, a label or a description.
        heading_chars: Characters of the heading to keep; 0: it is not looked for.
        paragraph_chars: Characters of the paragraph to keep; 0: it is not looked for.
        useful_width: Of a `srcset`, the smallest image at least this wide is taken.
        own_text: Whether an image needs words of its own; else a heading or a paragraph will do.
            In a recipe, it follows from the origins of `[text]`.
    """

    max_per_page: int = 500
    page_text_chars: int = 600
    caption_chars: int = 2000
    heading_chars: int = 300
    paragraph_chars: int = 600
    useful_width: int = 1600
    own_text: bool = True

    def __post_init__(self) -> None:
        check_least(self, {"max_per_page": 1, "page_text_chars": 0, "caption_chars": 0})
        check_least(self, {"heading_chars": 0, "paragraph_chars": 0, "useful_width": 1})


DomainOf = Callable[[str], str]
"""Returns the registered domain of a host, or the host."""


def candidates_step(params: CandidatesParams) -> Step:
    """Return the step that turns the pages among records into candidates."""
    return Step(
        name="candidates",
        version=4,
        fn=_find_all,
        reads=READS,
        writes=CANDIDATES,
        params=params,
        expands=True,
        unit="candidates",
        setup=_setup,
    )


def _setup(_: CandidatesParams, __: Any) -> DomainOf:
    # The suffix list inside the package: no network, no cache on disk, the same for everyone.
    suffixes = TLDExtract(suffix_list_urls=(), cache_dir=None)

    @lru_cache(_KNOWN_HOSTS)
    def domain_of(host: str) -> str:
        return suffixes(host).top_domain_under_public_suffix or host

    return domain_of


def _find_all(table: pa.Table, params: CandidatesParams, domain_of: DomainOf) -> Iterator[pa.Table]:
    rows: list[Row] = []
    pages = table.filter(may_hold_images(table["body"]))
    licensed = may_name_license(pages["body"]).to_pylist()
    for record, has_license in zip(pages.to_pylist(), licensed, strict=True):
        if record["kind"] != "page":
            continue
        for row in _find(record, params, domain_of, has_license=has_license):
            rows.append(row)
            if len(rows) >= _TABLE_ROWS:
                yield pa.Table.from_pylist(rows, schema=CANDIDATES)
                rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema=CANDIDATES)


def _find(
    record: Row, params: CandidatesParams, domain_of: DomainOf, *, has_license: bool
) -> Iterator[Row]:
    page_url = record["url"] or ""
    base, _ = resolve_url("", page_url)
    about: Row = {
        **dict.fromkeys(CANDIDATES.names),
        "page_url": page_url,
        "ordinal": 0,
        "domain": domain_of(urlsplit(base).hostname or "") if base else None,
        "page_signals": record["signals"] or [],
        "collected_at": record["collected_at"],
    }
    broken = {**about, "id": _identify(page_url, None, 0)}
    if base is None:
        yield {**broken, "reason": "page:bad_url"}
        return
    try:
        page = parse_page(to_utf8(record["body"], record["charset"]))
        metas = read_metas(page)
    except PageError as error:
        yield {**broken, "reason": error.reason}
        return
    base = base_of(page, base)
    root = page.root
    about["page_lang"] = page_language(root, metas, record["content_language"])
    about["page_signals"] = [*about["page_signals"], *metas.signals]
    hint, about["license_origin"] = page_license(page if has_license else None, base, metas)
    about["license"] = normal_license(hint)
    named = named_images(page, base, metas.leads, text_chars=params.caption_chars)
    rows = list(_judge(_images(page, about, base, named, params), params))
    body = page.body or root
    if body is not None and any(row["reason"] is None for row in rows):
        # It costs more than all else but parsing, and is of no use to what is not kept.
        page_text = normalise(visible_text(body, params.page_text_chars))
        for row in rows:
            row["page_text"] = page_text
    yield from rows


def _images(
    page: LexborHTMLParser, about: Row, base: str, named: list[NamedImage], params: CandidatesParams
) -> Iterator[Row]:
    """Yield a row for each image element, then one for each other image that the page names."""
    by_url = {one.url: one for one in named if one.url}
    shown: set[str | None] = set()
    surroundings = Surroundings(page, params.caption_chars)
    for placed in placed_images(
        page, heading_chars=params.heading_chars, paragraph_chars=params.paragraph_chars
    ):
        row = {**about, **_element(placed, surroundings, base, params)}
        if one := by_url.get(row["image_url"]):
            shown.add(one.url)
            row |= _said(one)
        yield row
    for one in named:
        if one.url not in shown:
            yield {**about, "image_role": one.role, "image_url": one.url, "reason": one.reason,
                   **_said(one)}  # fmt: skip


def _element(
    placed: Placed, surroundings: Surroundings, base: str, params: CandidatesParams
) -> Row:
    attributes = placed.node.attributes
    url, reason = image_address(placed.node, attributes, base, useful_width=params.useful_width)
    lang, caption = surroundings.around(placed.node, attributes)
    return {
        "element_lang": lang,
        "image_role": "img",
        "image_url": url,
        "alt": collapse_spaces(attributes.get("alt") or "") or None,
        "caption": caption,
        "title": collapse_spaces(attributes.get("title") or "") or None,
        "aria_label": surroundings.label(attributes),
        "heading": placed.heading and placed.heading.text,
        "paragraph": placed.paragraph and placed.paragraph.text,
        "declared_width": _pixels(attributes.get("width")),
        "declared_height": _pixels(attributes.get("height")),
        "reason": reason,
    }


def _said(one: NamedImage) -> Row:
    """Return what the head of the page and its structured data add to the row of an image."""
    said: Row = {"og_alt": one.og_alt, "structured_text": one.structured_text}
    if one.license:
        said |= {"license": normal_license(one.license), "license_origin": "json_ld"}
    return said


def _judge(rows: Iterator[Row], params: CandidatesParams) -> Iterator[Row]:
    """Number the images of a page, and say which are no candidates."""
    seen: set[tuple[str | None, ...]] = set()
    for ordinal, row in enumerate(rows):
        url = row["image_url"]
        row["id"] = _identify(row["page_url"], url, ordinal)
        row["ordinal"] = ordinal
        row["image_host"] = urlsplit(url).hostname if url else None
        if row["reason"] is None:
            words = tuple(row[name] for name in _WORDS)
            around = () if params.own_text else (row["heading"], row["paragraph"])
            if len(seen) >= params.max_per_page:
                row["reason"] = "candidate:too_many"
            elif not any(normalise(word) for word in words + around if word):
                row["reason"] = "candidate:no_text"
            elif (url, *words) in seen:
                row["reason"] = "candidate:repeated"
            else:
                seen.add((url, *words))
        yield row


def _pixels(value: str | None) -> int | None:
    match = _PIXELS.fullmatch(value) if value else None
    return int(match[1]) if match and int(match[1]) else None


def _identify(page_url: str, image_url: str | None, ordinal: int) -> str:
    identity = f"{page_url}\0{image_url or ''}\0{ordinal}".encode("utf-8", "replace")
    return hashlib.blake2b(identity, digest_size=16).hexdigest()
