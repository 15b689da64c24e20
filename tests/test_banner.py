"""Banners: pictures of nothing but words are told from all others, in eight languages."""

import io
import json
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

import mella.sample
from mella.builders.culture.images.banner import may_be_text, text_score
from mella.builders.culture.images.picture import (
    ImageRules,
    RejectedImage,
    StoredImage,
    normalise_image,
)
from mella.builders.miniweb.subset_fonts import FONTS
from pictures import load, picture, save

DATA = Path(__file__).parent / "data"
CAPTIONS = json.loads((DATA / "captions_by_language.json").read_text("utf-8"))["targets"]
OTHER_FONTS = {"ar": "arabic.ttf", "ko": "korean.otf", "th": "thai.ttf"}
Colour = str | tuple[int, int, int]
COLOURS: dict[str, tuple[Colour, Colour]] = {
    "black on white": ("white", "black"),
    "white on red": ((190, 20, 30), "white"),
    "yellow on blue": ((20, 30, 90), (250, 220, 80)),
    "grey on cream": ((250, 244, 230), (90, 90, 100)),
}


@cache
def font(lang, size):
    return ImageFont.truetype(FONTS / OTHER_FONTS.get(lang, "latin.ttf"), size)


def banner(lang, *, lines=3, size=32, colours="black on white", width=640, height=240):
    ground, ink = COLOURS[colours]
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    top = (height - 1.5 * size * lines) / 2
    for number, text in enumerate(CAPTIONS[lang][:lines]):
        draw.text((width / 20, top + 1.5 * size * number), text, ink, font(lang, size))
    return image


def score(image):
    return text_score(image) if may_be_text(image) else 0.0


def judged(data, **rules):
    return normalise_image(data, ImageRules(**rules))


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("lang", CAPTIONS)
def test_words_alone_are_text_in_every_script_and_colour(lang, colours):
    assert score(banner(lang, colours=colours)) > 0.75


@pytest.mark.parametrize("lang", CAPTIONS)
@pytest.mark.parametrize(
    "shape",
    [
        {"lines": 1, "size": 40, "width": 500, "height": 170},
        {"lines": 2, "size": 60, "width": 900, "height": 300},
        {"lines": 8, "size": 28, "width": 800, "height": 600},
        {"lines": 2, "size": 110, "width": 2000, "height": 700},
    ],
)
def test_words_alone_are_text_at_every_size(lang, shape):
    assert score(banner(lang, **shape)) > 0.75


@pytest.mark.parametrize("lang", CAPTIONS)
@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {"quality": 70}), ("JPEG", {"quality": 90, "progressive": True}), ("PNG", {}),
     ("GIF", {}), ("WEBP", {"quality": 75})],
)  # fmt: skip
def test_banners_are_rejected_however_they_are_encoded(lang, kind, options):
    made = judged(save(banner(lang), kind, **options))
    assert isinstance(made, RejectedImage)
    assert (made.reason, made.width, made.height) == ("image:text_only", 640, 240)
    assert made.text_score is not None
    assert made.text_score > 0.75


def test_a_frame_around_words_or_a_line_under_them_changes_nothing():
    image = banner("cs")
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 635, 235), outline="black", width=2)
    draw.line((32, 200, 500, 200), "black", 2)
    assert score(image) > 0.75


def test_the_rule_can_be_loosened_and_the_score_is_kept():
    data = save(banner("th"), "PNG")
    made = judged(data, max_text_score=1)
    assert isinstance(made, StoredImage)
    assert made.text_score > 0.75
    assert isinstance(judged(data, max_text_score=made.text_score), StoredImage)


# What is no banner


def sample_images():
    """The emoji artwork of the embedded sample."""
    for path in sorted(Path(mella.sample.__path__[0]).rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".jpg"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield member.name, load(file.read())


def test_artwork_is_no_text():
    scores = {name: score(image) for name, image in sample_images()}
    assert len(scores) > 50
    assert [name for name, one in scores.items() if one > 0.75] == []


def test_photographs_are_not_even_looked_at_closely():
    assert not may_be_text(load((DATA / "astronaut.jpg").read_bytes()))
    for seed in range(30):
        assert not may_be_text(picture(size=(400, 300), seed=seed))


@pytest.mark.parametrize("lang", CAPTIONS)
def test_a_poster_with_a_picture_among_its_words_is_kept(lang):
    poster = banner(lang, height=480)
    poster.paste(picture(size=(300, 300)), (320, 150))
    made = judged(save(poster, "JPEG"))
    assert isinstance(made, StoredImage)
    assert made.text_score < 0.25


def test_words_on_a_photograph_are_kept():
    image = picture(size=(640, 400))
    ImageDraw.Draw(image).text((40, 150), CAPTIONS["vi"][0], "white", font("vi", 48))
    assert score(image) == 0


def drawing(kind):
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    if kind == "flag":
        draw.rectangle((0, 100, 400, 200), "blue")
        draw.rectangle((0, 200, 400, 300), "red")
    elif kind == "sign":
        draw.ellipse((100, 50, 300, 250), "red")
        draw.rectangle((120, 130, 280, 170), "white")
    elif kind == "line drawing":
        for x in range(40, 360, 40):
            draw.ellipse((x, 40, x + 120, 260), outline="black", width=3)
    elif kind == "chart":
        for number, height in enumerate((80, 200, 140, 240, 60)):
            draw.rectangle((40 + 70 * number, 280 - height, 85 + 70 * number, 280), "navy")
    elif kind == "dot":
        draw.ellipse((195, 145, 205, 155), "black")
    elif kind == "speck":
        draw.point((200, 150), "black")
    return image


@pytest.mark.parametrize("kind", ["flag", "sign", "line drawing", "chart", "dot", "speck", "empty"])
def test_flat_graphics_that_are_no_words_are_no_text(kind):
    assert score(drawing(kind)) < 0.25


def test_a_window_with_a_picture_and_buttons_is_no_text():
    window = Image.new("RGB", (600, 400), (238, 238, 238))
    draw = ImageDraw.Draw(window)
    draw.rectangle((0, 0, 600, 30), (40, 60, 110))
    window.paste(picture(size=(260, 260)), (20, 60))
    for number, text in enumerate(CAPTIONS["hu"][:5]):
        draw.rectangle((300, 60 + 50 * number, 580, 95 + 50 * number), "white", "grey")
        draw.text((308, 66 + 50 * number), text[:24], "black", font("hu", 18))
    assert score(window) < 0.25


# Any picture


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    levels=st.integers(1, 6),
    mode=st.sampled_from(["RGB", "L"]),
    seed=st.integers(0, 99),
)
def test_every_picture_has_a_score_between_0_and_1(size, levels, mode, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, levels, np.uint8)
    weights = rng.dirichlet(np.full(levels, 0.3))
    pixels = rng.choice(values, size[::-1], p=weights)
    image = Image.fromarray(pixels).convert(mode)
    assert isinstance(may_be_text(image), bool)
    assert 0 <= text_score(image) <= 1


def test_a_banner_that_lies_on_its_side_is_judged_as_it_is_seen():
    tags = Image.Exif()
    tags[0x0112] = 6
    image = banner("ru").transpose(Image.Transpose.ROTATE_90)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90, exif=tags)
    made = judged(file.getvalue())
    assert isinstance(made, RejectedImage)
    assert made.reason == "image:text_only"
