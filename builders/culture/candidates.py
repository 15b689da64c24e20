"""Find the images of a page, and the words that the page gives them.

Every image of every page becomes one row, kept or with a reason: `candidate:no_text`,
`candidate:data_uri`, `candidate:repeated` and so on. A page that cannot be read becomes one row
with a reason `page:...`; a page without images, none.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from selectolax.lexbor import LexborHTMLParser, LexborNode
from tldextract import TLDExtract

from mella.builders.culture.addresses import (
    ImageSource,
    best_source,
    parse_srcset,
    resolve_url,
)
from mella.builders.culture.charset import decode_page
from mella.builders.culture.html import PageError, parse_page, visible_text
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step
from mella.text import normalise

READS = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("url", pa.string()),
        pa.field("charset", pa.string()),
        pa.field("content_language", pa.string()),
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
        pa.field("page_text", pa.string()),
        pa.field("ordinal", pa.int32(), nullable=False),  # among the images of the page, from 0
        pa.field("image_url", pa.string()),
        pa.field("image_host", pa.string()),  # of image_url: a host is fetched from by one process
        pa.field("alt", pa.string()),
        pa.field("caption", pa.string()),
        pa.field("title", pa.string()),
        pa.field("license", pa.string()),
        pa.field("declared_width", pa.int32()),
        pa.field("declared_height", pa.int32()),
        pa.field("collected_at", pa.string()),
        REASON,
    ]
)
"""The columns of a candidate."""

# Also in UTF-16. `<image>` is an old name of `<img>` that parsers still know.
_IMAGE_TAG = re.compile(rb"<\0?(?:a\0?m\0?p\0?-\0?)?i\0?m\0?(?:a\0?)?g", re.IGNORECASE)
_IMAGES = "img, amp-img"
# Where scripts find the address of an image that is loaded late; `src` then holds a placeholder.
_LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src",
    "data-orig-file", "data-large-file", "data-image", "data-url",
)  # fmt: skip
_SRCSETS = ("data-srcset", "data-lazy-srcset", "srcset")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*")
_NO_LANGUAGES = ("und", "mul", "zxx", "mis")
_PIXELS = re.compile(r"\s*([0-9]{1,5})(?:\.[0-9]*)?(?:px)?\s*", re.IGNORECASE)
_LICENSE = (
    'a[rel~="license" i], link[rel~="license" i], a[href*="creativecommons.org/licenses/"], '
    'a[href*="creativecommons.org/publicdomain/"]'
)
_FIGURE_DEPTH = 16
_PICTURE_NODES = 16
_TABLE_ROWS = 4096

Row = dict[str, Any]


@dataclass(frozen=True)
class CandidatesParams:
    """How candidates are found.

    Attributes:
        max_per_page: Further images of a page get `candidate:too_many`.
        page_text_chars: Characters of the page's visible text to keep.
        caption_chars: Characters of a figure's caption to keep.
        useful_width: Of a `srcset`, the smallest image at least this wide is taken.
    """

    max_per_page: int = 500
    page_text_chars: int = 600
    caption_chars: int = 2000
    useful_width: int = 1600

    def __post_init__(self) -> None:
        check_least(self, {"max_per_page": 1, "page_text_chars": 0, "caption_chars": 0})
        check_least(self, {"useful_width": 1})


def candidates_step(params: CandidatesParams) -> Step:
    """Return the step that turns the pages among records into candidates."""
    return Step(
        name="candidates",
        version=2,
        fn=_find_all,
        reads=READS,
        writes=CANDIDATES,
        params=params,
        expands=True,
        unit="candidates",
        setup=_setup,
    )


def _setup(_: CandidatesParams, __: Any) -> TLDExtract:
    # The suffix list inside the package: no network, no cache on disk, the same for everyone.
    return TLDExtract(suffix_list_urls=(), cache_dir=None)


def _find_all(
    table: pa.Table, params: CandidatesParams, suffixes: TLDExtract
) -> Iterator[pa.Table]:
    rows: list[Row] = []
    for record in table.to_pylist():
        if record["kind"] != "page":
            continue
        for row in _find(record, params, suffixes):
            rows.append(row)
            if len(rows) >= _TABLE_ROWS:
                yield pa.Table.from_pylist(rows, schema=CANDIDATES)
                rows = []
    if rows:
        yield pa.Table.from_pylist(rows, schema=CANDIDATES)


def _find(record: Row, params: CandidatesParams, suffixes: TLDExtract) -> Iterator[Row]:
    page_url, body = record["url"] or "", record["body"] or b""
    if not _IMAGE_TAG.search(body):
        return
    base, _ = resolve_url("", page_url)
    about: Row = {
        **dict.fromkeys(CANDIDATES.names),
        "page_url": page_url,
        "ordinal": 0,
        "domain": _domain(base, suffixes) if base else None,
        "collected_at": record["collected_at"],
    }
    broken = {**about, "id": _identify(page_url, None, 0)}
    if base is None:
        yield {**broken, "reason": "page:bad_url"}
        return
    try:
        page = parse_page(decode_page(body, record["charset"])[0])
    except PageError as error:
        yield {**broken, "reason": error.reason}
        return
    base = _base(page, base)
    about["page_lang"] = _language(page, record["content_language"])
    about["license"] = _license(page, base)
    root = page.body or page.root
    about["page_text"] = visible_text(root, params.page_text_chars) if root else ""
    yield from _images(page, about, base, params)


def _images(
    page: LexborHTMLParser, about: Row, base: str, params: CandidatesParams
) -> Iterator[Row]:
    captions: dict[int, str | None] = {}
    seen: set[tuple[str | None, ...]] = set()
    for ordinal, node in enumerate(page.css(_IMAGES)):
        attributes = node.attributes
        url, reason = _address(node, attributes, base, params)
        row = {
            **about,
            "id": _identify(about["page_url"], url, ordinal),
            "ordinal": ordinal,
            "image_url": url,
            "image_host": urlsplit(url).hostname if url else None,
            "reason": reason or "candidate:too_many",
        }
        if reason is None and len(seen) < params.max_per_page:
            words = (
                normalise(attributes.get("alt") or "") or None,
                _caption(node, captions, params.caption_chars),
                normalise(attributes.get("title") or "") or None,
            )
            row |= zip(("alt", "caption", "title"), words, strict=True)
            row["declared_width"] = _pixels(attributes.get("width"))
            row["declared_height"] = _pixels(attributes.get("height"))
            row["reason"] = None
            if not any(words):
                row["reason"] = "candidate:no_text"
            elif (url, *words) in seen:
                row["reason"] = "candidate:repeated"
            else:
                seen.add((url, *words))
        yield row


def _address(
    node: LexborNode, attributes: dict[str, str | None], base: str, params: CandidatesParams
) -> tuple[str | None, str | None]:
    """Return the absolute URL of an image, or None and the reason why there is none."""
    sources = _sources(attributes)
    for source in _siblings(node):
        kind = (source.attributes.get("type") or "").lower()
        if not kind.startswith("image/svg"):
            sources += _sources(source.attributes)
    lazy = (attributes.get(name) or "" for name in _LAZY)
    plain = [value for value in (*lazy, attributes.get("src") or "") if value.strip()]
    # What `src` holds counts as a source of density 1, behind the widths of a srcset.
    sources = [ImageSource(value) for value in plain if not _is_data(value)] + sources
    sources = [source for source in sources if not _is_data(source.url)]
    best = best_source(sources, useful_width=params.useful_width)
    return resolve_url(base, best.url if best else plain[0] if plain else "")


def _siblings(node: LexborNode) -> Iterator[LexborNode]:
    """Yield the sources of the picture that an image stands in."""
    parent = node.parent
    if parent is None or parent.tag != "picture":
        return
    child = parent.first_child
    for _ in range(_PICTURE_NODES):
        if child is None:
            return
        if child.tag == "source":
            yield child
        child = child.next


def _sources(attributes: dict[str, str | None]) -> list[ImageSource]:
    for name in _SRCSETS:
        if value := attributes.get(name):
            return parse_srcset(value)
    return []


def _is_data(url: str) -> bool:
    return url.lstrip()[:5].lower() == "data:"


def _caption(node: LexborNode, known: dict[int, str | None], limit: int) -> str | None:
    """Return the caption of the figure around an image; `known` holds those found so far."""
    above = node.parent
    for _ in range(_FIGURE_DEPTH):
        if above is None:
            return None
        if above.tag == "figure":
            if above.mem_id not in known:
                caption = above.css_first("figcaption")
                known[above.mem_id] = (visible_text(caption, limit) or None) if caption else None
            return known[above.mem_id]
        above = above.parent
    return None


def _base(page: LexborHTMLParser, page_url: str) -> str:
    node = page.css_first("base[href]")
    href = node.attributes.get("href") if node else None
    return resolve_url(page_url, href or "")[0] or page_url


def _language(page: LexborHTMLParser, header: str | None) -> str | None:
    """Return the language that a page declares: of the first place that names a single one."""
    html = page.css_first("html")
    attributes = html.attributes if html else {}
    names = [attributes.get("lang"), attributes.get("xml:lang")]
    for selector in ('meta[http-equiv="content-language" i]', 'meta[property="og:locale" i]'):
        meta = page.css_first(selector)
        names.append(meta.attributes.get("content") if meta else None)
    for name in (*names, header):
        tag = (name or "").strip().lower().replace("_", "-")
        if _LANGUAGE.fullmatch(tag) and tag.partition("-")[0] not in _NO_LANGUAGES:
            return tag
    return None


def _license(page: LexborHTMLParser, base: str) -> str | None:
    node = page.css_first(_LICENSE)
    return resolve_url(base, node.attributes.get("href") or "")[0] if node else None


def _pixels(value: str | None) -> int | None:
    match = _PIXELS.fullmatch(value or "")
    return int(match[1]) if match and int(match[1]) else None


def _domain(url: str, suffixes: TLDExtract) -> str:
    found = suffixes(url)
    return str(found.top_domain_under_public_suffix or urlsplit(url).hostname)


def _identify(page_url: str, image_url: str | None, ordinal: int) -> str:
    identity = f"{page_url}\0{image_url or ''}\0{ordinal}".encode("utf-8", "replace")
    return hashlib.blake2b(identity, digest_size=16).hexdigest()
