"""Broken characters: repaired where that is certain, else rejected, and never made worse."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.text.mojibake import is_mojibake, repair

WRITTEN = {
    "ar": "القاهرة القديمة",
    "cs": "Žluťoučký kůň u Karlova mostu",
    "hu": "Árvíztűrő tükörfúrógép",
    "ko": "경복궁의 봄 풍경",
    "ru": "Красная площадь в Москве",
    "sr": "Ђоковић у Београду",
    "sr-latn": "Ćevapčići na žaru u Čačku",
    "th": "วัดพระแก้ว กรุงเทพ",
    "vi": "Phở bò Hà Nội",
}
CAPTIONS = json.loads(
    (Path(__file__).parent / "data" / "captions_by_language.json").read_text("utf-8")
)
REAL = [text for group in ("targets", "confusers") for some in CAPTIONS[group].values()
        for text in some]  # fmt: skip
CODE_PAGES = ("cp1250", "cp1251", "cp1252", "cp1256", "cp874")


def misread(text, written_in, read_as):
    """Decode as browsers do: a byte that the code page lacks stands for itself."""

    def char(byte):
        try:
            return bytes([byte]).decode(read_as)
        except UnicodeDecodeError:
            return chr(byte)

    return "".join(map(char, text.encode(written_in)))


@pytest.mark.parametrize("read_as", ["cp1250", "cp1251", "cp1252"])
@pytest.mark.parametrize("language", WRITTEN)
def test_utf8_that_was_read_as_a_code_page_is_repaired(language, read_as):
    once = misread(WRITTEN[language], "utf-8", read_as)
    assert repair(once) == WRITTEN[language]
    assert repair(misread(once, "utf-8", "cp1252")) == WRITTEN[language]


@pytest.mark.parametrize(
    ("language", "written_in"),
    [
        ("ru", "cp1251"),
        ("ru", "koi8-r"),
        ("sr", "cp1251"),
        ("ar", "cp1256"),
        ("th", "tis-620"),
        ("ko", "euc-kr"),
        ("cs", "cp1250"),
        ("cs", "iso8859-2"),
        ("hu", "cp1250"),
        ("sr-latn", "cp1250"),
    ],
)
def test_a_code_page_that_was_read_as_latin_1_is_repaired(language, written_in):
    assert repair(misread(WRITTEN[language], written_in, "cp1252"), language) == WRITTEN[language]


@pytest.mark.parametrize("language", [None, *WRITTEN])
def test_good_texts_are_left_alone(language):
    for text in [*REAL, *WRITTEN.values()]:
        assert repair(text, language) == text
        assert not is_mojibake(text)


@pytest.mark.parametrize(
    "text", ["สุนัข", "หูฟัง", "กุ้งทอด", "บันไดปีน", "โดนัท", "ไขควง", "เคบับ", "เธอกำลังเดินทาง"]
)
def test_thai_words_whose_letters_are_also_bytes_of_utf8_are_left_alone(text):
    assert repair(text) == text
    assert not is_mojibake(text)


@pytest.mark.parametrize("language", ["ar", "cs", "ko", "ru", "th", "vi"])
def test_utf8_that_was_read_as_thai_is_repaired(language):
    assert repair(misread(WRITTEN[language], "utf-8", "cp874")) == WRITTEN[language]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Luís de Camões", "hu"),  # one letter that Hungarian lacks is a name
        ("Molière a Noël", "cs"),
        ("Erdõk és mezõk", None),  # Estonian or Hungarian: the page does not say
        ("CAFÉ… À côté", "sr-latn"),
        ("Søndagsåpent kjøpesenter", "no"),
        ("Œuvre de Gérôme", "hu"),
    ],
)
def test_what_may_be_meant_is_left_alone(text, language):
    assert repair(text, language) == text


@pytest.mark.parametrize(
    "text",
    [
        "Karl\ufffdv most",
        "??????? ????????",
        "Êðàñíàÿ ÏëÎùÀäÜ ÌîÑêâÅ",  # capitals that no Russian writes
        "KarlÅ¯v most — ÄŒeskÃ½ Krumlov… Å",  # cut in the middle of a letter
    ],
)
def test_what_cannot_be_repaired_is_found(text):
    assert is_mojibake(repair(text))


def test_no_code_page_makes_another_text_of_a_real_one():
    """A repair that is not sure of itself would be worse than none."""
    wrong, right = [], 0
    for text in REAL:
        for written_in in ("cp1250", "cp1251", "koi8-r", "cp1256", "tis-620"):
            try:
                broken = misread(text, written_in, "cp1252")
            except UnicodeEncodeError:
                continue
            made = repair(broken)
            if made not in (text, broken):
                wrong.append((broken, made, text))
            right += made == text != broken
    assert not wrong
    assert right > 60


@given(st.text(max_size=40), st.sampled_from(CODE_PAGES), st.sampled_from([None, "cs", "hu"]))
def test_repairing_ends_with_a_text(text, read_as, language):
    for raw in (text, misread(text.encode("utf-8", "ignore").decode(), "utf-8", read_as)):
        assert isinstance(repair(raw, language), str)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_never_changed(text):
    assert repair(text, "hu") == text
