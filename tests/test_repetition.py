"""Texts that are all over a site: by image, by page, and with a number that changes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.repetition import RepetitionParams, repetition_step
from stepping import apply, reasons

SITE_WIDE = "repetition:site_wide"
STEP = repetition_step(RepetitionParams(max_images=3, max_pages=4, max_numbered=5))

TEMPLATES = {
    "ar": ("صورة مرافقة للخبر", "صورة رقم ٣ من المعرض"),
    "cs": ("Foto k dnešnímu článku", "Snímek 12 z galerie zámku"),
    "hu": ("Fotó a mai cikkhez", "12. kép a galériából"),
    "ko": ("오늘 기사의 사진입니다", "행사 사진 12번"),
    "ru": ("Фотография к новости дня", "Снимок 12 из галереи"),
    "sr": ("Слика уз данашњу вест", "Фотографија 12 из галерије"),
    "th": ("ภาพประกอบข่าววันนี้", "ภาพที่ ๑๒ จากงานเทศกาล"),
    "vi": ("Ảnh kèm theo bài viết hôm nay", "Ảnh số 12 trong bộ sưu tập"),
}


def use(text, image, page=0, domain="a.cz"):
    return {
        "domain": domain,
        "page_url": f"https://{domain}/{page}",
        "image_url": f"https://{domain}/i/{image}.jpg",
        "text": text,
    }


@pytest.mark.parametrize("text", [one for one, _ in TEMPLATES.values()])
def test_one_text_for_many_images_is_site_wide(text):
    rows = [use(text, image) for image in range(4)]
    assert reasons(apply(STEP, rows)) == [SITE_WIDE] * 4
    assert reasons(apply(STEP, rows[:3])) == [None] * 3


@pytest.mark.parametrize("text", [one for one, _ in TEMPLATES.values()])
def test_one_picture_on_many_pages_is_site_wide(text):
    rows = [use(text, "one", page) for page in range(5)]
    assert reasons(apply(STEP, rows)) == [SITE_WIDE] * 5
    assert reasons(apply(STEP, rows[:4])) == [None] * 4


@pytest.mark.parametrize("text", [one for _, one in TEMPLATES.values()])
def test_texts_that_differ_in_their_numbers_alone_are_one(text):
    def numbered(number):
        return "".join(str(number) if char.isdecimal() else char for char in text)

    rows = [use(numbered(number), number) for number in range(6)]
    assert reasons(apply(STEP, rows)) == [SITE_WIDE] * 6
    assert reasons(apply(STEP, rows[:5])) == [None] * 5


def test_letter_case_and_punctuation_make_no_other_text():
    written = ["Zámek v zimě", "ZÁMEK V ZIMĚ", "Zámek, v zimě!", "„zámek v zimě“"]
    assert reasons(apply(STEP, [use(text, n) for n, text in enumerate(written)])) == [SITE_WIDE] * 4


def test_a_thousand_captions_of_one_site_are_kept():
    rows = [use(f"Zámek {chr(0x4E00 + n)}", n) for n in range(1000)]
    assert reasons(apply(STEP, rows)) == [None] * 1000


def test_the_same_caption_on_many_sites_is_kept():
    rows = [use("Karlův most", n, domain=f"{n}.cz") for n in range(9)]
    assert reasons(apply(STEP, rows)) == [None] * 9


def test_years_of_a_few_maps_are_kept():
    rows = [use(f"Mapa Prahy z roku {year}", year) for year in (1650, 1720, 1816, 1891)]
    assert reasons(apply(STEP, rows)) == [None] * 4


def test_a_domain_or_an_image_may_be_unknown():
    rows = [use("Karlův most", n) | {"domain": None} for n in range(4)]
    assert reasons(apply(STEP, rows)) == [SITE_WIDE] * 4
    rows = [use("Karlův most", n) | {"image_url": None, "text": None} for n in range(9)]
    assert reasons(apply(STEP, rows)) == [None] * 9


def test_an_empty_batch_gives_an_empty_table():
    assert apply(STEP, []) == []


@pytest.mark.parametrize("name", ["max_images", "max_pages", "max_numbered"])
def test_a_limit_of_none_is_refused(name):
    with pytest.raises(ValueError, match=name):
        RepetitionParams(**{name: 0})


ROWS = st.lists(
    st.builds(
        use,
        st.sampled_from(["Praha 1", "Praha 2", "praha", "วัด", ""]),
        st.integers(0, 6),
        st.integers(0, 6),
        st.sampled_from(["a.cz", "b.th"]),
    ),
    max_size=40,
)


@given(ROWS, st.randoms(use_true_random=False))
def test_which_rows_are_rejected_does_not_depend_on_the_order(rows, chance):
    order = chance.sample(range(len(rows)), len(rows))
    made = reasons(apply(STEP, rows))
    assert reasons(apply(STEP, [rows[n] for n in order])) == [made[n] for n in order]


def test_a_large_site_is_judged_in_one_call():
    chance = random.Random(3)
    rows = [
        use(chance.choice(["logo", f"Obraz {chr(0x4E00 + n)}"]), n, n % 700) for n in range(5000)
    ]
    made = reasons(apply(STEP, rows))
    assert [row["text"] == "logo" for row in rows] == [reason is not None for reason in made]
