"""Duplicates: one row stays of those that show the same image in the same language."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mella.builders.curate.duplicates import DuplicatesParams, duplicates_step
from stepping import apply, reasons

STEP = duplicates_step(DuplicatesParams())


def row(sha256, lang, text, id):  # noqa: A002  (the name of the column)
    return {"sha256": sha256, "lang": lang, "text": text, "id": id}


def test_the_longest_text_is_kept_and_of_these_the_smallest_id():
    rows = [
        row("a", "th", "วัดอรุณ", "1"),
        row("a", "th", "วัดอรุณราชวราราม", "3"),
        row("a", "th", "วัดอรุณราชวรารามฯ"[:-1], "2"),
        row("b", "th", "วัด", "4"),
    ]
    assert reasons(apply(STEP, rows)) == ["duplicate:image", "duplicate:image", None, None]


def test_an_image_may_be_described_in_several_languages():
    rows = [
        row("a", "th", "วัด", "1"),
        row("a", "vi", "chùa", "2"),
        row("a", "vi", "ngôi chùa", "3"),
    ]
    assert reasons(apply(STEP, rows)) == [None, "duplicate:image", None]


def test_the_texts_of_the_others_are_remembered():
    rows = [
        row("a", "cs", "Karlův most", "1"),
        row("a", "cs", "Karlův most za svítání", "2"),
        row("a", "cs", "Karlův most", "3"),
        row("a", "cs", "Karlův most za svítání", "4"),
        row("a", "cs", "most", "5"),
        row("b", "cs", "Pražský hrad", "6"),
    ]
    made = [one["other_texts"] for one in apply(STEP, rows)]
    assert made == [[], ["Karlův most", "most"], [], [], [], []]


def test_of_equal_texts_the_surer_language_is_kept():
    rows = [{**row("a", "sr", "Авала", f"{n}"), "language_score": n / 4} for n in (1, 3, 2)]
    assert reasons(apply(STEP, rows)) == ["duplicate:image", None, "duplicate:image"]


def test_where_origins_are_known_the_alt_is_kept():
    rows = [
        {**row("a", "sr", "Авала у зору", "1"), "text_origin": "title"},
        {**row("a", "sr", "Авала о зими", "2"), "text_origin": "alt"},
    ]
    step = duplicates_step(DuplicatesParams(), origins=True)
    assert reasons(apply(step, rows)) == ["duplicate:image", None]
    assert reasons(apply(STEP, rows)) == [None, "duplicate:image"]


ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["th", "vi"]), st.text(max_size=3)),
    max_size=12,
).map(lambda some: [row(*one, f"{number}") for number, one in enumerate(some)])


@given(ROWS, st.randoms(use_true_random=False))
def test_which_row_is_kept_does_not_depend_on_the_order(rows, chance):
    shuffled = chance.sample(rows, len(rows))

    def kept(some):
        made = zip(some, reasons(apply(STEP, some)), strict=True)
        return {one["id"] for one, reason in made if reason is None}

    assert kept(shuffled) == kept(rows)
    per_cell = Counter((one["sha256"], one["lang"]) for one in rows if one["id"] in kept(rows))
    assert per_cell == Counter({(one["sha256"], one["lang"]) for one in rows})


def test_thousands_of_copies_leave_one():
    rows = [row("a", "ru", "Кижи", f"{number:05d}") for number in range(3000)]
    random.Random(1).shuffle(rows)
    made = reasons(apply(STEP, rows))
    (kept,) = [one["id"] for one, reason in zip(rows, made, strict=True) if reason is None]
    assert kept == "00000"
