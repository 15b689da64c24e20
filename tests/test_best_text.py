"""The best text: long enough, from the right place."""

import pytest

from mella.builders.curate.best_text import TextChoice, length, text_rank

CHOICE = TextChoice(enough=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("2024 — 15 %", 0),
        ("Pražský hrad", 11),
        ("Pra\u030czský", 7),  # a letter with its mark is one
        ("Ðà Nẵng", 6),
        ("น้ำตก", 3),  # vowels and tones above and below are of their consonant
        ("الْقَاهِرَة", 7),
        ("경복궁", 6),
        ("景福宮", 6),
        ("경복궁 palác", 11),
    ],
)
def test_length_is_in_signs_as_a_reader_sees_them(text, expected):
    assert length(text) == expected


def test_the_longer_text_ranks_first_up_to_enough():
    short, long, endless = (text_rank("a" * n, "alt", CHOICE) for n in (5, 20, 900))
    assert long < short
    assert endless == long


def test_of_equally_long_ones_the_origin_decides():
    origins = ["alt", "figcaption", "aria_label", "json_ld", "og_alt", "title", "heading", None]
    ranks = [text_rank("Kazbegi", origin, CHOICE) for origin in origins]
    assert ranks == sorted(ranks)
    assert len({*ranks}) == len(ranks)
    assert text_rank("Kazbegi", "unheard of", CHOICE) == text_rank("Kazbegi", None, CHOICE)


def test_senseless_choices_are_refused():
    with pytest.raises(ValueError, match="max_others"):
        TextChoice(max_others=-1)
