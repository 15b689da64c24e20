"""Charsets: the text of all eight languages, in true and in lying bytes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.pages.charset import codec_of, decode_page, to_utf8
from mella.text import normalise

TEXTS = {
    "ar": "صورة المسجد الكبير في مدينة القيروان بتونس خلال فصل الربيع",
    "cs": "Pražský hrad při západu slunce, pohled od Karlova mostu přes řeku; děti šly tiše",
    "hu": "Az Országház épülete a Duna felől nézve, őszi fényben tükröződő tűztorony",
    "ko": "서울 경복궁 근정전의 봄 풍경과 한복을 입은 관광객들",
    "ru": "Собор Василия Блаженного на Красной площади зимой под снегом",
    "sr": "Храм Светог Саве у Београду, поглед са Врачара у сумрак",
    "th": "วัดพระแก้วในกรุงเทพมหานคร ยามเช้าของฤดูหนาว",
    "vi": "Chùa Một Cột ở Hà Nội vào buổi sáng mùa thu, nhìn từ hồ sen",
}
ENCODINGS = [
    ("ar", "windows-1256"), ("ar", "iso-8859-6"), ("cs", "windows-1250"), ("cs", "iso-8859-2"),
    ("hu", "windows-1250"), ("hu", "iso-8859-2"), ("ko", "euc-kr"), ("ko", "ks_c_5601-1987"),
    ("ru", "windows-1251"), ("ru", "koi8-r"), ("ru", "iso-8859-5"), ("sr", "windows-1251"),
    ("th", "tis-620"), ("th", "windows-874"), ("vi", "windows-1258"),
    *((lang, utf) for lang in TEXTS for utf in ("utf-8", "utf-16-le", "utf-16-be")),
]  # fmt: skip


def encode(text, encoding):
    """Encode, for windows-1258 as its users do: tone marks behind their letters."""
    if encoding != "windows-1258":
        return text.encode(encoding.replace("windows-874", "cp874"))
    encoded = b""
    for letter in text:
        try:
            encoded += letter.encode("cp1258")
        except UnicodeEncodeError:
            base, *marks = list(unicodedata.normalize("NFD", letter))
            tone = next(mark for mark in marks if mark in "\u0300\u0301\u0303\u0309\u0323")
            rest = unicodedata.normalize("NFC", base + "".join(m for m in marks if m != tone))
            encoded += (rest + tone).encode("cp1258")
    return encoded


def page(lang, head=""):
    text = TEXTS[lang]
    return f'<html{head}><body><p>{text}</p><p>{text}</p><img src="a" alt="{text}"></html>'


def read(body, declared=None):
    """Return the alternative text of a page, in the normal form that candidates have."""
    return normalise(decode_page(body, declared)[0]).rpartition(' alt="')[2].partition('"')[0]


@pytest.mark.parametrize(("lang", "encoding"), ENCODINGS)
class TestCharsets:
    """Real text of the eight languages in the encodings of its web, truly and falsely declared."""

    def test_declared_in_the_header(self, lang, encoding):
        assert read(encode(page(lang), encoding), encoding) == TEXTS[lang]

    def test_declared_in_the_page(self, lang, encoding):
        head = f"><meta http-equiv=Content-Type content='text/html; charset={encoding}'"
        assert read(encode(page(lang, head), encoding)) == TEXTS[lang]

    @pytest.mark.parametrize("lie", [None, "utf-8", "utf-16", "iso-8859-1", "us-ascii", "nonsense"])
    def test_falsely_declared_or_not_at_all(self, lang, encoding, lie):
        assert read(encode(page(lang, f" lang={lang}"), encoding), lie) == TEXTS[lang]


# Nothing in the bytes tells windows-1258 from other Latin encodings.
@pytest.mark.parametrize(("lang", "encoding"), [e for e in ENCODINGS if e[1] != "windows-1258"])
def test_an_encoding_is_detected_without_any_hint(lang, encoding):
    assert read(encode(page(lang), encoding)) == TEXTS[lang]


@pytest.mark.parametrize("lang", TEXTS)
def test_utf8_under_any_other_name_is_utf8(lang):
    for lie in ("windows-1251", "windows-874", "koi8-r", "euc-kr", "windows-1256"):
        body = f'<meta charset="{lie}"><img src=a alt="{TEXTS[lang]}">'.encode()
        assert read(body, lie) == TEXTS[lang]


@pytest.mark.parametrize("lang", TEXTS)
def test_a_byte_order_mark_wins_over_every_declaration(lang):
    for encoding in ("utf-8-sig", "utf-16"):
        assert decode_page(TEXTS[lang].encode(encoding), "windows-1251")[0] == TEXTS[lang]


def test_a_stray_byte_or_a_cut_character_does_not_change_the_charset():
    text = TEXTS["ru"] * 5
    body = text.encode()
    start = text[:50].encode()
    broken = start + b"\xff" + body[len(start) :]
    assert decode_page(broken, "utf-8")[0].replace("\ufffd", "") == text
    assert decode_page(body[:-1], "windows-1251") == (text[:-1], "utf-8")


def test_labels_mean_what_browsers_mean():
    known = {
        "ISO-8859-1": "cp1252", "TIS-620": "cp874", "ks_c_5601-1987": "cp949", "EUC-KR": "cp949",
        "x-cp1251": "cp1251", " UTF8 ": "utf-8", "koi8-u": "koi8-u", "windows-1258": "cp1258",
        "gb2312": "gb18030", "unicode_escape": None, "hex": None, "": None, "utf-7": None,
    }  # fmt: skip
    assert {label: codec_of(label) for label in known} == known


@given(st.binary(max_size=200), st.text(max_size=10))
def test_decoding_never_fails(body, declared):
    text, encoding = decode_page(body, declared)
    assert len(text.encode("utf-8")) >= len(text)
    assert codec_of(encoding)


@given(st.binary(max_size=60), st.sampled_from([None, "utf-8", "utf-16", "windows-1251", "x"]))
def test_a_page_in_utf8_is_what_decoding_gives(body, declared):
    assert to_utf8(body, declared) == decode_page(body, declared)[0].encode()


def test_a_page_that_is_utf8_is_not_copied():
    body = "<p>Кот</p>".encode()
    assert to_utf8(body, "windows-1251") is body
    assert to_utf8(b"\xef\xbb\xbf" + body) == body
    assert to_utf8(body[:6]) == body[:5]
