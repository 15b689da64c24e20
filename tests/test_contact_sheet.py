"""The contact sheet: safe and self-contained HTML, a PNG that shows the texts, lines that fit."""

import base64
import html.parser
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from mella.builders.miniweb import sheet_png
from mella.builders.miniweb.contact_sheet import ContactSheetError, write_contact_sheet
from mella.builders.miniweb.sheet import collect
from mella.builders.miniweb.sheet_html import render_html
from mella.builders.miniweb.sheet_png import render_png, render_svg
from mella.builders.miniweb.subset_fonts import FONTS, SUBSETS, Subset, wansung, write_subset
from mella.builders.miniweb.typeset import (
    ELLIPSIS,
    clusters,
    face_of,
    load_typeface,
    load_typefaces,
    main_typeface,
    measure,
    wrap,
)
from mella.errors import UnknownNameError
from mella.languages import get_language

FACES = load_typefaces()

TEXTS = {
    "ar": "تُظهر الصورة سوقًا تقليديًا مزدحمًا تتدلى فيه الفوانيس النحاسية من السقف الخشبي.",
    "cs": "Příliš žluťoučký kůň na rušném tradičním tržišti, kde ze stropu visí lucerny",
    "hu": "Árvíztűrő tükörfúrógép a budapesti Nagyvásárcsarnokban, a famennyezet alatt",
    "ko": "이 사진은 나무 천장에 구리 등불이 매달려 있는 북적이는 전통 시장을 보여 줍니다.",
    "ru": "На снимке — оживлённый традиционный рынок: с потолка свисают медные фонари",
    "sr": "Ђердапска клисура, његово коло и љубитељи музике; Ćevapi s lukom i kajmakom",
    "th": "ภาพนี้แสดงให้เห็นตลาดดั้งเดิมที่มีผู้คนพลุกพล่าน มีโคมไฟทองแดงห้อยลงมาจากเพดานไม้",
    "vi": "Bức ảnh cho thấy một khu chợ truyền thống nhộn nhịp, nơi những chiếc đèn lồng",
}
HOSTILE = (
    """"><script>alert('x')</script><img src=https://evil.example/a.png onerror=x>&amp;\0\x0b"""
)


def photo(size: tuple[int, int] = (64, 48), colour: str = "teal", form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


def sample(**changes: Any) -> dict[str, Any]:
    plain = {
        "key": "k1",
        "lang": "cs",
        "source": "culture",
        "text": "kůň",
        "text_en": None,
        "image": photo(),
        "category": "animals",
        "domain": "example.cz",
        "license": "CC-BY-4.0",
    }
    return {**plain, **changes}


class Page(html.parser.HTMLParser):
    """The elements of a page; fails where a tag is closed that is not the open one."""

    VOID = ("meta", "img")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def attributes(self, tag: str, of_class: str | None = None) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.elements
            if name == tag and (of_class is None or found.get("class") == of_class)
        ]


def page_of(*samples: dict[str, Any], per_cell: int = 6) -> str:
    return render_html(collect(samples, per_cell), FACES)


def picture_of(*samples: dict[str, Any], per_cell: int = 6) -> Image.Image:
    return Image.open(io.BytesIO(render_png(collect(samples, per_cell), FACES))).convert("RGB")


# --- HTML


@pytest.mark.parametrize("name", ["key", "lang", "text", "text_en", "category", "license"])
def test_hostile_text_stays_text(name: str) -> None:
    page = Page(page_of(sample(**{name: HOSTILE})))
    assert {tag for tag, _ in page.elements} <= {
        *("html", "head", "meta", "title", "style", "body", "section", "h1", "h2", "h3", "bdi"),
        *("small", "div", "p", "figure", "figcaption", "img"),
    }
    assert not [found for _, found in page.elements if "onerror" in found]
    shown = HOSTILE.replace("\0", "\ufffd").replace("\x0b", "\ufffd")
    values = [value for _, found in page.elements for value in found.values()]
    assert shown in values or any(shown in words for words in page.words)


