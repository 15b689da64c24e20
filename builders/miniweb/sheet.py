"""Sort samples into the cells of a contact sheet: by language, then by source."""

import base64
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mella.errors import unknown_name
from mella.languages import languages
from mella.schema import SOURCES

EXPLAINED = {
    "culture": "native alt text",
    "linguistics": "caption, translated",
}
"""What a text of a source is."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_IMAGE_SIDE = 480  # pixels; larger images are scaled down to this
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Card:
    """One sample, ready to draw. `image` is a data: URI, or None where it could not be read."""

    key: str
    text: str
    pivot: str
    details: str
    image: str | None


@dataclass
class Cell:
    """The cards of one language and source, and how many samples there were."""

    cards: list[Card] = field(default_factory=list)
    total: int = 0


Sheet = Mapping[str, Mapping[str, Cell]]
"""Cells by language code and source; codes in alphabetical order."""


def collect(samples: Iterable[Mapping[str, Any]], per_cell: int) -> Sheet:
    """Sort samples into cells; keep the first `per_cell` of each and count the rest."""
    sheet: dict[str, dict[str, Cell]] = {}
    for sample in samples:
        if sample["source"] not in SOURCES:
            raise unknown_name("source", sample["source"], SOURCES)
        cells = sheet.setdefault(_clean(sample["lang"]), {source: Cell() for source in SOURCES})
        cell = cells[sample["source"]]
        cell.total += 1
        if len(cell.cards) < per_cell:
            cell.cards.append(_card(sample))
    return dict(sorted(sheet.items()))


def _card(sample: Mapping[str, Any]) -> Card:
    details = (sample.get(name) for name in ("category", "domain", "license"))
    return Card(
        key=_clean(sample.get("key")),
        text=_clean(sample.get("text")),
        pivot=_clean(sample.get("text_en")),
        details=" · ".join(_clean(detail) for detail in details if detail),
        image=_data_uri(sample.get("image")),
    )


def _clean(text: str | None) -> str:
    """Replace what neither HTML nor XML may hold."""
    return _NOT_XML.sub("\ufffd", text or "")


def _data_uri(image: bytes | None) -> str | None:
    """Return a JPEG no larger than a card needs; small JPEGs keep their bytes."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image or b""), formats=_FORMATS) as picture:
            picture.load()
            plain = picture.format == "JPEG" and picture.mode in ("L", "RGB")
            if not plain or max(picture.size) > _IMAGE_SIDE:
                picture.thumbnail((_IMAGE_SIDE, _IMAGE_SIDE))
                buffer = io.BytesIO()
                picture.convert("RGB").save(buffer, "JPEG", quality=88)
                image = buffer.getvalue()
    except Exception:  # noqa: BLE001  a decoder may raise anything on broken bytes
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(image or b'').decode()}"


def names(code: str) -> tuple[str, str, bool]:
    """Return native name, English name and direction; of an unregistered language, its code."""
    language = languages().get(code)
    if language is None:
        return code, code, False
    return language.native_name, language.name, language.rtl


def summary(sheet: Sheet) -> str:
    """Return how many samples and which languages there are, in words."""
    total = sum(cell.total for cells in sheet.values() for cell in cells.values())
    shown = sum(len(cell.cards) for cells in sheet.values() for cell in cells.values())
    return f"{shown} of {total} samples, languages: {', '.join(sheet) or 'none'}"


def count(cell: Cell) -> str:
    """Return how many samples of a cell are drawn, in words."""
    return f"{len(cell.cards)} of {cell.total}" if cell.cards else "no samples"
