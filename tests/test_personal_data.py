"""Numbers and addresses of people: each check digit, and what is masked. All are made up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.text import national_ids as ids
from mella.builders.culture.text.personal_data import MASK, has_personal_data, mask_personal_data

# A number that passes, and those near it that do not.
NUMBERS = {
    ids.is_card: ("4111111111111111", ["4111111111111112", "1111111111111117", "41111111"]),
    ids.is_iban: ("DE89370400440532013000", ["DE88370400440532013000", "DE893704004405320é"]),
    ids.is_saudi_id: ("1012345680", ["1012345681", "3012345687", "101234568"]),
    ids.is_emirates_id: ("784198501234573", ["784198501234574", "785198501234573", "784"]),
    ids.is_egyptian_id: ("29001011234567", ["29013011234567", "49001011234567", "29001019934567"]),
    ids.is_czech_birth_number: ("7551011006", ["7551011007", "7513011000", "755101"]),
    ids.is_hungarian_personal_id: ("18001010123", ["18001010124", "18013010123", "9800101012"]),
    ids.is_hungarian_tax_id: ("8041234569", ["8041234568", "7041234569", "804123456"]),
    ids.is_hungarian_health_id: ("112345671", ["112345672", "11234567"]),
    ids.is_korean_resident_number: ("9001011234567", ["9013011234567", "9001019234567", "900101"]),
    ids.is_russian_tax_number: ("500112345631", ["500112345632", "500112345641", "0" * 12, "5"]),
    ids.is_russian_insurance_number: ("11223344595", ["11223344594", "00100199800", "112233445"]),
    ids.is_jmbg: ("0101990710008", ["0101990710009", "3102990710008", "0101490710008", "01"]),
    ids.is_thai_id: ("1101700000001", ["1101700000002", "9101700000001", "110170"]),
    ids.is_vietnamese_id: ("001090012345", ["099090012345", "001490012345", "001090000000", "001"]),
}  # fmt: skip


@pytest.mark.parametrize("check", NUMBERS, ids=lambda check: check.__name__)
def test_a_number_passes_its_check_and_its_neighbours_do_not(check):
    good, bad = NUMBERS[check]
    assert check(good)
    assert not any(check(number) for number in bad)


def test_published_examples_pass():
    assert ids.is_luhn("79927398713")
    assert ids.is_iban("GB82WEST12345698765432")
    assert ids.is_russian_insurance_number("11223344595")  # Wikipedia, СНИЛС
    assert ids.is_czech_birth_number("531231123")  # nine digits until 1953
    assert ids.is_hungarian_personal_id("30001010007")  # born after 1996: the weights fall


@given(st.text("0123456789", min_size=0, max_size=20))
def test_checks_answer_for_any_digits(digits):
    for check in NUMBERS:
        assert check(digits) in (True, False)


@pytest.mark.parametrize("check", [ids.is_luhn, ids.is_jmbg, ids.is_czech_birth_number])
def test_no_single_wrong_digit_passes_a_check_digit(check):
    good = {ids.is_luhn: "79927398713"}.get(check) or NUMBERS[check][0]
    for place in range(len(good)):
        others = (good[:place] + digit + good[place + 1 :] for digit in "0123456789")
        assert not [one for one in others if one != good and check(one)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Pište na novak@example.cz, odpovíme", f"Pište na {MASK}, odpovíme"),
        ("novak [at] example [dot] cz", MASK),
        ("Пётр (собака) example.ru", MASK),
        ("โทร ๐๘๑-๒๓๔-๕๖๗๘ ร้านก๋วยเตี๋ยว", f"โทร {MASK} ร้านก๋วยเตี๋ยว"),
        ("اتصل ٠٥٠١٢٣٤٥٦٧ الآن", f"اتصل {MASK} الآن"),
        ("Карта 4111 1111 1111 1111 и паспорт 45 08 123456", f"Карта {MASK} и паспорт {MASK}"),
        ("IBAN: DE89 3704 0044 0532 0130 00", f"IBAN: {MASK}"),
        ("Řekl: +420 222 555 019 nebo 00420 222 555 018", f"Řekl: {MASK} nebo {MASK}"),
        ("Карлов мост", "Карлов мост"),
    ],
)
def test_only_the_data_is_masked(text, masked):
    assert mask_personal_data(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Apollo 11 na Měsíci 20. 7. 1969",
        "임진왜란 1592-1598",
        "Parní lokomotiva 534.0323 z let 1945-1947",
        "GPS 50.0875, 14.4213",
        "EAN 8594001021512",
        "ISBN 978-80-200-1234-5",
        "1 000 000 000 000 dinara",
        "예약 2024-05-06 오전",
        "Volejte 20. 7. 1969 na Měsíc",
        "Kolekce 451231123 známek",
        "Telefon Nokia 3310 z roku 2000",
        "Hotel 12345678 hvězd",
        "@ znak na klávesnici",
        "Vlak Os 9324 odjíždí v 10:30",
        "Skóre 123456:654321",
        "Galaxie NGC 1234567",
    ],
)
def test_other_numbers_are_no_data(text):
    assert not has_personal_data(text)


@given(st.text(st.sampled_from("0123456789 -+/().@a٠๙é"), max_size=60))
def test_a_masked_text_is_free_of_what_was_found(text):
    masked = mask_personal_data(text)
    assert (masked != text) == has_personal_data(text)
    assert masked.count(MASK) >= has_personal_data(text)