def test_html_loads_nothing_from_elsewhere() -> None:
    source = page_of(*(sample(lang=lang, text=text) for lang, text in TEXTS.items()))
    page = Page(source)
    links = [found[a] for _, found in page.elements for a in ("src", "href") if a in found]
    assert len(links) == len(TEXTS)
    assert all(str(link).startswith("data:image/jpeg;base64,") for link in links)
    assert set(regex.findall(r"url\((.{5})", source)) == {"data:"}
    assert "@import" not in source


def test_html_holds_only_the_fonts_that_its_texts_need() -> None:
    def families(*samples: dict[str, Any]) -> list[str]:
        return list(regex.findall(r'@font-face { font-family: "(.*?)"', page_of(*samples)))

    thai = sample(lang="xx", text=TEXTS["th"])
    assert families(sample()) == ["Mella Latin"]
    assert families(sample(), thai) == ["Mella Latin", "Mella Thai"]


def test_right_to_left_text_is_marked_and_its_english_is_not() -> None:
    page = Page(page_of(sample(lang="ar", text=TEXTS["ar"], text_en="A market.")))
    assert page.attributes("bdi") == [{"lang": "ar", "dir": "rtl"}]
    assert page.attributes("p", "text") == [{"class": "text", "lang": "ar", "dir": "rtl"}]
    assert page.attributes("p", "pivot") == [{"class": "pivot", "lang": "en", "dir": "ltr"}]


def test_an_empty_cell_and_an_empty_sheet_are_valid() -> None:
    page = Page(page_of(sample()))
    assert len(page.attributes("h3")) == 2
    assert any("no samples" in words for words in page.words)
    assert Page(page_of()).attributes("section") == []
    assert picture_of().width == picture_of(sample()).width


def test_only_the_first_samples_are_drawn_and_all_are_counted() -> None:
    page = Page(page_of(*(sample(key=f"k{i}") for i in range(5)), per_cell=2))
    assert [found["title"] for found in page.attributes("figure")] == ["k0", "k1"]
    assert any("2 of 5" in words for words in page.words)


@pytest.mark.parametrize(
    "image", [None, b"", b"junk", photo()[:200], b"%!PS-Adobe-3.0 EPSF-3.0\n"], ids=repr
)
def test_a_broken_image_costs_only_itself(image: bytes | None) -> None:
    page = Page(page_of(sample(image=image, text="dům"), sample()))
    assert len(page.attributes("img")) == 1
    assert "image can't be read" in page.words
    assert "dům" in page.words


def test_small_jpegs_keep_their_bytes_and_others_become_small_jpegs() -> None:
    def stored(image: bytes | None) -> tuple[str | None, str | None, tuple[int, int]]:
        card = collect([sample(image=image)], 1)["cs"]["culture"].cards[0]
        with Image.open(io.BytesIO(_decode(card.image))) as picture:
            return card.image, picture.format, picture.size

    assert _decode(stored(photo())[0]) == photo()
    assert stored(photo((1600, 400)))[1:] == ("JPEG", (480, 120))
    assert stored(photo((40, 30), form="PNG"))[1:] == ("JPEG", (40, 30))


# --- PNG


def draw(svg: str) -> Image.Image:
    import resvg_py

    fonts = [str(face.path) for face in FACES]
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=fonts)
    return Image.open(io.BytesIO(png)).convert("L")


def ink(
    *samples: dict[str, Any], without: str = r"<text .*?</text>"
) -> tuple[tuple[int, int, int, int], Image.Image]:
    """Return the box of what leaves a page with the matches of a pattern, and the page."""
    svg = render_svg(collect(samples, 6), FACES)
    page = draw(svg)
    box = ImageChops.difference(page, draw(regex.sub(without, "", svg))).getbbox()
    assert box is not None
    return box, page


def bare(**changes: Any) -> dict[str, Any]:
    return sample(category=None, domain=None, license=None, **changes)


