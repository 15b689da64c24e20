"""The language entries: what holds for each, what holds between them, how they are found."""

import dataclasses
import importlib
import re
import unicodedata
from collections.abc import Iterable
from itertools import chain

import eldc
import pytest
import Stemmer
import tldextract

from mella.errors import UnknownNameError
from mella.languages import (
    Language,
    get_language,
    languages,
    register_language,
    resolve_languages,
)
from mella.text import normalise, scripts

ALL = tuple(languages().values())
each = pytest.mark.parametrize("language", ALL, ids=[language.code for language in ALL])


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry, so that what a test registers is gone after it."""
    # The package exports a function of the same name, which hides the module.
    module = importlib.import_module("mella.languages")
    monkeypatch.setattr(module, "_languages", languages())


@pytest.fixture
def ninth() -> Language:
    return dataclasses.replace(
        get_language("cs"), code="sk", name="Slovak", native_name="slovenčina", domains=("sk",)
    )


def prompts(language: Language) -> tuple[str, ...]:
    return language.culture_prompts + language.linguistics_prompts


def in_script(texts: Iterable[str], script: str) -> list[str]:
    return [text for text in texts if set(scripts(text)) == {script}]


def test_the_eight_languages_are_there_in_alphabetical_order() -> None:
    assert list(languages()) == ["ar", "cs", "hu", "ko", "ru", "sr", "th", "vi"]
    assert all(code == language.code for code, language in languages().items())


@each
def test_every_field_is_filled_in(language: Language) -> None:
    for field in dataclasses.fields(language):
        value = getattr(language, field.name)
        if field.name == "rtl":
            assert isinstance(value, bool)
        elif field.name != "stemmer" or value is not None:
            assert value, field.name
        if isinstance(value, tuple):
            assert all(isinstance(item, str) and item for item in value), field.name
            if field.name != "nllb_codes":
                assert len(set(value)) == len(value), field.name


@each
def test_codes_have_the_form_of_their_standard(language: Language) -> None:
    assert re.fullmatch("[a-z]{2}", language.code)
    assert re.fullmatch("[a-z]{3}", language.crawl_code)
    assert re.fullmatch("[a-z]{2,3}", language.madlad_code)
    for script in language.scripts:
        assert re.fullmatch("[A-Z][a-z]{3}", script)
    for code in language.confusable:
        assert re.fullmatch("[a-z]{2,3}", code)
    assert language.code not in language.confusable


@each
def test_a_translation_comes_in_a_script_of_the_language(language: Language) -> None:
    assert len(language.nllb_codes) == len(language.scripts)
    for code in language.nllb_codes:
        tongue, script = code.split("_")
        assert script in language.scripts
        # Arabic alone is a macrolanguage, of which NLLB names the standard variety.
        assert tongue == language.crawl_code or (tongue, language.crawl_code) == ("arb", "ara")
    assert language.nllb_codes[0].endswith(language.scripts[0])


def test_serbian_is_the_only_one_whose_translation_may_need_another_script() -> None:
    to_transliterate = {
        (language.code, script)
        for language in ALL
        for code, script in zip(language.nllb_codes, language.scripts, strict=True)
        if not code.endswith(script)
    }
    assert to_transliterate == {("sr", "Latn")}


@pytest.mark.parametrize("name", ["name", "native_name", "crawl_code", "madlad_code"])
def test_no_two_languages_share_a_name(name: str) -> None:
    values = [getattr(language, name) for language in ALL]
    assert len(set(values)) == len(values)


def test_a_domain_belongs_to_one_language() -> None:
    domains = list(chain.from_iterable(language.domains for language in ALL))
    assert len(set(domains)) == len(domains)


@each
def test_domains_are_real_top_level_domains(language: Language) -> None:
    snapshot = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    for domain in language.domains:
        written = domain.encode("ascii").decode("idna")
        assert written.encode("idna").decode("ascii") == domain
        assert written in snapshot.tlds, domain
        assert len(domain) == 2 or set(scripts(written)) == {language.scripts[0]}, written


def test_internationalised_domains_say_what_they_are_meant_to() -> None:
    written = {
        language.code: {
            domain.encode().decode("idna") for domain in language.domains if len(domain) > 2
        }
        for language in ALL
    }
    assert written == {
        "ar": {
            *("الجزائر", "عمان", "امارات", "موريتانيا", "الاردن", "المغرب", "البحرين", "السعودية"),
            *("سودان", "عراق", "سورية", "تونس", "مصر", "قطر", "فلسطين"),
        },
        "cs": set(),
        "hu": set(),
        "ko": {"한국"},
        "ru": {"рф"},
        "sr": {"срб"},
        "th": {"ไทย"},
        "vi": set(),
    }


@each
def test_the_direction_is_that_of_the_script(language: Language) -> None:
    directions = {unicodedata.bidirectional(char) for char in language.native_name if char != " "}
    assert language.rtl == bool(directions & {"R", "AL"})


@each
def test_the_word_segmenter_is_a_known_one_that_fits(language: Language) -> None:
    expected = {"ko": "kiwi", "th": "newmm", "vi": "syllable"}.get(language.code, "regex")
    assert language.segmenter == expected


@each
def test_the_stemmer_exists_and_stems_words_of_the_language(language: Language) -> None:
    available = set(Stemmer.algorithms())
    if language.stemmer is None:
        assert language.name.lower() not in available
        return
    assert language.stemmer in available
    words = " ".join(prompts(language)).split()
    stems = Stemmer.Stemmer(language.stemmer).stemWords(words)
    assert stems != words


@each
def test_all_that_is_in_the_language_is_in_one_of_its_scripts_and_in_normal_form(
    language: Language,
) -> None:
    assert in_script([language.native_name], language.scripts[0])
    for text in (language.native_name, *prompts(language)):
        assert normalise(text) == text
        assert any(in_script([text], script) for script in language.scripts), text
    for kind in (language.culture_prompts, language.linguistics_prompts):
        assert in_script(kind, language.scripts[0])


@each
def test_prompts_are_identified_as_the_language(language: Language) -> None:
    eldc.init()
    for kind in (language.culture_prompts, language.linguistics_prompts):
        # In the preferred script: in Latin letters, Serbian is taken for Croatian.
        assert str(eldc.detect(" ".join(in_script(kind, language.scripts[0])))) == language.code


@each
def test_culture_prompts_ask_and_linguistics_prompts_request(language: Language) -> None:
    for script in language.scripts:
        assert 4 <= len(in_script(language.culture_prompts, script)) <= 6
        assert 4 <= len(in_script(language.linguistics_prompts, script)) <= 6
    for prompt in language.culture_prompts:
        assert language.code == "th" or prompt.endswith(("?", "؟"))  # Thai asks without a mark
    for prompt in language.linguistics_prompts:
        assert not prompt.endswith(("?", "؟"))


def test_no_prompt_is_used_twice() -> None:
    texts = [prompt for language in ALL for prompt in prompts(language)]
    assert len(set(texts)) == len(texts)


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_language("th").code = "lo"  # type: ignore[misc]


def test_an_unknown_code_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        get_language("srp")
    message = str(caught.value)
    assert "'srp'" in message
    assert "Did you mean 'sr'?" in message
    assert message.endswith("Known: ar, cs, hu, ko, ru, sr, th, vi.")


def test_languages_are_resolved_in_order_and_once() -> None:
    def codes(lang: str | Iterable[str]) -> list[str]:
        return [language.code for language in resolve_languages(lang)]

    assert codes("th") == ["th"]
    assert codes(["vi", "ar", "vi"]) == ["vi", "ar"]
    assert codes(code for code in ("sr", "cs")) == ["sr", "cs"]
    assert codes("all") == list(languages())


@pytest.mark.parametrize("lang", [[], "", ["th", "xx"], "th,vi", "TH"])
def test_what_is_no_language_is_refused(lang: str | list[str]) -> None:
    with pytest.raises(UnknownNameError, match="Known: ar, cs"):
        resolve_languages(lang)


@pytest.mark.usefixtures("own_registry")
def test_a_ninth_language_is_one_more_entry(ninth: Language) -> None:
    register_language(ninth)
    assert get_language("sk") is ninth
    assert list(languages()) == ["ar", "cs", "hu", "ko", "ru", "sk", "sr", "th", "vi"]
    assert ninth in resolve_languages("all")
    with pytest.raises(UnknownNameError, match="ru, sk, sr"):
        get_language("xx")


@pytest.mark.usefixtures("own_registry")
def test_registering_again_replaces_the_entry(ninth: Language) -> None:
    register_language(ninth)
    register_language(dataclasses.replace(ninth, segmenter="syllable"))
    assert get_language("sk").segmenter == "syllable"
    assert len(languages()) == 9


def test_changing_the_answer_changes_nothing(ninth: Language) -> None:
    languages()["sk"] = ninth
    assert "sk" not in languages()
