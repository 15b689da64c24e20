"""The checks of captions: good ones pass in every language, faults have names."""

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.language.step import LanguageParams, load_identifiers
from mella.builders.linguistics.checks import ChecksParams, checks_step, copied, looped
from mella.builders.miniweb.captions import read_captions
from mella.languages import get_language, languages
from stepping import apply, reasons

CAPTIONS = [caption for caption in read_captions() if not caption.flaw]
TEXT_OF = {caption.lang: caption.text for caption in CAPTIONS}
ENGLISH_OF = {caption.lang: caption.en for caption in CAPTIONS}
CODES = tuple(TEXT_OF)
SHA = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def ensemble():
    return load_identifiers(LanguageParams(tuple(languages().values())))


def checked(ensemble, rows, **limits):
    params = ChecksParams(tuple(languages().values()), **limits)
    return apply(checks_step(params), rows, resource=ensemble)


@pytest.mark.parametrize("lang", CODES)
def test_good_captions_pass(ensemble, lang):
    good = [caption for caption in CAPTIONS if caption.lang == lang]
    rows = [{"lang": lang, "text": one.text, "text_en": one.en} for one in good]
    made = checked(ensemble, rows)
    assert len(good) >= 8
    assert reasons(made) == [None] * len(good)
    assert {row["script"] for row in made} <= {*get_language(lang).scripts}
    assert min(row["language_score"] for row in made) >= 0.5


FAULTS = {
    "empty": lambda text: " \u200b\n",
    "too_short": lambda text: "".join(regex.findall(r"\X", text)[:19]).strip(),
    "too_long": lambda text: text + " " + "".join(reversed(regex.findall(r"\X", text))),
    "loop": lambda text: " ".join([text] * 3),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lang", CODES)
def test_a_text_with_a_fault_is_rejected(ensemble, lang, fault):
    texts = [one.text for one in CAPTIONS if one.lang == lang]
    rows = [{"lang": lang, "text": FAULTS[fault](text)} for text in texts]
    longest = max(len(regex.findall(r"\X", text)) for text in texts)
    limit = longest // 2 if fault == "too_long" else 5000
    assert {*reasons(checked(ensemble, rows, max_graphemes=limit))} == {f"caption:{fault}"}


@pytest.mark.parametrize("lang", CODES)
def test_a_phrase_over_and_over_is_a_loop_but_a_refrain_is_not(ensemble, lang):
    first, second = [one.text for one in CAPTIONS if one.lang == lang][:2]
    phrase = first[: len(first) // 3]
    rows = [
        {"lang": lang, "text": f"{second} {phrase * 12}"},
        {"lang": lang, "text": f"{phrase} {second} {phrase}"},
    ]
    assert reasons(checked(ensemble, rows)) == ["caption:loop", None]


@pytest.mark.parametrize("lang", CODES)
def test_what_was_left_in_english_is_rejected(ensemble, lang):
    english, native = ENGLISH_OF[lang], TEXT_OF[lang]
    rows = [
        {"lang": lang, "text": english, "text_en": english},
        {"lang": lang, "text": f"{english} {native}", "text_en": english},
        {"lang": lang, "text": english},  # nothing to compare with: told by its language
    ]
    made = reasons(checked(ensemble, rows))
    assert made[:2] == ["caption:untranslated"] * 2
    assert made[2].startswith("caption:language:")


@pytest.mark.parametrize("lang", CODES)
@pytest.mark.parametrize("other", CODES)
def test_a_text_in_another_language_is_rejected(ensemble, lang, other):
    if lang == other:
        return
    rows = [{"lang": lang, "text": one.text} for one in CAPTIONS if one.lang == other]
    for reason in reasons(checked(ensemble, rows)):
        assert reason.startswith("caption:language:")


def test_serbian_may_be_in_either_script(ensemble):
    text = (
        "Na drvenom stolu stoji tanjir sa ćevapima, lukom i kajmakom. Takvo jelo se služi u "
        "kafanama širom Srbije, najčešće uz topao hleb."
    )
    (made,) = checked(ensemble, [{"lang": "sr", "text": text}])
    assert (made["script"], made["reason"]) == ("Latn", None)


@pytest.mark.parametrize("text", ["1234 5678 " * 5, "🍜🥖🍲🍚" * 10 + "1 2 3", "?!.,;:" * 9])
def test_what_has_no_letters_is_rejected(ensemble, text):
    for row in checked(ensemble, [{"lang": code, "text": text} for code in CODES]):
        assert row["reason"] in ("caption:loop", "caption:language:uncertain")


def test_texts_are_stored_in_normal_form(ensemble):
    text = unicodedata.normalize("NFD", TEXT_OF["vi"]).replace(" ", "\u00a0\n", 1)
    (made,) = checked(ensemble, [{"lang": "vi", "text": text, "text_en": " a  bowl "}])
    assert (made["text"], made["text_en"], made["reason"]) == (TEXT_OF["vi"], "a bowl", None)


@given(st.text(max_size=60), st.text(max_size=60))
def test_shares_are_shares(text, other):
    assert 0 <= copied(text, other) <= 1
    assert 0 <= looped(text) <= 1
    assert looped("") == copied(text, "") == 0
