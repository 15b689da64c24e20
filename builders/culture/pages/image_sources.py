"""Find the address of an image element: src, srcset, picture, and what is loaded late."""

from collections.abc import Iterator

from selectolax.lexbor import LexborNode

from mella.builders.culture.addresses import ImageSource, best_source, parse_srcset, resolve_url

Attributes = dict[str, str | None]

# Where scripts find the address of an image that is loaded late; `src` then holds a placeholder.
_LAZY = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-original-src",
    "data-orig-file", "data-large-file", "data-image", "data-url",
)  # fmt: skip
_SRCSETS = ("data-srcset", "data-lazy-srcset", "srcset")
_MORE_THAN_SRC = frozenset((*_LAZY, *_SRCSETS))
_PICTURE_NODES = 16


def image_address(
    node: LexborNode, attributes: Attributes, base: str, *, useful_width: int
) -> tuple[str | None, str | None]:
    """Return the absolute URL of an image, or None and the reason why there is none.

    Args:
        node: The `<img>` or `<amp-img>`.
        attributes: Its attributes.
        base: The address that those of the page are relative to.
        useful_width: Of a `srcset`, the smallest image at least this wide is taken, in pixels.
    """
    parent = node.parent
    picture = parent if parent is not None and parent.tag == "picture" else None
    if picture is None and _MORE_THAN_SRC.isdisjoint(attributes):
        return resolve_url(base, attributes.get("src") or "")
    sources = _sources(attributes)
    for source in _children(picture):
        kind = (source.attributes.get("type") or "").lower()
        if not kind.startswith("image/svg"):
            sources += _sources(source.attributes)
    lazy = (attributes.get(name) or "" for name in _LAZY)
    plain = [value for value in (*lazy, attributes.get("src") or "") if value.strip()]
    # What `src` holds counts as a source of density 1, behind the widths of a srcset.
    sources = [ImageSource(value) for value in plain if not _is_data(value)] + sources
    sources = [source for source in sources if not _is_data(source.url)]
    best = best_source(sources, useful_width=useful_width)
    return resolve_url(base, best.url if best else plain[0] if plain else "")


def _children(picture: LexborNode | None) -> Iterator[LexborNode]:
    """Yield the sources of a picture."""
    child = picture.first_child if picture is not None else None
    for _ in range(_PICTURE_NODES):
        if child is None:
            return
        if child.tag == "source":
            yield child
        child = child.next


def _sources(attributes: Attributes) -> list[ImageSource]:
    for name in _SRCSETS:
        if value := attributes.get(name):
            return parse_srcset(value)
    return []


def _is_data(url: str) -> bool:
    return url.lstrip()[:5].lower() == "data:"
