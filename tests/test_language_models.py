"""The models of neighbouring languages, their calibration, and the signs of a page's language."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.language.calibration import Calibration, calibrations, evidence
from mella.builders.culture.language.identifiers import WELL_KNOWN, Ensemble
from mella.builders.culture.language.neighbours import NEIGHBOURS, letter_runs, neighbour_models
from mella.builders.culture.language.page_language import PageLanguage, PageLanguages
from mella.builders.culture.language.step import LanguageParams, decide
from mella.languages import languages
from mella.text import dominant_script

CAPTIONS = json.loads(
    (Path(__file__).parent / "data" / "captions_by_language.json").read_text("utf-8")
)
ALL = tuple(languages().values())
BLANK = {"tag": None, "domain": None, "url": None, "text": None}
RUSSIAN = (
    "Зимой в городе идёт снег, и дети катаются с горки до самого вечера. "
    "Весной по реке проходит первый пароход."
)
# Serbian of both pronunciations and of no telling word: only letters or the switch can tell.
UNTOLD = "Stara kuća stoji na bregu iznad puta i kroz prozore se vidi grad sa crkvom i tornjem."


@pytest.fixture(scope="module")
def pages():
    near = {code for language in ALL for code in language.confusable}
    codes = {language.code for language in ALL} | near | set(WELL_KNOWN)
    return PageLanguages(ALL, Ensemble(codes, low_memory=True), chars=2000, letters=60)


def captions(code, script):
    kept = CAPTIONS["targets"] | CAPTIONS["confusers"]
    found = kept.get(f"{code}-{script}", kept.get(code, []))
    return [text for text in found if dominant_script(text) == script]


@pytest.mark.parametrize("key", NEIGHBOURS)
def test_model_tells_its_language_from_the_neighbours(key):
    model = neighbour_models()[key]
    own = [model.log_odds(text) for text in captions(*key)]
    others = [model.log_odds(text) for near in NEIGHBOURS[key] for text in captions(near, key[1])]
    assert len(own) >= 10
    assert len(others) >= 10
    # Where its zero lies is for the calibration: here it is asked which of two is likelier.
    right = sum(mine > other for mine in own for other in others)
    # A Serbian caption of four words in Latin letters is often right in Croatian too.
    floor = 0.75 if key == ("sr", "Latn") else 0.85
    assert right >= floor * len(own) * len(others)


def test_runs_of_letters_do_not_cross_words():
    assert list(letter_runs("Ab, 7!")) == [
        " ",
        " a",
        " ab",
        " ab ",
        "a",
        "ab",
        "ab ",
        "b",
        "b ",
        " ",
    ]
    assert list(letter_runs("12 _ !")) == []


@given(st.text(max_size=60), st.sampled_from(sorted(NEIGHBOURS)))
def test_evidence_is_finite_for_any_text(text, key):
    for shares in ({}, {key[0]: 1.0}):
        models, letters = evidence(text, key[0], key[1], shares)
        assert abs(models) <= math.log(999) + 1e-6
        assert abs(letters) <= 12


def test_more_evidence_never_makes_a_language_less_likely():
    for calibration in (Calibration(), *calibrations().values()):
        assert calibration.models >= 0
        assert calibration.letters >= 0


def test_every_language_in_a_shared_script_is_calibrated():
    shared = {(one.code, script) for one in ALL for script in one.scripts} - {
        ("ko", "Hang"),
        ("th", "Thai"),
    }
    assert set(calibrations()) == shared


def test_a_sure_page_helps_more_than_a_declaration():
    params = LanguageParams(ALL)
    shares = {"cs": 0.5, "sk": 0.5}
    declared = decide("Stará lípa", "cs", shares, params)
    sure = decide("Stará lípa", "cs", shares, params, sure=True)
    assert sure.score > declared.score > decide("Stará lípa", None, shares, params).score


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/ru/a", "ru"),
        ("https://example.com/sr-latn/", "sr"),
        ("https://example.com/shop/cs_CZ/x.html", "cs"),
        ("https://example.com/VI", "vi"),
        ("https://example.com/sr-Cyrl-RS/", "sr"),
        ("https://example.com/a/b/ru/", None),
        ("https://example.com/tv/", None),
        ("https://example.com/rule/", None),
        ("https://ru.example.com/", None),
        ("http://[broken/ru/", None),
        ("", None),
        (None, None),
    ],
)
def test_language_named_in_an_address(pages, url, code):
    assert pages.addressed(url) == code


def test_attribute_of_the_image_decides(pages):
    told = {**BLANK, "tag": "en", "domain": "a.cz", "text": RUSSIAN}
    assert pages.of(**told, element="sr-Latn") == PageLanguage("sr", sure=True)
    assert pages.of(**told, element=" ") == pages.of(**told)


def test_menus_in_another_script_say_nothing_of_a_text(pages):
    half = "Home About us Contact Products Services Our customers Privacy policy Sitemap " * 5
    told = {**BLANK, "text": half + RUSSIAN}
    assert pages.of(**told, script="Cyrl") == PageLanguage("ru", sure=True)
    assert pages.of(**told, script="Latn").code == "en"


@pytest.mark.parametrize("switch", ["Ћирилица", "ћир | lat", "Ćirilica"])
def test_way_to_the_twin_page_is_evidence_of_serbian(pages, switch):
    assert pages.written(f"{switch} {UNTOLD}", "Latn") == "sr"


def test_ijekavian_words_outweigh_the_way_to_a_twin_page(pages):
    text = "Latinica. " + " ".join(CAPTIONS["confusers"]["hr"])
    assert pages.written(text, "Latn") == "hr"
