"""Categories: the taxonomy, the terms of the eight languages, and the step."""

from pathlib import Path

import pyarrow as pa
import pytest

from mella.builders.curate.categories.lexicon import Lexicon, lexicon
from mella.builders.curate.categories.step import (
    WRITES,
    CategoriseError,
    CategoriseParams,
    categorise_step,
)
from mella.builders.curate.categories.taxonomy import categories, read_taxonomy, taxonomy_table
from mella.languages import languages

DOCS = Path(__file__).parent.parent / "docs" / "categories.md"
CODES = list(languages())


def find(lang, text):
    terms = lexicon(lang)
    assert terms is not None
    return terms.find(text)


def test_taxonomy_has_two_levels_each_defined_in_one_line():
    assert len(read_taxonomy()) >= 16
    for group in read_taxonomy():
        assert 2 <= len(group.categories) <= 8
        for one in group.categories:
            assert one.about.endswith(".")
            assert "\n" not in one.about
            assert one.prompts


def test_docs_show_the_taxonomy():
    assert taxonomy_table() in DOCS.read_text("utf-8")


@pytest.mark.parametrize("lang", CODES)
def test_every_class_has_terms_in_every_language(lang):
    there = {term.category for terms in Lexicon(lang).terms.values() for term in terms}
    assert set(categories()) == there - {None}


@pytest.mark.parametrize(
    ("lang", "text", "category"),
    [
        ("ar", "المسجد الأموي في دمشق", "religion/building"),
        ("ar", "طبق من الكبسة بالدجاج", "food/dish"),
        ("ar", "وبالقلعةِ القديمة", "architecture/castle"),
        ("ar", "مدرستها الجديدة", "daily/school"),
        ("cs", "Děvčata v moravských krojích", "dress/costume"),
        ("cs", "Zřícenina hradu nad řekou", "architecture/castle"),
        ("cs", "Na mostě", "architecture/bridge"),
        ("hu", "Gulyás bográcsban", "food/dish"),
        ("hu", "Kalocsai hímzéssel díszített terítő", "craft/textile"),
        ("hu", "A templomainkból", "religion/building"),
        ("ko", "한복을 입은 소녀", "dress/costume"),
        ("ko", "맛있는 김치찌개", "food/soup"),
        ("ko", "불국사의 석탑", "religion/building"),
        ("ru", "Девушка в сарафане", "dress/costume"),
        ("ru", "Тарелка борща", "food/soup"),
        ("ru", "Деревянные матрёшки", "sport/game"),
        ("sr", "Манастир Студеница", "religion/building"),
        ("sr", "Manastir Studenica", "religion/building"),
        ("sr", "Младић у опанцима", "dress/costume"),
        ("th", "ต้มยำกุ้งน้ำข้น", "food/soup"),
        ("th", "พิธีลอยกระทงที่สุโขทัย", "festival/holiday"),
        ("th", "ผ้าไหมมัดหมี่", "craft/textile"),
        ("vi", "Thiếu nữ mặc áo dài", "dress/costume"),
        ("vi", "Một tô phở bò", "food/dish"),
        ("vi", "Tết Trung thu ở Hoà Bình", "festival/holiday"),
    ],
)
def test_realistic_captions(lang, text, category):
    found = find(lang, text)
    assert found.category == category
    assert found.score is not None
    assert 0 < found.score <= 1


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("ar", "تقرير حول نتائج الربع الأول"),
        ("cs", "Graficky nevýznamné sdělení"),
        ("hu", "Az eredmények összefoglalása"),
        ("ko", "분기별 결과 요약"),
        ("ru", "Результаты опроса за квартал"),
        ("sr", "Резултати истраживања"),
        ("th", "สรุปผลประจำไตรมาส"),
        ("vi", "Kết quả quý một"),
    ],
)
def test_captions_without_a_term_have_no_category(lang, text):
    assert find(lang, text).category is None


def test_what_is_general_yields_to_what_is_not():
    assert find("ko", "소녀").category == "people/person"
    assert find("ko", "소녀와 가야금").category == "music/instrument"


def test_short_thai_terms_are_not_found_inside_words():
    assert find("th", "นก").category == "animals/bird"
    assert find("th", "คนกลาง").category is None


def test_languages_without_terms_have_no_category():
    assert lexicon("en") is None


def run(params, rows):
    step = categorise_step(params)
    (out,) = step.apply(pa.Table.from_pylist(rows, schema=step.reads), None)
    return out


def test_step_writes_category_score_and_origin():
    rows = [
        {"text": "한복", "lang": "ko"},
        {"text": "요약", "lang": "ko"},
        {"text": "a hanbok", "lang": "en"},
        {"text": None, "lang": "ko"},
    ]
    out = run(CategoriseParams(), rows)
    assert out.schema == WRITES
    assert out.to_pylist()[0] == {
        "category": "dress/costume",
        "category_score": 1.0,
        "category_origin": "text",
    }
    assert out["category"].to_pylist()[1:] == [None] * 3
    assert out["category_origin"].to_pylist()[1:] == [None] * 3


def test_none_writes_nulls():
    out = run(CategoriseParams(backend="none"), [{"text": "한복", "lang": "ko"}])
    assert out.to_pylist() == [dict.fromkeys(WRITES.names)]


def test_image_needs_the_model_of_align():
    with pytest.raises(CategoriseError, match=r"\[align\]"):
        categorise_step(CategoriseParams(backend="image"))
    with pytest.raises(ValueError, match="lexical"):
        CategoriseParams(backend="pictures")  # type: ignore[arg-type]
