"""Draw images and their texts on one page, as HTML and as PNG.

The same samples give the same bytes. The pages need nothing of the machine they are made on or
read on: images and fonts are inside the HTML, and the PNG is drawn without a browser.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mella.builders.miniweb.sheet import collect
from mella.builders.miniweb.sheet_html import render_html
from mella.builders.miniweb.sheet_png import render_png
from mella.builders.miniweb.typeset import load_typefaces
from mella.errors import MellaError


class ContactSheetError(MellaError, ValueError):
    """A contact sheet that can't be drawn as asked."""


def write_contact_sheet(
    samples: Iterable[Mapping[str, Any]], folder: Path, *, per_cell: int = 6
) -> tuple[Path, Path]:
    """Draw samples on one page, by language and source.

    Args:
        samples: Mappings with `key, lang, source, text, text_en, image` (encoded bytes),
            `category, domain, license`; all but `lang` and `source` may be missing or None. An
            image that can't be decoded costs only itself: its card says so.
        folder: Where the files go; made where it is missing.
        per_cell: The most samples drawn of one language and source: the first that come. The
            others are counted.

    Returns:
        The paths of `contact-sheet.html` and `contact-sheet.png`.

    Raises:
        UnknownNameError: A sample has another source than those of mella.
        ContactSheetError: `per_cell` is below 1.
    """
    if per_cell < 1:
        raise ContactSheetError(f"per_cell must be at least 1, got {per_cell}.")
    sheet = collect(samples, per_cell)
    faces = load_typefaces()
    folder.mkdir(parents=True, exist_ok=True)
    page, picture = folder / "contact-sheet.html", folder / "contact-sheet.png"
    page.write_bytes(render_html(sheet, faces).encode())
    picture.write_bytes(render_png(sheet, faces))
    return page, picture
