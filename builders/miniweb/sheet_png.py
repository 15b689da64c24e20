"""Draw a contact sheet as PNG: lay it out as SVG, and have resvg draw that with the embedded fonts.

Needs no browser, no font and no system library. Lengths are pixels.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from mella.builders.miniweb.sheet import EXPLAINED, Card, Cell, Sheet, count, names, summary
from mella.builders.miniweb.typeset import Typeface, face_of, main_typeface, measure, wrap
from mella.schema import SOURCES

_MARGIN = 28
_GUTTER = 136  # left of the cards, for the names
_COLUMNS = 6
_CARD, _GAP, _PAD = 232, 14, 12
_PICTURE = 150  # height of the image on a card
_INK, _SOFT, _LINE, _MAT, _PAGE = "#22211e", "#6b6860", "#e2dfd8", "#f0eee9", "#faf9f6"


@dataclass(frozen=True)
class Style:
    """How a block of text is set: size, distance of the lines, colour, the most lines."""

    size: float
    leading: float
    colour: str
    limit: int


_TITLE = Style(24, 32, _INK, 1)
_NATIVE = Style(21, 30, _INK, 2)
_LABEL = Style(14, 20, _INK, 2)
_NOTE = Style(12, 17, _SOFT, 2)
_TEXTS = {"culture": Style(15, 23, _INK, 5), "linguistics": Style(14, 22, _INK, 7)}
_PIVOT = Style(11.5, 16, _SOFT, 3)
_DETAILS = Style(11, 16, _SOFT, 1)
_RTL_SCALE = 1.15  # Arabic letters are small for their em


@dataclass(frozen=True)
class Drawing:
    """A piece of SVG and its height."""

    svg: str
    height: float


def render_png(sheet: Sheet, faces: Iterable[Typeface]) -> bytes:
    """Return the page as a PNG; an image of what a reader of the HTML page sees at first."""
    import resvg_py

    faces = tuple(faces)
    svg = render_svg(sheet, faces)
    # Looking for the fonts of a machine takes time and makes its pages differ from those of others.
    complete = all(face_of(c, faces) for c in set(svg) if c.isprintable())
    return resvg_py.svg_to_bytes(
        svg_string=svg,
        skip_system_fonts=complete,
        font_files=[str(face.path) for face in faces],
    )


def render_svg(sheet: Sheet, faces: Iterable[Typeface]) -> str:
    """Return the page as SVG, every line of text broken and placed."""
    faces = tuple(faces)
    most = max((len(cell.cards) for cells in sheet.values() for cell in cells.values()), default=0)
    columns = min(max(most, 2), _COLUMNS)
    width = 2 * _MARGIN + _GUTTER + columns * (_CARD + _GAP) - _GAP
    inner = width - 2 * _MARGIN
    blocks = [
        _text("mella contact sheet", inner, _TITLE, faces),
        _text(summary(sheet), inner, _NOTE, faces),
    ]
    for code, cells in sheet.items():
        rule = f'<path d="M0 18.5H{inner}" stroke="{_LINE}"/>'
        blocks.append(Drawing(rule, 36))
        blocks.extend(_cell(code, source, cells[source], columns, faces) for source in SOURCES)
    page = _stack(blocks)
    height = round(page.height) + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<rect width="100%" height="100%" fill="{_PAGE}"/>{_at(_MARGIN, _MARGIN, page.svg)}</svg>'
    )


def _cell(code: str, source: str, cell: Cell, columns: int, faces: tuple[Typeface, ...]) -> Drawing:
    native, english, rtl = names(code)
    inner = _GUTTER - _GAP
    labels = [_text(source, inner, _LABEL, faces)]
    labels += [_text(text, inner, _NOTE, faces) for text in (EXPLAINED[source], count(cell))]
    if source == SOURCES[0]:
        gap = Drawing("", 10)
        # The name stands at the left like all the others, whatever its direction.
        heading = [_text(native, inner, _NATIVE, faces), _text(english, inner, _NOTE, faces)]
        labels = [*heading, gap, *labels]
    gutter = _stack(labels)
    cards = [_draw_card(card, _TEXTS[source], faces, rtl=rtl) for card in cell.cards]
    rows = [_row(cards[i : i + columns]) for i in range(0, len(cards), columns)]
    grid = _stack(rows)
    height = max(gutter.height + _GAP, grid.height)
    return Drawing(gutter.svg + _at(_GUTTER, 0, grid.svg), height)


def _row(cards: list[Drawing]) -> Drawing:
    height = max(card.height for card in cards)
    frame = f'<rect x=".5" y=".5" width="{_CARD - 1}" height="{height - 1:g}" rx="6" '
    svg = "".join(
        _at(
            i * (_CARD + _GAP),
            0,
            f'{frame}fill="#fff"/>{card.svg}{frame}fill="none" stroke="{_LINE}"/>',
        )
        for i, card in enumerate(cards)
    )
    return Drawing(svg, height + _GAP)


def _draw_card(card: Card, style: Style, faces: tuple[Typeface, ...], *, rtl: bool) -> Drawing:
    inner = _CARD - 2 * _PAD
    texts = [_text(card.text, inner, style, faces, rtl=rtl)]
    texts += [
        block
        for text, style in ((card.pivot, _PIVOT), (card.details, _DETAILS))
        if text
        for block in (Drawing("", 5), _text(text, inner, style, faces))
    ]
    caption = _stack(texts)
    mat = f'<rect x="1" y="1" width="{_CARD - 2}" height="{_PICTURE}" fill="{_MAT}"/>'
    if card.image:
        picture = (
            f'<image x="1" y="1" width="{_CARD - 2}" height="{_PICTURE}" href="{card.image}"/>'
        )
    else:
        picture = _at(
            _PAD, _PICTURE / 2 - 12, _text("image can't be read", inner, _NOTE, faces).svg
        )
    return Drawing(
        mat + picture + _at(_PAD, _PICTURE + _PAD - 4, caption.svg),
        _PICTURE + caption.height + 2 * _PAD - 4,
    )


def _text(
    text: str, width: float, style: Style, faces: tuple[Typeface, ...], *, rtl: bool = False
) -> Drawing:
    main = main_typeface(text, faces)
    order = (main, *faces)
    size = style.size * (_RTL_SCALE if rtl else 1)
    lines = wrap(text, width / size, lambda part: measure(part, order), limit=style.limit)
    if rtl:  # resvg takes a line for left-to-right; an isolate (RLI, PDI) turns it.
        lines = [f"\u2067{line}\u2069" for line in lines]
    place = f'x="{width:g}" text-anchor="end"' if rtl else 'x="0"'
    svg = "".join(
        f'<text {place} y="{(i + 0.72) * style.leading:g}" font-size="{size:g}" '
        f'font-family="{main.family}" fill="{style.colour}">'
        f"{html.escape(line)}</text>"
        for i, line in enumerate(lines)
    )
    return Drawing(svg, len(lines) * style.leading)


def _stack(drawings: Iterable[Drawing]) -> Drawing:
    """Put drawings below each other."""
    parts, y = [], 0.0
    for drawing in drawings:
        parts.append(_at(0, y, drawing.svg))
        y += drawing.height
    return Drawing("".join(parts), y)


def _at(x: float, y: float, svg: str) -> str:
    return f'<g transform="translate({x:g} {y:g})">{svg}</g>' if svg else ""
