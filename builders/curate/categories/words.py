"""Find the words of a text, and what may be written onto a word, in each of the languages.

A term of a lexicon is compared with words in a folded form: one case, Serbian in Latin letters,
Russian without the dots of ё, Arabic without vowel signs and with one form of alef, ya and ta
marbuta, Vietnamese with one place for the tone mark. What a word may begin or end with beside the
term is a matter of its language: Arabic writes conjunctions, prepositions and the article before
it and pronouns behind, Korean its particles behind, and joins nouns.
"""
# ruff: noqa: RUF001  (letters that look Latin are just what belongs here)

from collections.abc import Iterator
from typing import Any

import regex

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")

_VOWEL_SIGNS = dict.fromkeys((*range(0x064B, 0x0653), 0x0670, 0x0640))
_ARABIC = {**_VOWEL_SIGNS, **str.maketrans("أإآٱىة", "اااايه")}
_PROCLITICS = regex.compile(r"(?:[وف]?(?:[بك]?ال|لل|[بكل])|[وف])(?=.{3})")
# After ta marbuta was made a ha: the word itself ends in one, which turns to ta before an ending.
_ARABIC_ENDINGS = frozenset(
    (
        *("", "ه", "ات", "ان", "ين", "ون", "ي", "يه", "ها", "هم", "هن", "نا", "ك", "كم", "ا"),
        *("تها", "ته", "تهم", "تنا", "تي", "تك", "تان", "تين", "اتها", "اتهم", "اتنا", "اته"),
    )
)
_KOREAN_ENDINGS = frozenset(
    (
        *("은", "는", "이", "가", "을", "를", "의", "에", "에서", "에게", "에는"),
        *("에서는", "와", "과", "로", "으로", "로서", "도", "만", "까지", "부터", "처럼"),
        *("보다", "이나", "나", "이랑", "랑", "이다", "입니다", "들", "들이", "들은", "들을"),
        *("들의", "들과", "이라는", "라는", "인", "이며", "용", "식", "류", ""),
    )
)
_SERBIAN = {
    **str.maketrans("абцчћдђефгхијклмнопрсштувзж", "abcčćdđefghijklmnoprsštuvzž"),
    ord("љ"): "lj",
    ord("њ"): "nj",
    ord("џ"): "dž",
}
_RUSSIAN = str.maketrans("ё", "е")
_FOLDS: dict[str, Any] = {"ar": _ARABIC, "sr": _SERBIAN, "ru": _RUSSIAN}
_TONES = regex.compile(r"(o)([àáảãạ])|(o)([èéẻẽẹ])|(u)([ỳýỷỹỵ])")
_MOVED = {
    **dict(zip("àáảãạ", zip("òóỏõọ", "aaaaa", strict=True), strict=True)),
    **dict(zip("èéẻẽẹ", zip("òóỏõọ", "eeeee", strict=True), strict=True)),
    **dict(zip("ỳýỷỹỵ", zip("ùúủũụ", "yyyyy", strict=True), strict=True)),
}

# Letters that `*` stands for, at most. Hungarian heaps up endings.
_MOST_ENDING = {"cs": 5, "hu": 10, "ru": 6, "sr": 5, "ar": 5, "ko": 8}
_MOST_OF_OTHERS = 5


def fold(text: str, lang: str) -> str:
    """Return a text as words of this language are compared."""
    text = text.casefold()
    if text.isascii():
        return text
    if lang == "vi":
        moved: str = _TONES.sub(_move_tone, text)
        return moved
    folds = _FOLDS.get(lang)
    return text.translate(folds) if folds else text


def words_of(folded: str) -> list[str]:
    """Return the words of a folded text, in order."""
    found: list[str] = _WORD.findall(folded)
    return found


def readings(word: str, lang: str) -> Iterator[tuple[str, bool]]:
    """Yield a word, then what is left of it without what stands before a noun.

    Yields:
        A form, and whether it is a part of a compound, in which short terms are not looked for.
    """
    yield word, False
    if lang == "ar":
        if (match := _PROCLITICS.match(word)) is not None:
            yield word[match.end() :], False
            # The letter may be the noun's own; a longer prefix was tried first.
            if match.end() > 1 and word[0] in "وفبكل":
                yield word[1:], False
    elif lang == "ko":
        for start in range(1, len(word) - 1):
            yield word[start:], True


def ends_well(rest: str, lang: str, *, starred: bool) -> bool:
    """Whether a word may go on with `rest` after a term.

    Args:
        rest: What is left of the word, folded.
        lang: Of the word.
        starred: Whether the term is the beginning of a word.
    """
    if not rest:
        return True
    if starred:
        return len(rest) <= _MOST_ENDING.get(lang, _MOST_OF_OTHERS)
    if lang == "ar":
        return rest in _ARABIC_ENDINGS
    return lang == "ko" and rest in _KOREAN_ENDINGS


def _move_tone(match: "regex.Match[str]") -> str:
    vowel = next(part for part in match.groups()[1::2] if part)
    return "".join(_MOVED[vowel])
