"""Find what reaches or identifies a person in a text: addresses, telephones, ids, cards, accounts.

Figures of all scripts count (Arabic, Thai, full-width). Numbers that a state or a bank gives must
pass its own check; those without one count only beside a word that says what they are.
"""
# ruff: noqa: RUF001  (the signs of typography and Cyrillic letters are just what is meant)

import unicodedata
from collections.abc import Callable, Iterator

import regex

from mella.builders.culture.text import national_ids as ids

MASK = "[…]"
"""What stands in a masked text where personal data stood."""

_SOME_DIGITS = regex.compile(r"(?:\d[^\d]{0,3}?){6}")
_AT_WORD = r"(?:at|@|собака|kukac|zavináč|zavinac|골뱅이)"
_DOT_WORD = r"(?:dot|tečka|tecka|pont|точка|tačka|점)"
_EMAIL = regex.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"
    rf"|(?<![\w.+-])[\w.+-]{{1,64}}\s?[\[({{]\s?{_AT_WORD}\s?[\])}}]\s?[\w-]{{1,63}}"
    rf"(?:(?:\.|\s?[\[({{]\s?{_DOT_WORD}\s?[\])}}]\s?)[\w-]{{1,63}})+",
    regex.IGNORECASE,
)
_MAY_BE_EMAIL = regex.compile(rf"@|[\[({{]\s?{_AT_WORD}\s?[\])}}]", regex.IGNORECASE)

# Neither years nor a day: 1914-1918, 2024-05-06, 20. 7. 1969.
_NO_DATE = (
    r"(?!(?:1[5-9]|20)\d\d\s?[-–/]\s?(?:1[5-9]|20)\d\d(?!\d))"
    r"(?!(?:19|20)\d\d[./-]\s?\d{1,2}[./-]\s?\d{1,2}(?!\d))"
    r"(?!\d{1,2}[\s./-]{1,2}\d{1,2}[\s./-]{1,2}(?:19|20)\d\d(?!\d))"
)
# "06-07-1969" is a date.
_DAY = r"(?!0\d[\s/-]\d{1,2}[\s/-](?:19|20)\d\d(?!\d))"
_PHONE = regex.compile(
    # With the country. A sum has its figures apart: "1 + 2".
    r"(?<!\d)\+\d(?:[\s().-]{0,2}\d){7,14}(?!\d)"
    r"|(?<![\d.,])00[1-9](?:[\s().-]{0,2}\d){8,13}(?![\d.,]?\d)"
    # Without it: behind the 0 that leaves the town.
    rf"|(?<!\d[\s.,/-]?){_DAY}"
    r"\(?0[1-9]\d{0,3}\)?[\s/-]\d{1,4}[\s.-]?\d{2,4}(?:[\s.-]?\d{2,4})?(?!\d)"
    r"|(?<![\d.,-])0[1-9]\d{7,9}(?![\d.,]?\d)"
    # Russia: behind an 8. Korea: the numbers of companies, which are not years.
    r"|(?<![\d.,-])8[\s-]?\(?[3489]\d\d\)?[\s-]?\d{3}[\s-]?\d\d[\s-]?\d\d(?![\d.,]?\d)"
    r"|(?<![\d.,-])1(?:5[2-9]|6[0-9]|8[0135789])\d-(?!1[5-9]|20)\d{4}(?!\d)"
)
# Any other number that a word calls a telephone.
_PHONE_WORDS = (
    *("tel", "telefon", "telefonní číslo", "mobil", "gsm", "phone", "fax", "hotline", "whatsapp"),
    *("viber", "zalo", "hívjon", "hívható", "volejte", "zovite", "pozovite", "mob", "đt", "sđt"),
    *("điện thoại", "liên hệ", "тел", "телефон", "моб", "факс", "звоните", "зовите", "позовите"),
    *("ватсап", "โทร", "โทรศัพท์", "เบอร์", "สายด่วน", "전화", "연락처", "문의", "예약"),
    *("هاتف", "جوال", "تلفون", "تليفون", "موبايل", "واتساب", "للتواصل", "اتصل"),
)
_CALLED = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}])(?:{'|'.join(_PHONE_WORDS)})[^\p{{L}}\d]{{0,4}}(?:\p{{L}}{{1,3}}[.:]?\s)?"
    rf"{_NO_DATE}(?P<number>\(?\d(?:[\s().\-/]{{0,2}}\d){{5,12}})(?!\d)",
    regex.IGNORECASE,
)

# Ids that have no check digit, or one that many other numbers pass.
_NAMED_IDS: tuple[tuple[str, str, Callable[[str], bool] | None], ...] = (
    (r"паспорт\p{L}*|passport", r"\d{2}\s?\d{2}\s?(?:№|N)?\s?\d{6}", None),
    (r"TAJ(?:[\s-]?szám\p{L}*)?", r"\d{3}[\s-]?\d{3}[\s-]?\d{3}", ids.is_hungarian_health_id),
    (r"CMND|CCCD|CMT|căn cước(?: công dân)?|chứng minh(?: nhân dân)?", r"\d{9}|\d{12}", None),
    (r"الهوية|هوية|الإقامة|إقامة|الرقم القومي|رقم قومي|السجل المدني", r"\d{10}|\d{14}", None),
)
_NAMED_ID = tuple(
    (
        regex.compile(
            rf"(?<!\p{{L}})(?:{words})[^\d]{{0,12}}(?P<number>{number})(?!\d)", regex.IGNORECASE
        ),
        check,
    )
    for words, number, check in _NAMED_IDS
)

