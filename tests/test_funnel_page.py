"""The page of a build: complete, the same every time, and no way in for what it quotes."""

import base64
import hashlib
import io
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from selectolax.lexbor import LexborHTMLParser

from mella.builders.curate.cuts import CutParams, Limit, Limits, cut_step
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel, funnel_by
from mella.builders.engine.runner import Pipeline, run
from mella.builders.engine.step import REASON, Step
from mella.builders.report.examples import rejected_examples, thumbnail
from mella.builders.report.page import escape, render_page, write_page
from mella.builders.report.scores import histograms
from mella.errors import FormatError

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x.png onerror=alert(1)>',
    "</bdi></li></ul></details></main><h1>mine</h1>",
    "'\" onmouseover='alert(1)",
    "<!-- <style>*{display:none}</style>",
    "]]><svg/onload=alert(1)>",
    "&lt;b&gt; &amp; &#60;",
    "javascript:alert(1)",
)
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "small"),
    *("ul", "li", "img", "bdi", "figure", "figcaption", "svg", "rect", "path", "text"),
}
ATTRIBUTES = {
    *("charset", "http-equiv", "content", "name", "class", "role", "tabindex", "aria-label"),
    *("scope", "src", "alt", "dir", "lang", "viewbox", "x", "y", "width", "height", "d"),
    *("font-size", "fill", "text-anchor"),
}


def jpeg(seed, **more):
    pixels = np.random.default_rng(seed).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **more)
    return file.getvalue()


@dataclass(frozen=True)
class Rows:
    """How many rows a toy build has, and in which parts."""

    count: int = 60


INPUT = pa.schema([("from", pa.int64())])
MADE = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("image_url", pa.string()),
        pa.field("alt", pa.string()),
        pa.field("image", pa.large_binary()),
        REASON,
    ]
)
SPOKEN = pa.schema([pa.field("lang", pa.string()), pa.field("nsfw_score", pa.float64()), REASON])


def make(table, params, _):
    for start in table["from"].to_pylist():
        rows = [row_of(number) for number in range(start, start + params.count)]
        yield pa.Table.from_pylist(rows, schema=MADE)


def row_of(number):
    text = HOSTILE[number % len(HOSTILE)]
    stored = number % 3 == 0
    return {
        "id": f"{number} {text}",
        "page_url": f"http://site.example/{number}{text}",
        "image_url": f"javascript:{text}",
        "alt": f"{number} {text}",
        "image": jpeg(number, comment=b"a secret") if stored else None,
        "reason": None if stored else f"image:{text}",
    }


def speak(table, _, __):
    numbers = [int(one.partition(" ")[0]) for one in table["id"].to_pylist()]
    langs = ["th" if n % 2 else 'vi" onload="alert(1)' for n in numbers]
    scores = [n % 10 / 10 for n in numbers]
    reasons = ["safety:nsfw" if n % 15 == 0 else None for n in numbers]
    return pa.table([langs, scores, pa.array(reasons, pa.string())], schema=SPOKEN)


