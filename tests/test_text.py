"""The normal form of texts and the counts of letters by script."""

import ast
import inspect
import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from mella import text as text_module
from mella.text import UNKNOWN_SCRIPT, dominant_script, normalise, scripts

LISTED = ["Arab", "Cyrl", "Deva", "Grek", "Hang", "Hani"]
LISTED += ["Hebr", "Hira", "Kana", "Laoo", "Latn", "Thai"]
EVERY_CHARACTER = [chr(point) for point in range(sys.maxunicode + 1)]

FAMILY = "\U0001f468\u200d\U0001f469\U0001f3fd\u200d\U0001f467"
PERSIAN = "می\u200cخواهم"
VIETNAMESE = "Tiếng Việt ở Đà Nẵng"
THAI = "น้ำตกที่สูงที่สุด"
KOREAN = "경복궁의 봄"

# Letters, marks and emoji among all that normalising has to do with: hypothesis alone would hardly
# ever put two of them side by side.
AWKWARD = st.text(
    st.sampled_from(
        "aeố ě\u0301\u0323\u0338=<1.中کลกำ\u0e38\u0e48ຂ한\u1112\u1161\u11abऩ\u093c\u094d"
        "\u2194\ufe0f"
        "\U0001f468\U0001f3fd\u200b\u200b\u200c\u200d\u200d\u200e\u202e\u2069\u061c\u2060\ufeff\xad"
        " \t\n\x00\x1f\x85\xa0\u2003\u2028\u3000\u3164\uffa0\u2800\ud83d\udc68"
    )
)
ANY_TEXT = st.one_of(AWKWARD, st.text(), st.text(st.characters()))


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("  two\t\n words \r\n", "two words"),
        ("no\xa0break\u202fand\u3000wide", "no break and wide"),
        ("line\u2028paragraph\u2029next\x85", "line paragraph next"),
        ("zero\u200b \u200bwidth", "zero width"),
        ("zero\u200bwidth", "zero width"),
        ("이름\u3164\u3164없음", "이름 없음"),
        ("\ufeffsoft\xadhyphen, word\u2060joiner", "softhyphen, wordjoiner"),
        ("\u202bصورة\u202c \u2067قديمة\u2069\u200f", "صورة قديمة"),
        ("be\x00ll\x07", "bell"),
        ("half \ud83d a pair", "half a pair"),
        ("", ""),
        (" \u200b\u200d\ufeff ", ""),
    ],
)
def test_white_space_collapses_and_the_invisible_goes(given_text: str, expected: str) -> None:
    assert normalise(given_text) == expected


def test_decomposed_text_is_composed() -> None:
    for text in (VIETNAMESE, KOREAN, "příliš žluťoučký kůň", "ёлка и йод"):
        decomposed = unicodedata.normalize("NFD", text)
        assert decomposed != text
        assert normalise(decomposed) == text


def test_a_letter_composes_across_what_was_removed() -> None:
    assert normalise("Vie\u0323\xad\u0302t") == "Việt"
    assert normalise("caf\u200ee\xad\u200e\u0301") == "café"


def test_a_line_break_hint_leaves_no_space_in_thai_and_lao() -> None:
    assert normalise("ภาษา\u200bไทย") == "ภาษาไทย"
    assert normalise("ภาษา\u200b ไทย") == "ภาษา ไทย"
    assert normalise("ພາສາ\u200bລາວ") == "ພາສາລາວ"
    assert normalise("ภาษา\u200bThai") == "ภาษา Thai"


@pytest.mark.parametrize("joined", [PERSIAN, FAMILY, "क्\u200dष", "\U0001f642\u200d\u2194\ufe0f"])
def test_joiners_that_join_are_kept(joined: str) -> None:
    assert normalise(f"\u200d {joined} \u200c") == joined


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("word\u200c next", "word next"),
        ("\u200dword\u200d.", "word."),
        ("\u200cword", "word"),
        ("12\u200d34", "1234"),
        ("می\u200c\u200cخواهم", PERSIAN),
        ("blank\u200d\u3164", "blank"),
    ],
)
def test_joiners_that_join_nothing_go(given_text: str, expected: str) -> None:
    assert normalise(given_text) == expected


