"""What a page puts around its images: captions, labels, headings, paragraphs, languages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from mella.builders.culture.pages.head import language_of
from mella.builders.culture.pages.html import visible_text
from mella.builders.culture.pages.image_sources import Attributes
from mella.builders.culture.text.invisible import collapse_spaces

_IMAGES = ("img", "amp-img")
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_IN_ORDER = ", ".join((*_IMAGES, *_HEADINGS, "p"))
_MAX_LABELS = 8


@dataclass
class Passage:
    """An element whose text is read when somebody asks, and then kept."""

    node: LexborNode
    limit: int
    _text: str | None = None

    @property
    def text(self) -> str | None:
        """What it says, cut to the limit; None for nothing."""
        if self._text is None:
            self._text = visible_text(self.node, self.limit) if self.limit else ""
        return self._text or None


class Placed(NamedTuple):
    """An image in its place.

    Attributes:
        node: The element.
        heading: The last heading before it.
        paragraph: The paragraph that it stands in, else the last one before it.
    """

    node: LexborNode
    heading: Passage | None
    paragraph: Passage | None


def placed_images(
    page: LexborHTMLParser, *, heading_chars: int, paragraph_chars: int
) -> Iterator[Placed]:
    """Yield the images of a page in its order, with the passages that they stand behind."""
    heading: Passage | None = None
    paragraph: Passage | None = None
    for node in page.css(_IN_ORDER):
        tag = node.tag
        if tag in _IMAGES:
            yield Placed(node, heading, paragraph)
        elif tag == "p":
            paragraph = Passage(node, paragraph_chars)
        else:
            heading = Passage(node, heading_chars)


class _Above(NamedTuple):
    """What holds for all that lies in an element."""

    lang: str | None = None
    figure: LexborNode | None = None


@dataclass
class Surroundings:
    """Looks at the elements around the images of one page, at each of them once.

    Attributes:
        page: The page.
        caption_chars: Characters of a caption or a label to keep.
    """

    page: LexborHTMLParser
    caption_chars: int
    _above: dict[int, _Above] = field(default_factory=dict)
    _captions: dict[int, str | None] = field(default_factory=dict)
    _ids: dict[str, LexborNode] | None = None

    def around(self, node: LexborNode, attributes: Attributes) -> tuple[str | None, str | None]:
        """Return the language nearest to an image, and the caption of the figure around it.

        The language of `<html>` is that of the page, and not meant here.
        """
        above = self._of(node.parent)
        return language_of(attributes) or above.lang, self._caption(above.figure)

    def label(self, attributes: Attributes) -> str | None:
        """Return the accessible name of an image beside its alt, else its description (ARIA 1.2).

        That is the text of the elements that `aria-labelledby` names, else `aria-label`, else the
        text of those that `aria-describedby` names.
        """
        return (
            self._named(attributes.get("aria-labelledby"))
            or collapse_spaces(attributes.get("aria-label") or "")[: self.caption_chars]
            or self._named(attributes.get("aria-describedby"))
            or None
        )

    def _of(self, element: LexborNode | None) -> _Above:
        path: list[tuple[int, LexborNode]] = []
        above = _Above()
        while element is not None:
            key = element.mem_id
            if key in self._above:
                above = self._above[key]
                break
            path.append((key, element))
            element = element.parent
        for key, inner in reversed(path):
            tag = inner.tag
            lang = None if tag == "html" else language_of(inner.attributes)
            if lang or tag == "figure":
                above = _Above(lang or above.lang, inner if tag == "figure" else above.figure)
            self._above[key] = above
        return above

    def _caption(self, figure: LexborNode | None) -> str | None:
        if figure is None:
            return None
        key = figure.mem_id
        if key not in self._captions:
            node = figure.css_first("figcaption")
            text = visible_text(node, self.caption_chars) if node else ""
            self._captions[key] = text or None
        return self._captions[key]

    def _named(self, ids: str | None) -> str | None:
        if not ids:
            return None
        if self._ids is None:
            self._ids = {}
            for node in self.page.css("[id]"):
                self._ids.setdefault(node.attributes.get("id") or "", node)
        named = (self._ids[one] for one in ids.split()[:_MAX_LABELS] if one in self._ids)
        text = " ".join(visible_text(node, self.caption_chars) for node in named)
        return collapse_spaces(text)[: self.caption_chars] or None