_NOT_DIGITS = regex.compile(r"\D")
# A run of figures as numbers are written: with single spaces, hyphens, points or a stroke in it.
_NUMBER = regex.compile(r"(?<![\w.,])\d(?:[ ./-]?\d){8,18}(?![\w])")
# Numbers that are told by how they are grouped, whatever the language of the text.
_GROUPED: tuple[tuple[str, Callable[[str], bool]], ...] = (
    (r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{5}", ids.is_card),
    (r"\d{6}/\d{3,4}", ids.is_czech_birth_number),
    (r"\d[- ]\d{6}[- ]\d{4}", ids.is_hungarian_personal_id),
    (r"\d{6}-\d{7}", ids.is_korean_resident_number),
    (r"\d{3}-\d{3}-\d{3}[ -]\d\d", ids.is_russian_insurance_number),
    (r"\d-\d{4}-\d{5}-\d\d-\d|\d \d{4} \d{5} \d\d \d", ids.is_thai_id),
    (r"784-\d{4}-\d{7}-\d", ids.is_emirates_id),
)
_GROUPED_NUMBER = tuple((regex.compile(shape), check) for shape, check in _GROUPED)
# Numbers written in one piece. A check that one number of ten passes by chance needs more: a text
# in the letters of the country.
_PLAIN: tuple[tuple[str | None, Callable[[str], bool]], ...] = (
    (None, ids.is_card),
    (None, lambda digits: len(digits) == 10 and ids.is_czech_birth_number(digits)),
    (None, ids.is_hungarian_personal_id),
    (None, ids.is_jmbg),
    (None, ids.is_emirates_id),
    (r"[őű]|adó", ids.is_hungarian_tax_id),
    (r"\p{Arabic}", ids.is_saudi_id),
    (r"\p{Arabic}", ids.is_egyptian_id),
    (r"\p{Hangul}", ids.is_korean_resident_number),
    (r"\p{Cyrillic}", ids.is_russian_tax_number),
    (r"\p{Cyrillic}", ids.is_russian_insurance_number),
    (r"\p{Thai}", ids.is_thai_id),
    (r"[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]", ids.is_vietnamese_id),
)
_PLAIN_NUMBER = tuple(
    (None if letters is None else regex.compile(letters, regex.IGNORECASE), check)
    for letters, check in _PLAIN
)
# A resident number of which the last figures are starred is one still.
_STARRED = regex.compile(r"(?<!\d)\d{6}-[1-8][*●Xx]{6}(?!\w)")
_IBAN = regex.compile(r"(?<!\w)[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?!\w)")


def has_personal_data(text: str) -> bool:
    """An e-mail address, a telephone number, a person's id, a payment card or a bank account."""
    return next(_spans(text), None) is not None


def mask_personal_data(text: str) -> str:
    """Return the text with `MASK` in the place of all personal data; the sentence stays."""
    spans = sorted(_spans(text))
    pieces, end = [], 0
    for first, last in spans:
        if first >= end:
            pieces += [text[end:first], MASK]
        end = max(end, last)
    return "".join([*pieces, text[end:]])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where personal data stands in a text, in no order; places may overlap."""
    if _MAY_BE_EMAIL.search(text):
        yield from (match.span() for match in _EMAIL.finditer(text))
    if not _SOME_DIGITS.search(text):
        return
    text = text if text.isascii() else "".join(map(_ascii_digit, text))
    yield from (match.span() for match in _PHONE.finditer(text))
    yield from (match.span("number") for match in _CALLED.finditer(text))
    yield from (match.span() for match in _STARRED.finditer(text))
    for match in _IBAN.finditer(text):
        if ids.is_iban(match[0].replace(" ", "").replace("-", "")):
            yield match.span()
    for words, check in _NAMED_ID:
        for match in words.finditer(text):
            if check is None or check(_NOT_DIGITS.sub("", match["number"])):
                yield match.span("number")
    for match in _NUMBER.finditer(text):
        if _is_given_to_a_person(match[0], text):
            yield match.span()


def _is_given_to_a_person(number: str, text: str) -> bool:
    digits = _NOT_DIGITS.sub("", number)
    if digits == number:
        return any(
            check(digits) and (letters is None or letters.search(text) is not None)
            for letters, check in _PLAIN_NUMBER
        )
    return any(shape.fullmatch(number) and check(digits) for shape, check in _GROUPED_NUMBER)


def _ascii_digit(char: str) -> str:
    """Return a decimal figure of any script as that of ASCII, and anything else as it is."""
    return char if char.isascii() or not char.isdecimal() else str(unicodedata.decimal(char))
