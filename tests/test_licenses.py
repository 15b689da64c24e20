"""Licenses are brought into one short form, however a page writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.pages.licenses import normal_license


@pytest.mark.parametrize(
    ("written", "short"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by-sa/4.0", "CC-BY-SA-4.0"),
        ("//www.creativecommons.org/licenses/by/4.0/deed.ru", "CC-BY-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode.zh-hans?x#y", "CC-BY-4.0"),
        ("HTTPS://CreativeCommons.org/licenses/BY-NC-ND/2.5/", "CC-BY-NC-ND-2.5"),
        ("https://creativecommons.org/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/licenses/by/3.0/us/", "CC-BY-3.0-US"),
        ("https://creativecommons.org/licenses/by/3.0/igo/deed.en", "CC-BY-3.0-IGO"),
        ("https://creativecommons.org/licenses/by-sa/", "CC-BY-SA"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.th", "CC-PDM-1.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("cc-by-nc-sa", "CC-BY-NC-SA"),
        ("Creative Commons  Attribution-ShareAlike\n4.0 International License", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution 3.0 Unported", "CC-BY-3.0"),
        ("Creative Commons CC BY 4.0", "CC-BY-4.0"),
        ("CC0", "CC0-1.0"),
        ("CC0 1.0 Universal", "CC0-1.0"),
    ],
)
def test_creative_commons_become_spdx(written, short):
    assert normal_license(written) == short


@pytest.mark.parametrize(
    "written",
    [
        "https://www.gnu.org/licenses/fdl-1.3.html",
        "https://creativecommons.org/",
        "https://creativecommons.org/licenses/",
        "https://creativecommons.org/licenses/sampling+/1.0/",
        "https://creativecommons.org/licenses/GPL/2.0/",
        "https://notcreativecommons.org/licenses/by/4.0/",
        "https://a.example/?u=//creativecommons.org/licenses/by/4.0/",
        "All rights reserved",
        "© Jana 2020, not under CC BY 4.0",
        "CC",
    ],
)
def test_everything_else_stays_as_it_is(written):
    assert normal_license(written) == written


def test_nothing_is_nothing_and_a_long_text_is_cut():
    assert normal_license(None) is None
    assert normal_license(" \n ") is None
    assert normal_license("a  b\n" * 200) == ("a b " * 200)[:300]


@given(st.text(max_size=400))
def test_the_short_form_is_one_line_and_stays(text):
    short = normal_license(text)
    assert short is None or (len(short) <= 300 and "\n" not in short)
    assert normal_license(short) == (short.strip() or None if short else None)
