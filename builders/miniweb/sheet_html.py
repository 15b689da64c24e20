"""Draw a contact sheet as one HTML page that loads nothing: images and fonts are inside."""

import base64
import html
from collections.abc import Iterable, Iterator

from mella.builders.miniweb.sheet import EXPLAINED, Card, Sheet, count, names, summary
from mella.builders.miniweb.typeset import Typeface, face_of

_STYLE = """
:root { color-scheme: light dark; --page: #faf9f6; --card: #fff; --line: #e2dfd8; --ink: #22211e;
  --soft: #6b6860; --mat: #f0eee9; }
@media (prefers-color-scheme: dark) { :root { --page: #191816; --card: #23221f; --line: #3a3834;
  --ink: #eceae4; --soft: #a5a198; --mat: #2d2b28; } }
* { box-sizing: border-box; margin: 0; }
body { background: var(--page); color: var(--ink); font: 400 1rem/1.55 FAMILIES; padding: 2rem;
  max-width: 110rem; margin: auto; }
h1, h2, h3 { font-weight: 400; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.5rem; border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 2.5rem; }
h3 { font-size: .95rem; margin: 1rem 0 .6rem; }
small, h2 small, h3 small, .note { color: var(--soft); font-size: .85rem; }
.row { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }
figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  overflow: hidden; }
.mat { background: var(--mat); color: var(--soft); height: 11rem; display: grid;
  place-items: center; font-size: .85rem; }
.mat img { width: 100%; height: 11rem; object-fit: contain; display: block; }
figcaption { padding: .7rem .8rem; overflow-wrap: anywhere; }
.text { max-height: 18em; overflow: auto; }
[dir=rtl].text { font-size: 1.1rem; }
.pivot, .details { color: var(--soft); font-size: .8rem; margin-top: .5rem; }
"""


def render_html(sheet: Sheet, faces: Iterable[Typeface]) -> str:
    """Return the page as one self-contained HTML document."""
    faces = tuple(faces)
    body = "\n".join(_html_body(sheet))
    families = ", ".join([*(f'"{face.family}"' for face in faces), "system-ui", "sans-serif"])
    style = "".join(_font_rule(face) for face in _used(body, faces))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mella contact sheet</title>\n<style>{style}"
        f"{_STYLE.replace('FAMILIES', families)}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _html_body(sheet: Sheet) -> Iterator[str]:
    yield "<h1>mella contact sheet</h1>"
    yield f'<p class="note">{_escape(summary(sheet))}</p>'
    for code, cells in sheet.items():
        native, english, rtl = names(code)
        attributes = f'lang="{_escape(code)}" dir="{"rtl" if rtl else "ltr"}"'
        yield f"<section>\n<h2><bdi {attributes}>{_escape(native)}</bdi>"
        yield f"<small>{_escape(english)}</small></h2>"
        for source, cell in cells.items():
            yield f"<h3>{source} <small>{EXPLAINED[source]}, {count(cell)}</small></h3>"
            yield '<div class="row">'
            for card in cell.cards:
                yield from _html_card(card, attributes)
            yield "</div>"
        yield "</section>"


def _html_card(card: Card, attributes: str) -> Iterator[str]:
    yield f'<figure title="{_escape(card.key)}">'
    # The text stands below the image: as `alt` it would be read out twice.
    image = f'<img src="{card.image}" alt="">' if card.image else "image can't be read"
    yield f'<div class="mat">{image}</div>'
    yield f'<figcaption>\n<p class="text" {attributes}>{_escape(card.text)}</p>'
    if card.pivot:
        yield f'<p class="pivot" lang="en" dir="ltr">{_escape(card.pivot)}</p>'
    if card.details:
        yield f'<p class="details" dir="ltr">{_escape(card.details)}</p>'
    yield "</figcaption>\n</figure>"


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _used(text: str, faces: tuple[Typeface, ...]) -> list[Typeface]:
    """Return the fonts that some character of `text` is drawn with."""
    needed = {face.family for c in set(text) if (face := face_of(c, faces)) is not None}
    return [face for face in faces if face.family in needed]


def _font_rule(face: Typeface) -> str:
    data = base64.b64encode(face.path.read_bytes()).decode()
    kind = "opentype" if face.path.suffix == ".otf" else "truetype"
    return (
        f'\n@font-face {{ font-family: "{face.family}"; '
        f'src: url(data:font/{face.path.suffix[1:]};base64,{data}) format("{kind}"); }}'
    )
