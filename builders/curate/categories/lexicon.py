"""Find the terms of the taxonomy's classes in a text, and from them its category.

The terms of a language are in `terms/LANG.toml`, for each class one string with commas between. A
term is a word or a phrase; `*` after a word stands for an ending. In Thai, which has no spaces
between words, a term is found anywhere, one of two letters only where a phrase begins, for it may
stand in any word; of several, the longest counts. Terms under [none] count
for no class: they keep a shorter one from being found in them ("hot dog").
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mella.builders.curate.categories.taxonomy import categories
from mella.builders.curate.categories.words import ends_well, fold, readings, words_of
from mella.errors import MellaError

_UNSPACED = frozenset({"th"})
_GENERAL = 0.5
_LEADING_VOWELS = frozenset("เแโใไ")
_MARKS = frozenset(map(chr, (*range(0x0E30, 0x0E3B), *range(0x0E47, 0x0E4F))))
_DIGITS = 4
_SHORT = 2


class LexiconError(MellaError, ValueError):
    """A file of terms that does not fit the taxonomy."""


@dataclass(frozen=True)
class Term:
    """A term of a class.

    Attributes:
        category: "food/dish"; None: it counts for no class.
        words: Folded words, and whether each is only the beginning of one.
    """

    category: str | None
    words: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Found:
    """The category of a text.

    Attributes:
        category: "food/dish"; None: no term is in the text.
        score: Share of what was found that is in this class, 0 to 1; None: nothing was.
    """

    category: str | None
    score: float | None


class Lexicon:
    """The terms of one language.

    Raises:
        LexiconError: Terms are given for a class that the taxonomy lacks, or a term twice.
    """

    def __init__(self, lang: str) -> None:
        self.lang = lang
        file = resources.files(__package__).joinpath("terms", f"{lang}.toml")
        tables = tomllib.loads(file.read_text("utf-8"))
        self.terms: dict[str, list[Term]] = defaultdict(list)
        seen: dict[tuple[tuple[str, bool], ...], str] = {}
        for category, term in _entries(tables, lang):
            words = self._words(term)
            if not words or any(not stem or "*" in stem for stem, _ in words):
                raise LexiconError(
                    f"terms/{lang}.toml: {term!r} under {category} is no term: write words, each "
                    "with * at its end where it is only the beginning of one."
                )
            if words in seen:
                raise LexiconError(
                    f"terms/{lang}.toml: {term!r} stands under {seen[words]} and under {category}: "
                    "take one of them out."
                )
            seen[words] = category
            known = None if category == "none/terms" else category
            self.terms[words[0][0]].append(Term(known, words))
        self._longest = max(map(len, self.terms), default=0)

    def find(self, text: str) -> Found:
        """Return the category that most of the terms in a text are of, of equals the first.

        Args:
            text: In the form that mella stores.
        """
        weights: dict[str, float] = {}
        for name in self.matches(text):
            weight = _GENERAL if categories()[name].general else 1.0
            weights[name] = weights.get(name, 0.0) + weight
        if not weights:
            return Found(None, None)
        best = max(weights, key=weights.__getitem__)
        return Found(best, round(weights[best] / sum(weights.values()), _DIGITS))

    def matches(self, text: str) -> list[str]:
        """Return the classes of the terms in a text, in order; a class once for each term."""
        folded = fold(text, self.lang)
        found = self._unspaced(folded) if self.lang in _UNSPACED else self._spaced(folded)
        return [term.category for term in found if term.category]

    def _words(self, term: str) -> tuple[tuple[str, bool], ...]:
        if self.lang in _UNSPACED:
            return ((fold(term, self.lang), False),) if term else ()
        return tuple(
            (fold(word.removesuffix("*"), self.lang), word.endswith("*")) for word in term.split()
        )

    def _spaced(self, text: str) -> Iterator[Term]:
        words = words_of(text)
        at = 0
        while at < len(words):
            best = max(self._at(words, at), key=lambda one: one[0], default=None)
            if best is None:
                at += 1
                continue
            (length, _), term = best
            at += length
            yield term

    def _at(self, words: list[str], at: int) -> Iterator[tuple[tuple[int, int], Term]]:
        """Yield the terms that begin with a word, each with its length in words and letters."""
        for form, inner in readings(words[at], self.lang):
            for end in range(2 if inner else 1, min(len(form), self._longest) + 1):
                for term in self.terms.get(form[:end], ()):
                    if self._fits(term, [form, *words[at + 1 : at + len(term.words)]]):
                        yield (len(term.words), sum(len(stem) for stem, _ in term.words)), term

    def _fits(self, term: Term, words: list[str]) -> bool:
        return len(words) == len(term.words) and all(
            word.startswith(stem) and ends_well(word[len(stem) :], self.lang, starred=starred)
            for (stem, starred), word in zip(term.words, words, strict=True)
        )

    def _unspaced(self, text: str) -> Iterator[Term]:
        at = 0
        while at < len(text):
            for end in range(min(len(text), at + self._longest), at, -1):
                terms = self.terms.get(text[at:end])
                if terms and _is_whole(text, at, end):
                    yield terms[0]
                    at = end
                    break
            else:
                at += 1


@cache
def lexicon(lang: str) -> Lexicon | None:
    """Return the terms of a language; None where there are none."""
    file = resources.files(__package__).joinpath("terms", f"{lang}.toml")
    return Lexicon(lang) if file.is_file() else None


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether a piece of Thai begins and ends where signs do."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if end - start <= _SHORT and start and (before.isalpha() or before in _MARKS):
        return False
    return before not in _LEADING_VOWELS and after not in _MARKS


def _entries(tables: dict[str, dict[str, str]], lang: str) -> Iterator[tuple[str, str]]:
    known = {*categories(), "none/terms"}
    for group, table in tables.items():
        for second, terms in table.items():
            name = f"{group}/{second}"
            if name not in known:
                raise LexiconError(f"terms/{lang}.toml: the taxonomy has no class {name}.")
            for term in terms.split(","):
                yield name, " ".join(term.split())
