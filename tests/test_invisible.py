"""Direction controls, joiners and tags: what turned or hid a text, and what a script needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.text.invisible import (
    collapse_spaces,
    is_hidden,
    is_turned,
    without_invisible,
)

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
FAMILY = "\U0001f468\u200d\U0001f469\U0001f3fd\u200d\U0001f467"
AWKWARD = st.text(
    st.sampled_from("aب1 ی\u0301\u200c\u200d\u202a\u202c\u202d\u202e\u2066\u2069\ufe0f")
    | st.sampled_from("\U0001f468\U0001f3f4\U000e0067\U000e007f\U000e0100क\u094d")
)


@pytest.mark.parametrize(
    "raw",
    [
        "\u202eejp.nóf\u202c",  # a file name shown backwards
        "\u202dصورة قديمة\u202c",
        "\u202e123\u202c",
        "\u202eصورة",  # never closed
        "\u2066\u202eصورة\u2069 \u202e",
        "\u202a\u202eab\u202c\u202c",
    ],
)
def test_an_override_that_turns_or_stays_open_is_found(raw):
    assert is_turned(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "Karlův most",
        "\u202bصورة قديمة\u202c",
        "\u200fصورة\u200f (2024)",
        "\u2067صورة\u2069 Praha",
        "\u202eصورة\u202c",  # right to left already
        "\u202dPraha 1\u202c",
        "\u202e\u2066Praha\u2069\u202c",  # an isolate has its own direction
        "\u202c\u2069 Praha",
    ],
)
def test_controls_that_only_arrange_a_text_are_none(raw):
    assert not is_turned(raw)


@pytest.mark.parametrize(
    "raw", ["Praha\U000e0069\U000e0067", "\U0001f642\U000e0101\U000e0102\U000e0103"]
)
def test_a_hidden_text_is_found(raw):
    assert is_hidden(raw)


@pytest.mark.parametrize(
    "raw", ["Praha", f"Skotsko {SCOTLAND}", "葛\U000e0100城市", "❤\ufe0f", FAMILY]
)
def test_flags_and_forms_of_signs_hide_nothing(raw):
    assert not is_hidden(raw)
    assert without_invisible(raw) == raw


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "کتاب\u200cها", "क्\u200dष", "ක්\u200dෂ", "ه\u200dم", FAMILY]
)
def test_joiners_that_a_script_needs_are_kept(text):
    assert without_invisible(text) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Kar\u200dlův", "Karlův"),
        ("Auf\u200clage", "Auflage"),
        ("วัด\u200cพระ", "วัดพระ"),
        ("경\u200d복궁", "경복궁"),
        ("می\u200c\u200cخواهم", "می\u200cخواهم"),
        ("دار\u200c", "دار"),
        ("Praha\U000e0069", "Praha"),
    ],
)
def test_joiners_and_tags_that_do_nothing_go(raw, text):
    assert without_invisible(raw) == text


@given(AWKWARD)
def test_once_is_enough_and_no_letter_is_lost(raw):
    once = without_invisible(raw)
    assert without_invisible(once) == once
    assert [char for char in raw if char.isalpha()] == [char for char in once if char.isalpha()]


def test_collapsing_spaces_keeps_what_the_rules_go_by():
    assert collapse_spaces(" \r\n Karlův\t\u202emost\u202c \x81\xa0\u200d ") == (
        "Karlův \u202emost\u202c \x81\xa0\u200d"
    )


@given(AWKWARD)
def test_any_controls_are_judged(raw):
    assert is_turned(raw) in (True, False)
    assert is_hidden(raw) in (True, False)
