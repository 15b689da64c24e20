"""Find unsafe terms in a text: whole words or their beginnings, in the eight languages and English.

The terms are in `unsafe_terms.toml` (offensive content); a recipe adds its own. Words are compared
in one case, Russian without the dots of ё, Arabic without vowel signs and with one form of alef, ya
and ta marbuta, with and without the article and the prepositions that are written onto a word.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import regex

from mella.errors import MellaError
from mella.text import normalise

_DATA = "unsafe_terms.toml"
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_ARABIC = regex.compile(r"\p{Arabic}")
_UNSPACED = regex.compile(r"[\p{Thai}\p{Lao}]")
# The conjunction, the preposition and the article, as Arabic writes them onto a word.
_CLITICS = regex.compile(r"[وف]?(?:[بك]?ال|لل|[بكل])?(?=.{3})")
_CLITIC_LETTERS = "وفبكلا"
_VOWEL_SIGNS = dict.fromkeys((*range(0x064B, 0x0653), 0x0670, 0x0640))
_LETTERS = str.maketrans("أإآٱىةё", "ااااي" + "هе")  # noqa: RUF001  (Cyrillic)
_FOLDED = {**_VOWEL_SIGNS, **_LETTERS}
_DIGRAPHS = {"lj": "љ", "nj": "њ", "dž": "џ"}
_CYRILLIC = str.maketrans("abcčćdđefghijklmnoprsštuvzž", "абцчћдђефгхијклмнопрсштувзж")

Phrase = tuple[str, ...]
"""Words of a term in order; one that ends in `*` is the beginning of a word."""


class UnsafeTermsError(MellaError, ValueError):
    """A file of terms that cannot be read, or a term that could not be found in any text."""


@dataclass(frozen=True)
class UnsafeTerms:
    """Terms as they are looked for.

    Attributes:
        starts: The first two letters of all terms: most words are dismissed by these.
        words: Terms of one word.
        stems: Beginnings of words, by their length.
        phrases: Terms of several words, by the first two letters of the first.
        unspaced: Terms of scripts without spaces, found anywhere; None: there are none.
    """

    starts: frozenset[str]
    words: frozenset[str]
    stems: Mapping[int, frozenset[str]]
    phrases: Mapping[str, tuple[Phrase, ...]]
    unspaced: "regex.Pattern[str] | None"

    def found_in(self, text: str) -> bool:
        """Whether a text, in the form that mella stores, holds a term."""
        if self.unspaced and _UNSPACED.search(text) and self.unspaced.search(text):
            return True
        words = _WORD.findall(_fold(text))
        return any(
            self._begins(words, at)
            for at, word in enumerate(words)
            if word[:2] in self.starts or word[0] in _CLITIC_LETTERS
        )

    def _begins(self, words: list[str], at: int) -> bool:
        word = words[at]
        forms = [word]
        if _ARABIC.match(word) and (bare := _CLITICS.sub("", word, count=1)) != word:
            forms.append(bare)
        for form in forms:
            if form[:2] not in self.starts:
                continue
            if form in self.words or any(form[:n] in stems for n, stems in self.stems.items()):
                return True
            rest = [form, *words[at + 1 :]]
            if any(_fits(phrase, rest) for phrase in self.phrases.get(form[:2], ())):
                return True
        return False


@cache
def unsafe_terms(more: tuple[str, ...] = ()) -> UnsafeTerms:
    """Return the terms of the eight languages and English, and others beside them.

    Args:
        more: Terms as in the data file: words and phrases, `*` for any ending.

    Raises:
        UnsafeTermsError: One of `more` is no term.
    """
    data = tomllib.loads(resources.files(__package__).joinpath(_DATA).read_text("utf-8"))
    known = [
        form
        for language, kinds in data.items()
        for terms in kinds.values()
        for term in terms
        for form in (_in_both_scripts(term) if language == "sr" else (term,))
    ]
    return _compile([*known, *more])


def read_terms(paths: Iterable[Path]) -> tuple[str, ...]:
    """Read terms from text files: one a line, `#` before a remark.

    Raises:
        UnsafeTermsError: A file is not there, or not UTF-8; or a line is no term.
    """
    terms: dict[str, None] = {}
    for path in paths:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UnsafeTermsError(f"{path} is no list of terms in UTF-8: {error}.") from error
        bare = (line.partition("#")[0].strip() for line in lines)
        terms |= dict.fromkeys(term for term in bare if term)
    _compile(terms)
    return tuple(terms)


def _compile(terms: Iterable[str]) -> UnsafeTerms:
    words: set[str] = set()
    stems: dict[int, set[str]] = {}
    phrases: dict[str, set[Phrase]] = {}
    unspaced: set[str] = set()
    for term in terms:
        folded = _fold(normalise(term))
        phrase = tuple(_split(folded))
        if not phrase or not all(map(_bare, phrase)) or len(_bare(phrase[0])) < 2:
            raise UnsafeTermsError(
                f"{term!r} is no unsafe term: write a word of two letters or more, or several with "
                "a space between, and * at the end of a word for any ending."
            )
        if _UNSPACED.search(term):
            unspaced.add(_bare(folded))
        elif len(phrase) > 1:
            phrases.setdefault(phrase[0][:2], set()).add(phrase)
        elif phrase[0].endswith("*"):
            stem = _bare(phrase[0])
            stems.setdefault(len(stem), set()).add(stem)
        else:
            words.add(phrase[0])
    one_word = {*words, *(stem for some in stems.values() for stem in some)}
    return UnsafeTerms(
        starts=frozenset({*(word[:2] for word in one_word), *phrases}),
        words=frozenset(words),
        stems={length: frozenset(some) for length, some in sorted(stems.items())},
        phrases={start: tuple(sorted(some)) for start, some in phrases.items()},
        unspaced=regex.compile("|".join(map(regex.escape, sorted(unspaced)))) if unspaced else None,
    )


def _split(term: str) -> Iterator[str]:
    """Yield the words of a term as they are found in texts, with their `*`."""
    for part in term.split():
        *whole, last = _WORD.findall(part) or [""]
        yield from whole
        yield last + "*" if part.endswith("*") else last


def _bare(word: str) -> str:
    return word.removesuffix("*")


def _fits(phrase: Phrase, words: list[str]) -> bool:
    return len(words) >= len(phrase) and all(
        word.startswith(part[:-1]) if part.endswith("*") else word == part
        for part, word in zip(phrase, words, strict=False)
    )


def _fold(text: str) -> str:
    text = text.casefold()
    return text if text.isascii() else text.translate(_FOLDED)


def _in_both_scripts(term: str) -> tuple[str, str]:
    cyrillic = term
    for latin, letter in _DIGRAPHS.items():
        cyrillic = cyrillic.replace(latin, letter)
    return term, cyrillic.translate(_CYRILLIC)