def test_png_has_as_many_columns_as_cards_and_wraps_after_six() -> None:
    sizes = {n: picture_of(*[sample()] * n, per_cell=9).size for n in (1, 2, 6, 9)}
    step = sheet_png._CARD + sheet_png._GAP
    assert sizes[1] == sizes[2]
    assert sizes[6][0] - sizes[2][0] == 4 * step
    assert sizes[9][0] == sizes[6][0]
    assert sizes[9][1] > sizes[6][1]


@pytest.mark.parametrize("lang", TEXTS)
def test_png_shows_every_line_inside_the_card(lang: str) -> None:
    # Of the texts of the page, those set in the size of the caption.
    size = 15 * (1.15 if lang == "ar" else 1)
    lines = rf'<text [^>]*font-size="{size:g}".*?</text>'
    card = bare(lang=lang, text=TEXTS[lang])
    count = len(regex.findall(lines, render_svg(collect([card], 1), FACES)))
    assert count > 1
    (left, top, right, bottom), page = ink(card, without=lines)
    card_left = sheet_png._MARGIN + sheet_png._GUTTER
    assert left >= card_left + sheet_png._PAD - 2
    assert right <= card_left + sheet_png._CARD - sheet_png._PAD + 2
    assert right - left > 0.7 * (sheet_png._CARD - 2 * sheet_png._PAD)
    assert (count - 0.6) * 23 < bottom - top <= count * 23 + 6
    assert bottom < page.height - sheet_png._MARGIN


def test_png_aligns_right_to_left_text_at_the_right_with_its_full_stop_at_the_left() -> None:
    stop = r"\.(?=\u2069)"
    whole, _ = ink(bare(lang="ar", text="قلعة حلب."), without=r"<text [^>]*x=\"208\".*?</text>")
    dot, _ = ink(bare(lang="ar", text="قلعة حلب."), without=stop)
    assert abs(whole[2] - (28 + 136 + 232 - 12)) <= 3
    assert dot[0] == whole[0]
    assert dot[2] - dot[0] < 6


def test_png_joins_arabic_letters() -> None:
    joined, apart = (draw(_svg(text)) for text in ("سوقحلب", "\u200c".join("سوقحلب")))
    boxes = [ImageChops.invert(page).getbbox() for page in (joined, apart)]
    assert boxes[0]
    assert boxes[1]
    assert boxes[0][2] < 0.9 * boxes[1][2]


def _svg(text: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="60"><rect width="400" '
        'height="60" fill="#fff"/><text y="40" font-size="30" font-family="Mella Arabic">'
        f"{text}</text></svg>"
    )


def test_png_bears_characters_that_no_embedded_font_has() -> None:
    assert picture_of(bare(text="ქართული 日本 😀 \ud800 \u2066\u202e")).size[0] > 0


def test_png_survives_markup_in_a_text() -> None:
    hostile = dict.fromkeys(("lang", "text", "text_en", "category"), HOSTILE + "]]>")
    assert picture_of(sample(**hostile)).size[0] == picture_of(sample()).size[0]


# --- both


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    samples = [
        sample(lang=lang, source=source, text=text, text_en="A market.")
        for lang, text in TEXTS.items()
        for source in ("culture", "linguistics")
    ]
    first = write_contact_sheet(iter(samples), tmp_path / "deep" / "a")
    second = write_contact_sheet(samples, tmp_path / "b")
    assert [path.name for path in first] == ["contact-sheet.html", "contact-sheet.png"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_languages_stand_in_alphabetical_order() -> None:
    samples = [sample(lang=lang) for lang in reversed(TEXTS)]
    assert list(collect(samples, 1)) == sorted(TEXTS)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ContactSheetError, match="per_cell must be at least 1, got 0"):
        write_contact_sheet([], tmp_path, per_cell=0)
    with pytest.raises(UnknownNameError, match=r"source 'cultur'.*'culture'"):
        write_contact_sheet([sample(source="cultur")], tmp_path)


# --- lines

