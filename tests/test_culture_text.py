"""Choosing and judging the texts of candidates: each rule on real texts in every language."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from culture_text_cases import KEPT, REJECTED
from mella.builders.culture import text_rules as rules
from mella.builders.culture.boilerplate import BOILERPLATE, DATE_WORDS
from mella.builders.culture.text import (
    READS,
    TextParams,
    choose,
    clean,
    count_graphemes,
    is_image_name,
    judge,
    text_step,
    without_site_name,
)
from mella.languages import languages

CAPTIONS = json.loads(
    (Path(__file__).parent / "data" / "captions_by_language.json").read_text("utf-8")
)
GOOD = [text for texts in CAPTIONS["targets"].values() for text in texts]


def cases(table):
    return [
        pytest.param(rule, text, id=f"{rule.__name__}-{text}")
        for rule, texts in table.items()
        for text in texts
    ]


@pytest.mark.parametrize(("rule", "text"), cases(REJECTED))
def test_rule_rejects(rule, text):
    assert rule(clean(text))


@pytest.mark.parametrize(("rule", "text"), cases(KEPT))
def test_rule_keeps(rule, text):
    assert not rule(clean(text))


@pytest.mark.parametrize(("rule", "text"), cases(REJECTED))
def test_the_reason_is_that_of_the_rule(rule, text):
    name = {rule: name for name, rule in rules.RULES}[rule]
    assert judge(clean(text), None, TextParams()) == name


def test_entities_escaped_three_times_are_markup():
    assert judge(clean("Praha&amp;amp;nbsp;v noci"), None, TextParams()) == "text:markup"


def test_every_rule_has_both_kinds_of_cases():
    assert {rule for _, rule in rules.RULES} == REJECTED.keys() == KEPT.keys()


@pytest.mark.parametrize("text", GOOD)
def test_native_captions_pass_all_rules(text):
    assert judge(clean(text), None, TextParams()) is None


def test_every_language_has_boilerplate_and_dates():
    assert BOILERPLATE.keys() == DATE_WORDS.keys() == {"en", *languages()}
    for phrases in BOILERPLATE.values():
        assert all(phrase == clean(phrase).casefold() for phrase in phrases)


@pytest.mark.parametrize("phrase", [p for phrases in BOILERPLATE.values() for p in phrases])
def test_every_boilerplate_phrase_is_found_with_a_number_and_in_capitals(phrase):
    assert rules.is_boilerplate(f"{phrase.upper()} 7")


@pytest.mark.parametrize(
    ("text", "graphemes"),
    [("김치", 2), ("ต้มยำกุ้ง", 5), ("Phở bò", 6), ("👩‍👩‍👧 ok", 4), ("e\u0301", 1)],
)
def test_graphemes_are_what_a_reader_counts(text, graphemes):
    assert count_graphemes(text) == graphemes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hrad", "text:too_short"),
        ("hrady", None),
        ("경복궁", None),
        ("김치", "text:too_short"),
        ("مسجد", None),
        ("ช้าง", "text:too_short"),
        ("ข้าวผัด", None),
        ("故宫", None),
        ("a 1 2 3 4 5 6", "text:too_short"),
        ("Kočka " + "leze dírou, pes oknem; " * 60, "text:too_long"),
        ("Za\u0300\u0301\u0302\u0303\u0304" * 900, "text:too_long"),
    ],
)
def test_length_is_judged_by_script(text, reason):
    assert judge(clean(text), None, TextParams()) == reason


def test_minimum_by_script_is_a_parameter():
    assert judge("김치", None, TextParams(min_by_script=(("Hang", 2),))) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ""),
        ("  Karl&uring;v\xa0most \n", "Karlův most"),
        ("Kiss &amp;amp; Co", "Kiss & Co"),
        ("&amp;amp;amp;", "&amp;"),
        ("Za\u0301mek", "Zámek"),
    ],
)
def test_clean(raw, expected):
    assert clean(raw) == expected


@pytest.mark.parametrize(
    ("text", "url", "expected"),
    [
        ("Hanoi Old Quarter", "https://a.vn/u/Hanoi-Old-Quarter.jpg", True),
        ("praha hrad", "https://a.cz/praha_hrad.png?w=3", True),
        ("praha hrad", "https://a.cz/praha%20hrad.png", True),
        ("Praha hrad", "https://a.cz/praha-hrad.png", False),
        ("วัดพระแก้ว", "https://a.th/วัดพระแก้ว.jpg", False),
        ("Pražský hrad", "https://a.cz/Pražský-hrad.jpg", False),
        ("Pražský hrad", None, False),
        ("Pražský hrad", "http://[broken", False),
    ],
)
def test_image_name(text, url, expected):
    assert is_image_name(text, url) is expected


def test_site_name_beside_boilerplate():
    url = "https://www.novinky.cz/static/l.png"
    assert without_site_name("Logo Novinky", url) == "Logo"
    assert judge("Logo Novinky", url, TextParams()) == "text:boilerplate"
    assert judge("Logo Novinky", "https://jinde.cz/l.png", TextParams()) is None


def run(*rows, params=None):
    step = text_step(params or TextParams())
    table = pa.Table.from_pylist(list(rows), schema=READS)
    return pa.concat_tables(step.apply(table, None)).to_pylist()


def test_first_good_text_is_chosen_and_the_first_reason_kept():
    good = "Karlův most za ranní mlhy"
    rows = run(
        {"alt": good, "caption": "Foto z výletu", "title": None},
        {"alt": "IMG_2034", "caption": good, "title": "Praha v mlze"},
        {"alt": "", "caption": " \u200b", "title": good},
        {"alt": None, "caption": "logo", "title": "300x250"},
        {"alt": None, "caption": None, "title": None},
    )
    assert rows == [
        {"text": good, "text_origin": "alt", "reason": None},
        {"text": good, "text_origin": "figcaption", "reason": None},
        {"text": good, "text_origin": "title", "reason": None},
        {"text": "logo", "text_origin": "figcaption", "reason": "text:boilerplate"},
        {"text": None, "text_origin": None, "reason": "text:none"},
    ]


def test_a_native_caption_goes_before_a_foreign_alt():
    row = {"alt": "Samsung Galaxy S24", "caption": "삼성 갤럭시 S24 후면 카메라"}
    assert run(row)[0]["text_origin"] == "alt"
    native = TextParams(scripts=("Hang",))
    assert run(row, params=native)[0]["text_origin"] == "figcaption"
    assert run({"alt": row["alt"]}, params=native)[0]["reason"] == "text:script"


def test_an_empty_batch_gives_an_empty_table():
    assert run() == []


@given(st.lists(st.tuples(*[st.none() | st.text(max_size=60)] * 4), max_size=8))
def test_any_input_gives_a_text_or_a_reason(rows):
    names = READS.names
    for row in run(*(dict(zip(names, row, strict=True)) for row in rows)):
        assert (row["text"] is None) == (row["text_origin"] is None)
        assert row["reason"] is None or row["reason"].startswith("text:")
        assert row["text"] is not None or row["reason"] == "text:none"
        if row["text"] is not None:
            assert row["text"] == clean(row["text"]) or "&" in row["text"]


@given(st.text(max_size=80))
def test_what_was_chosen_is_chosen_again(raw):
    text, _, reason = choose((("alt", raw),), None, TextParams())
    if text is not None and reason is None and "&" not in text:
        assert choose((("alt", text),), None, TextParams()) == (text, "alt", None)
