"""Choosing and judging the texts of candidates: each rule on real texts in every language."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from culture_text_cases import KEPT, REJECTED
from culture_text_languages import BY_LANGUAGE
from mella.builders.culture.text import rules
from mella.builders.culture.text.boilerplate import BOILERPLATE, DATE_WORDS
from mella.builders.culture.text.step import (
    READS,
    TextParams,
    choose,
    clean,
    count_graphemes,
    is_image_name,
    judge,
    text_step,
    with_unsafe_files,
    without_site_name,
)
from mella.builders.culture.text.unsafe import UnsafeTermsError
from mella.languages import languages
from mella.text import normalise

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
    assert rule(normalise(text))


@pytest.mark.parametrize(("rule", "text"), cases(KEPT))
def test_rule_keeps(rule, text):
    assert not rule(normalise(text))


def by_language(kind):
    return [
        pytest.param(rule, text, id=f"{rule.__name__}-{code}-{text}")
        for rule, codes in BY_LANGUAGE.items()
        for code, kinds in codes.items()
        for text in kinds[kind]
    ]


@pytest.mark.parametrize(("rule", "text"), by_language(0))
def test_rule_rejects_in_every_language(rule, text):
    assert rule(clean(text))


@pytest.mark.parametrize(("rule", "text"), by_language(1))
def test_rule_keeps_in_every_language(rule, text):
    assert not rule(clean(text))


def test_rules_that_go_by_words_have_cases_in_every_language():
    for codes in BY_LANGUAGE.values():
        assert codes.keys() == set(languages())
        assert all(rejected and kept for rejected, kept in codes.values())


@pytest.mark.parametrize(("rule", "text"), cases(REJECTED))
def test_the_reason_is_that_of_the_rule(rule, text):
    name = {rule: name for name, rule in rules.RULES}[rule]
    assert judge(normalise(text), None, TextParams()) == name


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


ORIGINS = {
    "alt": "Karlův most za ranní mlhy",
    "caption": "Zámek v Českém Krumlově",
    "aria_label": "Vinice nad Mikulovem",
    "structured_text": "Rybník v podzimním listí",
    "og_alt": "Kostel na kopci nad vsí",
    "title": "Tramvaj na nábřeží Vltavy",
    "heading": "Výlet do Krkonoš s dětmi",
    "paragraph": "Ráno jsme vyšli z chalupy",
}


def test_origins_are_tried_in_the_order_of_the_recipe():
    by_default = ["alt", "figcaption", "aria_label", "json_ld", "og_alt", "title"]
    left, found = dict(ORIGINS), []
    while (row := run(left)[0])["text"]:
        found.append(row["text_origin"])
        del left[{text: column for column, text in ORIGINS.items()}[row["text"]]]
    assert found == by_default
    near = TextParams(origins=("paragraph", "heading"))
    assert run(ORIGINS, params=near)[0]["text_origin"] == "paragraph"
    assert run({"heading": ORIGINS["heading"]}, params=near)[0]["text_origin"] == "heading"
    assert run({"heading": ORIGINS["heading"]})[0]["reason"] == "text:none"


@pytest.mark.parametrize("origins", [(), ("alt", "alt"), ("alt", "caption")])
def test_origins_are_known_ones_each_once(origins):
    with pytest.raises(ValueError, match="origins"):
        TextParams(origins=origins)


def test_broken_characters_are_repaired_before_the_text_is_judged():
    assert run({"alt": "KarlÅ¯v most za rannÃ\xad mlhy"})[0] == {
        "text": "Karlův most za ranní mlhy",
        "text_origin": "alt",
        "reason": None,
    }
    assert run({"alt": "Erdõk és mezõk", "page_lang": "hu"})[0]["text"] == "Erdők és mezők"
    assert run({"alt": "Erdõk és mezõk"})[0]["text"] == "Erdõk és mezõk"
    assert run({"alt": "Most \x9b v mlze"})[0]["reason"] == "text:mojibake"


def test_what_a_reader_does_not_see_rejects_or_goes():
    good = "Karlův most za mlhy"
    rows = run(
        {"alt": f"\u202e{good[::-1]}\u202c"},
        {"alt": f"{good}\U000e0068\U000e0069"},
        {"alt": "Kar\u200dlův \u2066most\u2069 za mlhy\u200f"},
        {"alt": "بازار کتاب\u200cها در تهران"},
    )
    assert [row["reason"] for row in rows] == ["text:bidi", "text:hidden", None, None]
    assert [row["text"] for row in rows[2:]] == [good, "بازار کتاب\u200cها در تهران"]


def test_personal_data_is_rejected_or_masked():
    text = "Babička prodává med, tel. 222 555 019, na trhu v Brně"
    assert run({"alt": text})[0]["reason"] == "text:personal_data"
    masked = run({"alt": text}, params=TextParams(personal_data="mask"))[0]
    assert masked["text"] == "Babička prodává med, tel. […], na trhu v Brně"
    assert masked["reason"] is None
    nothing_left = run({"alt": "+420 222 555 019"}, params=TextParams(personal_data="mask"))[0]
    assert nothing_left["reason"] == "text:no_letters"
    with pytest.raises(ValueError, match="personal_data"):
        TextParams(personal_data="hide")  # type: ignore[arg-type]


def test_a_recipe_adds_unsafe_terms_of_its_own(tmp_path):
    text = "Bublifuk nad rybníkem"
    assert run({"alt": text})[0]["reason"] is None
    assert run({"alt": text}, params=TextParams(unsafe_terms=("bublifu*",)))[0]["reason"] == (
        "text:unsafe"
    )
    (tmp_path / "terms.txt").write_text("# toys\nbublifu*\n\nrybník  # and ponds\n", "utf-8")
    listed = TextParams(unsafe_files=("terms.txt",), unsafe_terms=("rybník",))
    read = with_unsafe_files(listed, [tmp_path / "terms.txt"])
    assert read == TextParams(unsafe_terms=("rybník", "bublifu*"))
    assert run({"alt": text}, params=read)[0]["reason"] == "text:unsafe"
    with pytest.raises(ValueError, match="with_unsafe_files"):
        text_step(listed)
    with pytest.raises(UnsafeTermsError, match=r"none\.txt"):
        with_unsafe_files(listed, [tmp_path / "none.txt"])
    with pytest.raises(ValueError, match="no unsafe term"):
        TextParams(unsafe_terms=("*",))


def test_an_empty_batch_gives_an_empty_table():
    assert run() == []


@given(st.lists(st.tuples(*[st.none() | st.text(max_size=60)] * 4), max_size=8))
def test_any_input_gives_a_text_or_a_reason(rows):
    names = ("alt", "aria_label", "image_url", "page_lang")
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
