"""Unsafe terms, and the innocent words that look like them. The terms stay in their data file."""

import tomllib
from pathlib import Path

import pytest

from mella.builders.culture.text import unsafe
from mella.builders.culture.text.step import TextParams, clean, judge
from mella.builders.culture.text.unsafe import UnsafeTermsError, read_terms, unsafe_terms
from mella.languages import languages

TERMS = tomllib.loads((Path(unsafe.__file__).parent / "unsafe_terms.toml").read_text("utf-8"))
ENDINGS = {
    "ar": "ات",
    "cs": "ovém",
    "en": "s",
    "hu": "ában",
    "ko": "에서",
    "ru": "ами",
    "sr": "ima",
}
INNOCENT = {
    "ar": ["ولاية سكسونيا السفلى", "ولاية بورنو في نيجيريا", "كأس العالم", "ذبح الأضحية في العيد"],
    "cs": ["Rákosník v rákosí", "Sklenice Negroni", "Zatáčka zvaná Kurvenbahn", "Šukovský rybník"],
    "en": ["Sex Pistols in 1976", "Moro front MILF at talks", "Scunthorpe", "Pornic in France"],
    "hu": ["Faszén a grillen", "Buziásfürdő parkja", "Köcsög a polcon", "Gecsei templom"],
    "ko": ["떡치기 체험을 하는 아이들", "시발자동차", "병신년 달력", "보지 못한 풍경", "색소폰"],
    "ru": ["Хуэйцы у мечети", "Жидкий азот", "Хачкар из Гошаванка", "Гребля на озере", "Трахея"],
    "sr": ["Kurs plivanja", "Plaža na Baliju", "Džebel Ali", "Kokot i kokoška", "Курир на бициклу"],
    "th": ["กะหรี่ปั๊บสระบุรี", "หีบเหล็กโบราณ", "เหี้ยมหาญนักรบ", "เย็นตาโฟ", "สัตว์ป่าเขาใหญ่"],
    "vi": ["Trang bìa Làm đĩ của Vũ Trọng Phụng", "Trẻ lớn lên", "Buổi sáng", "Chích ngừa"],
}  # fmt: skip


def test_every_language_has_terms_and_innocent_words():
    assert TERMS.keys() == INNOCENT.keys() == {"en", *languages()}


@pytest.mark.parametrize("code", TERMS)
def test_every_term_is_found_in_a_sentence(code):
    found = unsafe_terms().found_in
    for kinds in TERMS[code].values():
        for term in kinds:
            assert found(clean(f"… {term.replace('*', '')}, 12"))
            if code != "th":
                whole = " ".join(
                    word[:-1] + ENDINGS.get(code, "") if word.endswith("*") else word
                    for word in term.split()
                )
                assert found(clean(f"Foto: {whole.upper()} 12"))


@pytest.mark.parametrize("text", [text for texts in INNOCENT.values() for text in texts])
def test_innocent_words_are_kept(text):
    assert judge(clean(text), None, TextParams()) != "text:unsafe"


def test_a_term_is_a_whole_word_or_the_beginning_of_one():
    terms = unsafe_terms(("hrozn*", "zlo", "velmi zl*"))
    assert terms.found_in("Hroznový list")
    assert terms.found_in("velmi zlého psa")
    assert not terms.found_in("Ohrozná zlost")
    assert not terms.found_in("velmi, hodný")


def test_serbian_terms_are_found_in_both_scripts():
    terms = [term for some in TERMS["sr"].values() for term in some]
    found = unsafe_terms().found_in
    for term in terms:
        _, cyrillic = unsafe._in_both_scripts(term.replace("*", ""))
        assert not any("a" <= char <= "z" for char in cyrillic)
        assert found(cyrillic)


def test_arabic_is_found_behind_its_prefixes_and_without_its_signs():
    found = unsafe_terms(("نبيذ",)).found_in
    assert all(found(text) for text in ("والنبيذ", "نَبِيذ", "للنبيذ", "بنبيذ", "نـبـيـذ"))
    assert not found("منبيذ")


def test_russian_is_found_with_and_without_the_dots():
    found = unsafe_terms(("мёд*",)).found_in
    assert found("Медовый рынок")
    assert found("Мёд")


@pytest.mark.parametrize("term", ["", "*", "a", "a*", "!?"])
def test_what_could_be_found_anywhere_is_no_term(term):
    with pytest.raises(UnsafeTermsError, match="no unsafe term"):
        unsafe_terms((term,))


def test_files_of_terms(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffzlo*\r\nzlo* # again\n\n# remark\nvelmi zlý".encode())
    assert read_terms([tmp_path / "a.txt", tmp_path / "a.txt"]) == ("zlo*", "velmi zlý")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UnsafeTermsError, match=r"b\.txt is no list of terms"):
        read_terms([tmp_path / "b.txt"])
    (tmp_path / "c.txt").write_text("x")
    with pytest.raises(UnsafeTermsError, match="'x' is no unsafe term"):
        read_terms([tmp_path / "c.txt"])
