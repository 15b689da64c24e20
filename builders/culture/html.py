"""HTML pages: parse them in bounded time, and take the text that a reader sees."""

import math
import re
from collections import Counter

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from mella.errors import MellaError
from mella.text import normalise

_HIDDEN = frozenset(
    {
        "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "select",
        "textarea", "head",
    }
)  # fmt: skip
_INLINE = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn",
        "em", "font", "i", "ins", "kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small",
        "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
    }
)  # fmt: skip

# Parsing goes through all open elements at many tags, so deep pages cost the square of their size:
# 100 000 nested <div> (0.5 MB) took 14 s. The same holds for the attributes of one tag.
_CHEAP_TAGS = 10_000
_MAX_COST = 500_000_000  # tags times depth; about a second
_MAX_ATTRIBUTES = 10_000
_LONG_TAG = 50_000
_SCRIPT = 1_000_000
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_VOID = frozenset(
    {
        "area", "base", "br", "col", "embed", "frame", "hr", "img", "image", "input", "keygen",
        "link", "meta", "param", "source", "track", "wbr", "html", "head", "body", "tr", "td",
        "th", "tbody", "thead", "tfoot", "colgroup", "option", "optgroup",
    }
)  # fmt: skip
_ENDS_ITSELF = frozenset({"p", "li", "dd", "dt"})
_BARRIERS = frozenset(
    {
        "applet", "button", "caption", "marquee", "object", "table", "template", "ul", "ol",
        "svg", "math",
    }
)  # fmt: skip
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_RAW = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "iframe", "xmp")
}
_WALK = 100


class PageError(MellaError, ValueError):
    """A page that cannot be parsed; `reason` is the name under which it is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_page(html: str) -> LexborHTMLParser:
    """Parse a page, unless that would take minutes.

    Raises:
        PageError: The page is nested too deeply, a tag has too many attributes, or the parser
            fails.
    """
    if _costs_too_much(html) or _floods_attributes(html):
        raise PageError(
            "page:too_complex", "The page is nested too deeply, or a tag has too many attributes."
        )
    try:
        return LexborHTMLParser(html)
    except (SelectolaxError, ValueError, MemoryError) as error:
        raise PageError("page:unparsable", f"The HTML parser failed: {error}.") from error


def visible_text(root: LexborNode, limit: float = math.inf) -> str:
    """Return the text that a reader sees under a node, cut to `limit` characters.

    Blocks are set apart by a space, inline elements are not: `<b>H</b>ello` is one word.
    """
    parts: list[str] = []
    size = 0
    node = root.first_child
    while node is not None and size < limit:
        tag = node.tag
        if node.is_text_node:
            text = node.text_content or ""
            parts.append(text)
            size += len(" ".join(text.split()))
        elif tag not in _INLINE:
            parts.append(" ")
        descend = node.is_element_node and tag not in _HIDDEN and node.first_child is not None
        node = node.first_child if descend else _following(node, root, parts)
    text = normalise("".join(parts))
    return text if len(text) <= limit else text[: int(limit)].rstrip()


def _following(node: LexborNode, root: LexborNode, parts: list[str]) -> LexborNode | None:
    """Return the node after this one and all below it, noting the blocks that end on the way."""
    while node.next is None:
        parent = node.parent
        if parent is None or parent.mem_id == root.mem_id:
            return None
        node = parent
        if node.tag not in _INLINE:
            parts.append(" ")
    return node.next


def _costs_too_much(html: str) -> bool:
    """Tell whether tags times depth, estimated as a parser would nest them, is beyond bounds."""
    tags = html.count("<")
    if tags <= _CHEAP_TAGS:
        return False
    allowed = _MAX_COST / tags
    open_tags: list[str] = []
    counts: Counter[str] = Counter()
    at = 0
    while match := _TAG.search(html, at):
        at = match.end()
        name = match[2].lower()
        if name in _RAW and not match[1]:
            # What a script holds is no markup, however much it looks like it.
            end = _RAW[name].search(html, at)
            at = end.end() if end else len(html)
            continue
        if name in _VOID:
            continue
        if match[1] or name in _ENDS_ITSELF:
            _close(name, open_tags, counts)
        if not match[1]:
            open_tags.append(name)
            counts[name] += 1
            if len(open_tags) > allowed:
                return True
    return False


def _close(name: str, open_tags: list[str], counts: Counter[str]) -> None:
    """Close the nearest open tag of that name, if an end tag reaches it."""
    if not counts[name]:
        return
    for back, candidate in enumerate(reversed(open_tags[-_WALK:]), start=1):
        if candidate == name:
            counts.subtract(open_tags[-back:])
            del open_tags[-back:]
            return
        # An inline end tag does not reach through a block, no end tag through a table.
        if candidate in _BARRIERS or (name in _INLINE and candidate not in _INLINE):
            return


def _floods_attributes(html: str) -> bool:
    """Tell whether a tag may have thousands of attributes; text and scripts are no tags."""
    at = 0
    while len(html) - at > _LONG_TAG:
        end = html.find(">", at)
        end = len(html) if end < 0 else end
        if end - at > _LONG_TAG:
            start = _TAG.search(html, at, end)
            if (
                start
                and len(_QUOTED.sub("", html[start.end() : end]).split()) > _MAX_ATTRIBUTES
                and not _in_script(html[max(0, at - _SCRIPT) : at].lower())
            ):
                return True
        at = end + 1
    return False


def _in_script(before: str) -> bool:
    return any(before.rfind(f"<{tag}") > before.rfind(f"</{tag}") for tag in ("script", "style"))