WORDS = st.text(
    st.sampled_from("aé\u0301 \n\u00a0ไทยน้ำะๆ\u0e48한국ليس日。\u200d👩🏽🇨🇿-("), max_size=60
)
WIDTHS = st.floats(0.1, 12)


def measured(text: str) -> Callable[[str], float]:
    faces = (main_typeface(text, FACES), *FACES)
    return lambda part: measure(part, faces)


@given(WORDS, WIDTHS)
def test_lines_hold_the_whole_text_in_order(text: str, width: float) -> None:
    lines = wrap(text, width, measured(text))
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(line and line == " ".join(line.split()) for line in lines)


@given(WORDS, WIDTHS)
def test_lines_fit_and_never_split_a_grapheme_cluster(text: str, width: float) -> None:
    boundaries, length = {0}, 0
    for word in text.split():
        for cluster in regex.findall(r"\X", word):
            length += len(cluster)
            boundaries.add(length)
    end = 0
    for line in wrap(text, width, measured(text)):
        end += len("".join(line.split()))
        assert end in boundaries
        assert measured(text)(line) <= width or len(clusters(line)) == 1


@given(WORDS, WIDTHS, st.integers(1, 4))
def test_what_is_over_the_limit_is_cut_with_an_ellipsis(
    text: str, width: float, limit: int
) -> None:
    everything = wrap(text, width, measured(text))
    lines = wrap(text, width, measured(text), limit=limit)
    if len(everything) <= limit:
        assert lines == everything
        return
    assert lines[:-1] == everything[: limit - 1]
    assert len(lines) == limit
    assert lines[-1].endswith(ELLIPSIS)
    assert everything[limit - 1].startswith(lines[-1].removesuffix(ELLIPSIS))
    assert measured(text)(lines[-1]) <= width or lines[-1] == ELLIPSIS


def test_lines_end_at_spaces_and_in_thai_where_syllables_end() -> None:
    assert wrap("Phở bò tái chín", 6, len) == ["Phở bò", "tái", "chín"]
    assert wrap("Nagyvásárcsarnok", 6, len) == ["Nagyvá", "sárcsa", "rnok"]
    assert wrap("ลอยกระทงในคืนวันเพ็ญเดือนสิบสอง", 14, len) == [
        "ลอยกระทง",
        "ในคืนวันเพ็ญ",
        "เดือนสิบสอง",
    ]
    assert wrap(" \n", 5, len) == []


# --- fonts


@pytest.mark.parametrize("lang", TEXTS)
def test_the_fonts_have_every_character_of_the_eight_languages(lang: str) -> None:
    names = get_language(lang).native_name
    missing = {c for c in TEXTS[lang] + names if face_of(c, FACES) is None}
    assert missing == set()


def test_the_fonts_are_small_licensed_and_named_as_promised() -> None:
    from fontTools.ttLib import TTFont

    assert sum(path.stat().st_size for path in FONTS.iterdir()) < 450_000
    assert "SIL OPEN FONT LICENSE Version 1.1" in (FONTS / "OFL.txt").read_text()
    assert {path.name for path in FONTS.iterdir()} == {"OFL.txt", *(s.file for s in SUBSETS)}
    for subset in SUBSETS:
        with TTFont(FONTS / subset.file) as font:
            assert font["name"].getDebugName(1) == subset.family
            assert "Open Font License" in font["name"].getDebugName(13)
    assert set(wansung()) <= FACES[3].advances.keys()
    assert len(set(wansung())) == 2350


def test_a_subset_has_the_characters_and_the_name_that_were_asked_for(tmp_path: Path) -> None:
    subset = Subset("small.ttf", "Mella Small", "latin.ttf", characters=((0x41, 0x43),), extra="ř")
    path = write_subset(subset, FONTS, tmp_path)
    face = load_typeface("Mella Small", path)
    assert set(face.advances) == set("ABCř")
    assert path.stat().st_size < (FONTS / "latin.ttf").stat().st_size / 10


def _decode(uri: str | None) -> bytes:
    assert uri
    return base64.b64decode(uri.partition(",")[2])
