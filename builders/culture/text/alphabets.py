"""The alphabets of the languages: a word with another letter of the script is not one of theirs."""

import unicodedata

from mella.text import scripts

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_VIETNAMESE = "aăâeêioôơuưy"
_TONES = ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")

ALPHABETS: dict[tuple[str, str], frozenset[str]] = {
    # Kaf and yeh are written with other code points in Persian and Urdu; veh is for foreign names.
    ("ar", "Arab"): frozenset("ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىيٱڤ"),
    ("cs", "Latn"): frozenset(_LATIN + "áčďéěíňóřšťúůýž"),
    ("hu", "Latn"): frozenset(_LATIN + "áéíóöőúüű"),
    ("ru", "Cyrl"): frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюя"),
    ("sr", "Cyrl"): frozenset("абвгдђежзијклљмнњопрстћуфхцчџш"),
    ("sr", "Latn"): frozenset(_LATIN + "čćđšž"),
    ("vi", "Latn"): frozenset(
        unicodedata.normalize("NFC", vowel + tone) for vowel in _VIETNAMESE for tone in _TONES
    )
    | frozenset(_LATIN + "đ"),
}
"""Lower-case letters by language and script. A language without an entry has no such evidence."""


def words_in_script(text: str, script: str | None) -> str:
    """Return the words of a text that have a letter of the script: what is to be identified.

    Model names and brands in Latin letters say nothing of the language of a Russian caption.
    """
    return " ".join(word for word in text.split() if script in scripts(word)) if script else ""


def foreign_share(text: str, code: str, script: str) -> float:
    """Return the share of words with a letter that the language's alphabet lacks, from 0 to 1.

    Names keep their letters (Győr in a Czech caption), so one such word among several says little.
    """
    alphabet = ALPHABETS.get((code, script))
    if alphabet is None:
        return 0.0
    words = [
        word
        for word in unicodedata.normalize("NFKC", text).casefold().split()
        if script in scripts(word)
    ]
    foreign = sum(
        any(char.isalpha() and char not in alphabet and script in scripts(char) for char in word)
        for word in words
    )
    return foreign / len(words) if words else 0.0
