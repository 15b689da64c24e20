"""Check the numbers by which states, banks and card companies know a person.

Each function takes the ASCII digits of a number, without the signs between them, and answers
whether it can be one: of the right length, with a date that exists and a check digit that fits.
"""

from datetime import date

_CARD_PREFIXES = (
    *("4", "51", "52", "53", "54", "55", "34", "37", "35", "36", "38", "62", "65", "6011"),
    *(str(prefix) for prefix in (*range(2200, 2205), *range(2221, 2721))),
)
_IBAN_LEAST, _IBAN_MOST = 15, 34
_VIETNAMESE_PROVINCES = 96
_EGYPTIAN_GOVERNORATES = {
    *("01", "02", "03", "04", "88"),
    *(f"{code:02d}" for code in (*range(11, 20), *range(21, 30), *range(31, 36))),
}


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[::-2]) + sum(doubled)) % 10 == 0


def is_card(digits: str) -> bool:
    """Payment card: 14 to 19 digits, a known issuer, Luhn."""
    return 14 <= len(digits) <= 19 and digits.startswith(_CARD_PREFIXES) and is_luhn(digits)


def is_iban(letters: str) -> bool:
    """International bank account number (ISO 13616), in capitals and digits: modulo 97 is 1."""
    if not (_IBAN_LEAST <= len(letters) <= _IBAN_MOST and letters.isascii() and letters.isalnum()):
        return False
    return int("".join(str(int(sign, 36)) for sign in letters[4:] + letters[:4])) % 97 == 1


def is_saudi_id(digits: str) -> bool:
    """Saudi national identity (1) or residence (2): ten digits, Luhn."""
    return len(digits) == 10 and digits[0] in "12" and is_luhn(digits)


def is_emirates_id(digits: str) -> bool:
    """Emirates identity: 784, the year of birth, seven digits, Luhn."""
    return (
        len(digits) == 15
        and digits.startswith("784")
        and 1900 <= int(digits[3:7]) <= 2099
        and is_luhn(digits)
    )


def is_egyptian_id(digits: str) -> bool:
    """Egyptian national number: century, date, governorate, five digits.

    How the last digit checks the others is not published.
    """
    if len(digits) != 14 or digits[0] not in "23":
        return False
    year = {"2": 1900, "3": 2000}[digits[0]] + int(digits[1:3])
    return _is_date(year, digits[3:5], digits[5:7]) and digits[7:9] in _EGYPTIAN_GOVERNORATES


def is_czech_birth_number(digits: str) -> bool:
    """Rodné číslo (law 133/2000 Sb., paragraph 13): date, serial; from 1954 divisible by 11.

    Months of women are 50 more; where a day's numbers ran out, 20 more.
    """
    if len(digits) not in (9, 10):
        return False
    year, month = int(digits[:2]), int(digits[2:4])
    for added in (70, 50, 20):
        if month > added:
            month -= added
            break
    if len(digits) == 9:
        return year < 54 and _is_date(1900 + year, str(month), digits[4:6])
    rest = int(digits[:9]) % 11
    if digits[9] != str(rest % 10):  # a rest of 10 was written as 0 until 1985
        return False
    return _is_date(1900 + year if year >= 54 else 2000 + year, str(month), digits[4:6])


def is_hungarian_personal_id(digits: str) -> bool:
    """Személyi azonosító (law 1996:XX): sex and century, date, serial, check digit modulo 11."""
    if len(digits) != 11 or digits[0] not in "12345678":
        return False
    year = int(digits[1:3]) + (2000 if digits[0] in "3478" else 1900)
    if not _is_date(year, digits[3:5], digits[5:7]):
        return False
    falling, rising = range(10, 0, -1), range(1, 11)  # born from 1997 on; before
    weights = falling if year >= 1997 else rising
    return _weigh(digits[:10], weights) % 11 == int(digits[10])


def is_hungarian_tax_id(digits: str) -> bool:
    """Adóazonosító jel (law 1996:XX): 8, days since 1867, serial, check digit modulo 11."""
    if len(digits) != 10 or digits[0] != "8":
        return False
    return _weigh(digits[:9], range(1, 10)) % 11 == int(digits[9])


def is_hungarian_health_id(digits: str) -> bool:
    """TAJ szám (law 1996:XX): nine digits, weights 3 and 7, modulo 10."""
    return len(digits) == 9 and _weigh(digits[:8], (3, 7) * 4) % 10 == int(digits[8])


def is_korean_resident_number(digits: str) -> bool:
    """Resident registration number: date, sex and century, serial.

    Those given since October 2020 have no check digit, so none is asked for.
    """
    if len(digits) != 13 or digits[6] not in "12345678":
        return False
    year = int(digits[:2]) + (2000 if digits[6] in "3478" else 1900)
    return _is_date(year, digits[2:4], digits[4:6])


def is_russian_tax_number(digits: str) -> bool:
    """ИНН of a person: twelve digits, the last two check digits modulo 11 modulo 10."""
    if len(digits) != 12:
        return False
    weights = (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)
    first = _weigh(digits[:10], weights[1:]) % 11 % 10
    second = _weigh(digits[:11], weights) % 11 % 10
    return digits[10:] == f"{first}{second}" and digits != "0" * 12


def is_russian_insurance_number(digits: str) -> bool:
    """СНИЛС: nine digits and their check number modulo 101; those up to 1001998 have none."""
    if len(digits) != 11 or int(digits[:9]) <= 1_001_998:
        return False
    return _weigh(digits[:9], range(9, 0, -1)) % 101 % 100 == int(digits[9:])


def is_jmbg(digits: str) -> bool:
    """JMBG of Serbia and the other Yugoslav states: date, region, serial, modulo 11."""
    if len(digits) != 13 or digits[4] not in "09":
        return False
    year = int(digits[4:7]) + (1000 if digits[4] == "9" else 2000)
    if not _is_date(year, digits[2:4], digits[:2]):
        return False
    check = 11 - _weigh(digits[:12], (7, 6, 5, 4, 3, 2) * 2) % 11
    return int(digits[12]) == (0 if check > 9 else check)


def is_thai_id(digits: str) -> bool:
    """Thai national identity: kind of person from 1 to 8, eleven digits, modulo 11."""
    if len(digits) != 13 or digits[0] not in "12345678":
        return False
    return (11 - _weigh(digits[:12], range(13, 1, -1)) % 11) % 10 == int(digits[12])


def is_vietnamese_id(digits: str) -> bool:
    """CCCD (decree 137/2015): province, sex and century, year, six digits; no check digit."""
    return (
        len(digits) == 12
        and 1 <= int(digits[:3]) <= _VIETNAMESE_PROVINCES
        and digits[3] in "0123"
        and int(digits[6:]) > 0
    )


def _weigh(digits: str, weights: range | tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _is_date(year: int, month: str, day: str) -> bool:
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return True
