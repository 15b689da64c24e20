"""Numbers by which texts are recognised that are equal, or share a long run, in any script."""

import unicodedata
from dataclasses import dataclass

import regex
import xxhash

from mella.builders.curate.best_text import length
from mella.builders.engine.params import check_least
from mella.text import normalise

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_GRAPHEME = regex.compile(r"\X")
# Scripts without spaces between words.
_UNSPACED = regex.compile(
    r"[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Han}"
    r"\p{Script=Hiragana}\p{Script=Katakana}]+"
)
# Arabic vowel signs and the tatweel, which may be written or not.
_OPTIONAL = regex.compile(r"[\u0640\u064b-\u0652\u0670]+")
_BETWEEN = "\x1f"


@dataclass(frozen=True)
class Runs:
    """How long what two texts share must be.

    Attributes:
        whole: Least length of a text that is compared as a whole: graphemes with a letter, where
            a Hangul syllable or a Chinese character counts twice. Shorter ones are names and words
            that anyone may write.
        words: Words in a row, in scripts with spaces between them.
        graphemes: Graphemes in a row, in scripts without.
    """

    whole: int = 12
    words: int = 8
    graphemes: int = 30

    def __post_init__(self) -> None:
        check_least(self, {"whole": 1, "words": 1, "graphemes": 1})


def fingerprints(text: str, runs: Runs) -> set[int]:
    """Return numbers of 64 bits: texts share one if they are equal or share a run.

    Case, punctuation, spaces, compatibility forms (full-width letters, ligatures) and what Arabic
    may leave out do not count.
    """
    folded = unicodedata.normalize("NFKC", normalise(text)).casefold()
    words = _WORD.findall(unicodedata.normalize("NFKC", _OPTIONAL.sub("", folded)))
    joined = "".join(words)
    signs = _GRAPHEME.findall("".join(_UNSPACED.findall(joined)))
    found = _runs(words, runs.words) | _runs(signs, runs.graphemes)
    if length(joined) >= runs.whole:
        found.add(xxhash.xxh3_64_intdigest(joined.encode()))
    return found


def _runs(units: list[str], size: int) -> set[int]:
    return {
        xxhash.xxh3_64_intdigest(_BETWEEN.join(["", *units[start : start + size]]).encode())
        for start in range(len(units) - size + 1)
    }