def toy(work, part_rows=4096, workers=1):
    params = CutParams(Limits(nsfw_score=Limit(most=0.55)))
    steps = (
        Step("make", 1, make, INPUT, MADE, Rows(), expands=True, unit="<b>", part_rows=part_rows),
        Step("speak", 1, speak, pa.schema([MADE.field("id")]), SPOKEN, Rows()),
        cut_step(params, ["nsfw_score"]),
    )
    inputs = pa.table({"from": [0, 60]}, schema=INPUT)
    with LocalExecutor(workers) as executor:
        return run(Pipeline(steps, inputs, hashlib.sha256(b"toy").hexdigest()), work, executor)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def page(stages, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "funnel.html"
    write_page(stages, "<i>recipe</i>.toml", file)
    return file.read_text(encoding="utf-8")


def check_harmless(page):
    """Check that a page holds only the elements and attributes that its template has."""
    tree = LexborHTMLParser(page)
    for node in tree.css("*"):
        assert node.tag in TAGS, node.tag
        assert {name.lower() for name in node.attributes} <= ATTRIBUTES
        for value in node.attributes.values():
            assert "\n" not in (value or "")
    for image in tree.css("img"):
        assert re.fullmatch(
            r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", image.attributes["src"] or ""
        )
    (policy,) = tree.css("meta[http-equiv]")
    assert (policy.attributes["content"] or "").startswith("default-src 'none'; img-src data:;")
    assert not [style for style in tree.css("style") if "url(" in style.text()]
    return tree


def test_hostile_texts_stand_on_the_page_as_they_are_and_do_nothing(page):
    tree = check_harmless(page)
    assert len(tree.css("h1")) == len(tree.css("main")) == 1
    quoted = {node.text() for node in tree.css("li bdi")}
    for text in HOSTILE:
        assert any(one.endswith(text) for one in quoted)
        assert text in " ".join(node.text() for node in tree.css("summary"))


@given(st.text(), st.text(max_size=8))
def test_no_text_gets_out_of_its_place(text, lang):
    inside = f'<p title="{escape(lang)}">{escape(text)}</p><b>after</b>'
    tree = LexborHTMLParser(inside)
    assert [node.tag for node in tree.css("body, body *")] == ["body", "p", "b"]
    (paragraph,) = tree.css("p")
    shown = paragraph.text()
    assert len(shown) == len(text)
    assert all(a in (b, "\ufffd") for a, b in zip(shown, text, strict=True))
    assert [*paragraph.attributes] == ["title"]


@given(unit=st.text(), title=st.text())
def test_no_name_gets_out_of_its_place(stages, unit, title):
    (level,) = funnel(stages)
    named = type(level)(unit, level.rows, level.rejects, level.kept)
    check_harmless(render_page(title, [named], funnel_by(stages, "lang"), [], []))


def test_control_characters_and_turns_of_direction_are_made_visible():
    assert escape("a\x00b\u202ec\u2066d") == "a\ufffdb\ufffdc\ufffdd"
    assert escape("شاي\u200c x") == "شاي\u200c x"  # a joiner is part of the spelling


def test_the_page_has_the_funnel_of_each_language(stages, page):
    (level,) = funnel(stages)
    tree = LexborHTMLParser(page)
    heads = [node.text() for node in tree.css("thead th")]
    assert heads == ["reason", "-", "th", 'vi" onload="alert(1)', "all", "share"]
    rows = {
        row.css("th")[0].text(): [cell.text() for cell in row.css("td")]
        for row in tree.css("tbody tr")
    }
    assert rows["kept"][-2:] == [f"{level.kept}", f"{level.kept / level.rows:.1%}"]
    assert rows["<b>"] == ["80", "20", "20", "120", "100.0%"]
    for reject in level.rejects:
        assert rows[f"{reject.step} | {reject.reason}"][-2] == str(reject.rows)


def test_the_same_rows_make_the_same_page_whatever_the_parts(page, tmp_path):
    for name, rows, workers in (("small", 7, 1), ("pool", 11, 2)):
        again = toy(tmp_path / name, rows, workers)
        write_page(again, "<i>recipe</i>.toml", tmp_path / f"{name}.html")
        assert (tmp_path / f"{name}.html").read_text("utf-8") == page


def test_examples_are_few_and_their_images_small_and_clean(stages):
    found = {one.reason: one for one in rejected_examples(stages, count=4, side=40)}
    cut = found["cut:nsfw_score"]
    assert len(cut.examples) == 4 < cut.rows
    assert {example.withheld for example in cut.examples} == {True}
    missing = found[f"image:{HOSTILE[1]}"]
    assert {example.thumbnail for example in missing.examples} == {None}
    assert {example.withheld for example in missing.examples} == {False}
    assert {one.thumbnail for one in found["safety:nsfw"].examples} == {None}


def test_an_image_that_may_be_shown_is_shown(stages, tmp_path):
    params = CutParams(Limits(width=Limit(least=1000)))
    steps = (
        Step("make", 1, make, INPUT, MADE, Rows(9), expands=True, unit="images"),
        Step("speak", 1, speak, pa.schema([MADE.field("id")]), SPOKEN, Rows()),
        Step("size", 1, measure, pa.schema([MADE.field("id")]), SIZE, Rows()),
        cut_step(params, SIZE.names),
    )
    inputs = pa.table({"from": [1]}, schema=INPUT)
    made = run(Pipeline(steps, inputs, "digest"), tmp_path, LocalExecutor(1))
    (cut,) = [one for one in rejected_examples(made, count=9, side=40) if one.step == "cut"]
    assert cut.rows == len(cut.examples) == 3
    assert all(example.thumbnail and not example.withheld for example in cut.examples)
    write_page(made, "toy", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert len(check_harmless(page).css("li img")) == 3
    assert len(page) < 60_000


SIZE = pa.schema([pa.field("width", pa.int32()), pa.field("height", pa.int32())])


def measure(table, _, __):
    count = table.num_rows
    return pa.table([pa.array([160] * count, pa.int32())] * 2, schema=SIZE)


def test_a_thumbnail_keeps_pixels_and_nothing_else():
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    url = thumbnail(jpeg(1, exif=exif, comment=b"a secret"), 50)
    assert url is not None
    made = base64.b64decode(url.partition(",")[2])
    assert b"where I live" not in made
    assert b"a secret" not in made
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == (50, 28)


@pytest.mark.parametrize(
    "data", [b"", b"no image", jpeg(1)[:200], b"\x89PNG\r\n\x1a\n" + b"\0" * 50], ids=len
)
def test_what_is_no_image_has_no_thumbnail(data):
    assert thumbnail(data, 50) is None


def test_histograms_count_every_row_with_a_score(stages):
    by_lang = {one.lang: one for one in histograms(stages, bins=10)}
    assert [*by_lang] == ["th", 'vi" onload="alert(1)']
    for one in by_lang.values():
        assert (one.score, one.least, one.most) == ("nsfw_score", None, 0.55)
        assert one.edges[0] == 0
        assert one.edges[-1] == 1
        assert sum(one.kept) + sum(one.rejected) == 20
        # Nothing is kept in the bins above the line.
        assert not any(one.kept[6:])
        assert any(one.rejected[6:])


def test_a_page_of_scores_draws_the_lines(page):
    tree = LexborHTMLParser(page)
    assert len(tree.css("svg")) == len(tree.css("svg path.cut")) == 2
    for label in tree.css("figcaption"):
        assert label.text().endswith("cut above 0.55")


def test_a_funnel_by_language_sums_to_the_whole(stages):
    (level,), (apart,) = funnel(stages), funnel_by(stages, "lang")
    assert sum(one.rows for one in apart.values()) == level.rows
    assert sum(one.kept for one in apart.values()) == level.kept
    for number, reject in enumerate(level.rejects):
        of_each = [one.rejects[number] for one in apart.values()]
        assert {(one.step, one.reason) for one in of_each} == {(reject.step, reject.reason)}
        assert sum(one.rows for one in of_each) == reject.rows
    assert apart["-"].kept == 0
    assert {one.step for one in apart["-"].rejects if one.rows} == {"make"}
    (nowhere,) = funnel_by(stages, "no_such_column")
    assert {"-": level} == nowhere


def test_an_unfinished_build_has_no_page(tmp_path):
    stages = toy(tmp_path)
    (stages[1].path / "manifest.json").unlink()
    for what in (
        lambda: funnel_by(stages, "lang"),
        lambda: write_page(stages, "x", tmp_path / "p"),
    ):
        with pytest.raises(FormatError, match="has not finished"):
            what()
    assert not (tmp_path / "p").exists()


def test_scores_that_are_not_known_are_not_counted(tmp_path):
    def nothing_known(table, _, __):
        nulls = pa.array([None] * table.num_rows, pa.float64())
        return pa.table([nulls], names=["nsfw_score"])

    scored = pa.schema([("nsfw_score", pa.float64())])
    steps = (
        Step("make", 1, make, INPUT, MADE, Rows(9), expands=True),
        Step("score", 1, nothing_known, pa.schema([MADE.field("id")]), scored, Rows()),
    )
    inputs = pa.table({"from": [1]}, schema=INPUT)
    stages = run(Pipeline(steps, inputs, "digest"), tmp_path, LocalExecutor(1))
    assert histograms(stages, bins=5) == []
    write_page(stages, "toy", tmp_path / "page.html")
    assert "stores no scores" in (tmp_path / "page.html").read_text("utf-8")