def test_every_control_separator_and_surrogate_becomes_a_space_or_nothing() -> None:
    for char in EVERY_CHARACTER:
        if unicodedata.category(char) in {"Cc", "Cs", "Zs", "Zl", "Zp"}:
            assert normalise(f"a{char}b") == ("a b" if char.isspace() else "ab"), ascii(char)


def test_every_bidi_control_goes() -> None:
    explicit = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    controls = [c for c in EVERY_CHARACTER if unicodedata.bidirectional(c) in explicit]
    assert len(controls) == 9
    for char in [*controls, "\u200e", "\u200f", "\u061c"]:
        assert normalise(f"a{char}b") == "ab", ascii(char)


@given(ANY_TEXT)
def test_normalising_twice_is_the_same_as_once(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(ANY_TEXT)
def test_the_normal_form_can_be_stored_and_split(text: str) -> None:
    result = normalise(text)
    assert result.encode().decode() == result
    assert unicodedata.is_normalized("NFC", result)
    assert result == " ".join(result.split())


@given(st.text(st.sampled_from("ab é\u0301กำ\u0e49بی\u200b\u200c\u200d\u200f\xad\ufeff\xa0\n1,")))
def test_normalising_loses_no_letter(text: str) -> None:
    assert scripts(normalise(text)) == scripts(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (VIETNAMESE, {"Latn": 16}),
        (THAI, {"Thai": 10}),
        (KOREAN, {"Hang": 5}),
        ("大韓民國은 Korea", {"Hani": 4, "Hang": 1, "Latn": 5}),
        ("Ћирилица и latinica", {"Cyrl": 9, "Latn": 8}),
        ("محمـــد ٢٠٢٦", {"Arab": 7}),
        ("コーヒー", {"Kana": 4}),
        ("ひらがな ελλ עבר ລາວ हिन्दी", {"Hira": 4, "Grek": 3, "Hebr": 3, "Laoo": 3, "Deva": 3}),
        ("საქართველო", {UNKNOWN_SCRIPT: 10}),
        ("2026, 50 % → \U0001f600 \u0301", {}),
    ],
)
def test_letters_are_counted_by_script(text: str, expected: dict[str, int]) -> None:
    assert scripts(text) == expected


def test_the_table_agrees_with_unicode() -> None:
    """Every letter of the basic plane, against the Script property of the `regex` package.

    Left out: letters of no one script, and the phonetic block, which is counted as Latin whole.
    """
    letters = "".join(
        char
        for char in EVERY_CHARACTER[:0x10000]
        if char.isalpha()
        and not 0x1D00 <= ord(char) <= 0x1DBF
        and not regex.match(r"\p{Script=Common}|\p{Script=Inherited}", char)
        and unicodedata.is_normalized("NFC", char)
    )
    seen = 0
    for script in LISTED:
        for char in regex.findall(rf"\p{{Script={script}}}", letters):
            assert scripts(char) == {script: 1}, f"U+{ord(char):04X}"
            seen += 1
    listed = "".join(rf"\p{{Script={script}}}" for script in LISTED)
    other = regex.findall(f"[^{listed}]", letters)
    for char in other:
        assert scripts(char) == {UNKNOWN_SCRIPT: 1}, f"U+{ord(char):04X}"
    assert seen + len(other) == len(letters)
    assert scripts("\U00020000\U0002a700") == {"Hani": 2}


@given(ANY_TEXT)
def test_counts_do_not_depend_on_the_normalisation_form(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFD", text)
    assert scripts(text) == scripts(composed) == scripts(decomposed)


@given(ANY_TEXT)
def test_every_letter_is_counted_once(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert sum(scripts(text).values()) == sum(char.isalpha() for char in composed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Beograd", "Latn"),
        ("Београд (Beograd), главни град", "Cyrl"),
        ("LG전자 텔레비전", "Hang"),
        ("საქართველო, Georgia", UNKNOWN_SCRIPT),
        ("ab бв", "Latn"),
        ("бв ab", "Cyrl"),
        ("2026 — 50 %", None),
        ("", None),
    ],
)
def test_the_dominant_script_has_the_most_letters(text: str, expected: str | None) -> None:
    assert dominant_script(text) == expected


def test_the_module_needs_the_standard_library_alone() -> None:
    imported = set()
    for node in ast.walk(ast.parse(inspect.getsource(text_module))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported
    assert imported <= sys.stdlib_module_names
