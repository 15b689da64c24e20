"""HTML pages: parse them in bounded time, and take the text that a reader sees."""

import math
import re
from collections import Counter

from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, LexborNode, SelectolaxError

from mella.builders.culture.text.invisible import collapse_spaces
from mella.errors import MellaError

_HIDDEN = frozenset(
    {
        "script", "style", "noscript", "template", "svg", "math", "iframe", "object", "select",
        "textarea", "head",
    }
)  # fmt: skip
_INLINE = frozenset(
    {
        "-comment", "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del",
        "dfn", "em", "font", "i", "ins", "kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp",
        "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
    }
)  # fmt: skip

# Parsing goes through all open elements at many tags, so deep pages cost the square of their size:
# 100 000 nested <div> (0.5 MB) took 14 s. The same holds for the attributes of one tag.
_CHEAP_TAGS = 10_000
_MAX_COST = 500_000_000  # tags times depth; about a second
_MAX_ATTRIBUTES = 10_000
_LONG_TAG = 50_000
_SCRIPT = 1_000_000
_TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/>]*)")
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
_QUOTED = re.compile(rb"\"[^\"]*\"|'[^']*'")
_RAW = {
    name: re.compile(f"</{name}".encode(), re.IGNORECASE)
    for name in ("script", "style", "textarea", "title", "iframe", "xmp")
}
_WALK = 100


class PageError(MellaError, ValueError):
    """A page that cannot be parsed; `reason` is the name under which it is counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_page(markup: bytes) -> LexborHTMLParser:
    """Parse a page, unless that would take minutes.

    Args:
        markup: The page in UTF-8.

    Raises:
        PageError: The page is nested too deeply, a tag has too many attributes, or the parser
            fails.
    """
    if _costs_too_much(markup) or _floods_attributes(markup):
        raise PageError(
            "page:too_complex", "The page is nested too deeply, or a tag has too many attributes."
        )
    try:
        # Without the events of a browser, which change the tree and take time.
        return LexborHTMLParser(markup, options=LexborDocumentOptions.WO_EVENTS)
    except (SelectolaxError, ValueError, MemoryError) as error:
        raise PageError("page:unparsable", f"The HTML parser failed: {error}.") from error


def visible_text(root: LexborNode, limit: float = math.inf) -> str:
    """Return the text that a reader sees under a node, cut to `limit` characters.

    Blocks are set apart by a space, inline elements are not: `<b>H</b>ello` is one word.
    """
    parts: list[str] = []
    size = 0
    # The elements around, each with whether a space ends it.
    open_blocks: list[tuple[LexborNode, bool]] = []
    node = root.first_child
    while size < limit:
        if node is None:
            if not open_blocks:
                break
            node, block = open_blocks.pop()
            if block:
                parts.append(" ")
            node = node.next
            continue
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            parts.append(text)
            if not text.isspace():
                size += len(" ".join(text.split()))
            node = node.next
            continue
        block = tag not in _INLINE
        if block:
            parts.append(" ")
        below = None if tag in _HIDDEN else node.first_child
        if below is None:
            node = node.next
        else:
            open_blocks.append((node, block))
            node = below
    text = collapse_spaces("".join(parts))
    return text if len(text) <= limit else text[: int(limit)].rstrip()


def _costs_too_much(markup: bytes) -> bool:
    """Tell whether tags times depth, estimated as a parser would nest them, is beyond bounds."""
    tags = markup.count(b"<")
    if tags <= _CHEAP_TAGS:
        return False
    allowed = _MAX_COST / tags
    open_tags: list[str] = []
    counts: Counter[str] = Counter()
    at = 0
    while match := _TAG.search(markup, at):
        at = match.end()
        name = match[2].lower().decode("latin-1")
        if name in _RAW and not match[1]:
            # What a script holds is no markup, however much it looks like it.
            end = _RAW[name].search(markup, at)
            at = end.end() if end else len(markup)
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


def _floods_attributes(markup: bytes) -> bool:
    """Tell whether a tag may have thousands of attributes; text and scripts are no tags."""
    at = 0
    while len(markup) - at > _LONG_TAG:
        end = markup.find(b">", at)
        end = len(markup) if end < 0 else end
        if end - at > _LONG_TAG:
            start = _TAG.search(markup, at, end)
            if (
                start
                and len(_QUOTED.sub(b"", markup[start.end() : end]).split()) > _MAX_ATTRIBUTES
                and not _in_script(markup[max(0, at - _SCRIPT) : at].lower())
            ):
                return True
        at = end + 1
    return False


def _in_script(before: bytes) -> bool:
    return any(
        before.rfind(b"<" + tag) > before.rfind(b"</" + tag) for tag in (b"script", b"style")
    )
