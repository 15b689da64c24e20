"""Decide the language of a page from what it declares, where it lies and what is written on it."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mella.builders.culture.language.identifiers import WELL_KNOWN, Ensemble
from mella.builders.culture.language.neighbours import neighbour_models
from mella.builders.culture.language.serbian import TWINS, leaning
from mella.builders.culture.text.alphabets import words_in_script
from mella.languages import Language
from mella.text import dominant_script, normalise

# Codes in `lang` attributes that are wrong or old, and what is meant by them. Country codes stand
# for languages; `kr` is Kanuri, and `vn` and `cz` are nothing, but no page means that.
_MEANT = {"cz": "cs", "kr": "ko", "vn": "vi", "rs": "sr", "jp": "ja", "cn": "zh", "ua": "uk",
          "iw": "he", "scc": "sr", "cze": "cs", "slo": "sk", "slk": "sk", "hrv": "hr", "bos": "bs",
          "ukr": "uk", "bul": "bg", "eng": "en", "deu": "de", "ger": "de", "fas": "fa", "per": "fa",
          "hbs": "sh"}  # fmt: skip

# Country domains of the nearest languages: evidence against the wanted ones.
_NEIGHBOURS = {"sk": "sk", "ua": "uk", "bg": "bg", "hr": "hr", "ba": "bs", "mk": "mk", "si": "sl",
               "pl": "pl", "de": "de", "at": "de", "ir": "fa", "af": "fa", "pk": "ur", "jp": "ja",
               "cn": "zh", "tw": "zh", "la": "lo", "ro": "ro", "us": "en", "uk": "en",
               "xn--j1amh": "uk", "xn--90ae": "bg", "xn--d1alf": "mk",
               "xn--mgba3a4f16a": "fa"}  # fmt: skip

_TEXT_VOTES = 2
_MIN_SHARE = 0.5
# Where no word tells the twins apart, the letters of a whole page do: on texts of other kinds than
# it was trained on, the model gives Serbian ones about 0, Bosnian ones -6 and less, Croatian -30.
_LEAST_OF_PAGE = -3.0
# How pages of a language in two scripts name the way to their twin in the other script.
_TWIN_PAGE = re.compile(r"\b(?:ћирилица|латиница|ћир|лат|ćirilica|latinica)\b", re.IGNORECASE)
# A part of a path that names a language: `/ru/`, `/sr-latn/`, `/cs_CZ/`.
_PATH_CODE = re.compile(r"([a-z]{2})(?:[-_][a-z]{2,4}){0,2}")
_PATH_PARTS = 2


@dataclass(frozen=True)
class PageLanguage:
    """The language of a page, as far as it matters to one of its images.

    Attributes:
        code: ISO 639-1; None: evidence is missing or contradictory.
        sure: Whether what is written on the page says so, or the image's own `lang` attribute,
            rather than just a declaration, a domain or an address.
    """

    code: str | None
    sure: bool = False


class PageLanguages:
    """Decides the language of pages; each distinct text is identified once.

    Args:
        languages: The wanted languages, whose domains are known.
        ensemble: The identifiers.
        chars: Characters of a page's text that are read.
        letters: Letters below which a page's text says nothing.
    """

    def __init__(
        self, languages: Iterable[Language], ensemble: Ensemble, *, chars: int, letters: int
    ) -> None:
        languages = tuple(languages)
        self._domains = dict(_NEIGHBOURS)
        self._names = dict(_MEANT)
        for language in languages:
            self._domains.update(dict.fromkeys(language.domains, language.code))
            for name in (language.crawl_code, language.name, language.native_name):
                self._names[name.casefold()] = language.code
        self._ensemble = ensemble
        self._chars = chars
        self._letters = letters
        self._in_paths = {*WELL_KNOWN, *(language.code for language in languages)}
        self._of_text: dict[tuple[str, str | None], str | None] = {}

    def of(
        self,
        *,
        tag: str | None,
        domain: str | None,
        url: str | None,
        text: str | None,
        element: str | None = None,
        script: str | None = None,
    ) -> PageLanguage:
        """Return the language of a page.

        The page's text counts twice: themes declare `en` by default, and anyone can have a domain.
        A `lang` attribute of the image itself is written on purpose, and decides alone.

        Args:
            tag: The `lang` attribute of the page.
            domain: Its registered domain.
            url: Its address.
            text: What is written on it.
            element: The `lang` attribute of the image, or of what is around it.
            script: Script of the image's text: what is written in others on the page, such as the
                menus of a page that is half translated, says nothing of it.
        """
        marked = self.declared(element)
        if marked is not None:
            return PageLanguage(marked, sure=True)
        written = self.written(text, script)
        votes: Counter[str] = Counter()
        for code, weight in (
            (self.declared(tag), 1),
            (self.domestic(domain, url), 1),
            (self.addressed(url), 1),
            (written, _TEXT_VOTES),
        ):
            if code is not None:
                votes[code] += weight
        first, second = [*votes.most_common(2), (None, 0), (None, 0)][:2]
        code = first[0] if first[1] > second[1] else None
        return PageLanguage(code, sure=code is not None and code == written)

    def declared(self, tag: str | None) -> str | None:
        """Return the language of a `lang` attribute: `sr-Latn-RS`, `cs_CZ`, `cze`, `Magyar`."""
        name = (tag or "").strip().casefold()
        if name in self._names:
            return self._names[name]
        primary = re.match(r"([a-z]{2,3})(?![^\W_])", name)
        return self._names.get(primary[1], primary[1]) if primary else None

    def domestic(self, domain: str | None, url: str | None) -> str | None:
        """Return the language of a country's domain: that of `domain`, else of the page's URL."""
        host = domain or _host(url)
        last = host.rstrip(".").rsplit(".", 1)[-1].casefold()
        try:
            return self._domains.get(last.encode("idna").decode())
        except UnicodeError:
            return None

    def addressed(self, url: str | None) -> str | None:
        """Return the language that an address names: of `https://example.com/sr-latn/a`, sr."""
        try:
            parts = urlsplit(url or "").path.casefold().split("/")[1 : _PATH_PARTS + 1]
        except ValueError:
            return None
        codes = [found[1] for part in parts if (found := _PATH_CODE.fullmatch(part))]
        return next((code for code in codes if code in self._in_paths), None)

    def written(self, text: str | None, script: str | None = None) -> str | None:
        """Return the language in which a page's text is written, if that is clear.

        Args:
            text: What is written on the page.
            script: Only words in this script are read; None: in any.
        """
        if not text:
            return None
        if (text, script) not in self._of_text:
            head = normalise(text[: self._chars])
            self._of_text[text, script] = self._identify(head, script)
        return self._of_text[text, script]

    def _identify(self, whole: str, only: str | None) -> str | None:
        text = words_in_script(whole, only) if only else whole
        if sum(char.isalpha() for char in text) < self._letters:
            return None
        shares = self._ensemble.shares(text)
        for (code, script), twins in TWINS.items():
            family = (code, *twins)
            share = sum(shares.get(one, 0.0) for one in family)
            if dominant_script(text) == script and share >= _MIN_SHARE:
                return _of_twins(whole, text, code, script)
        best = next(iter(shares), None)
        return best if best is not None and shares[best] >= _MIN_SHARE else None


def _of_twins(whole: str, text: str, code: str, script: str) -> str | None:
    """Return which of the twins a page is in: by its words, its letters, or its twin page."""
    by_words = leaning(text)
    if by_words is not None:
        return by_words
    if _TWIN_PAGE.search(whole):
        return code
    model = neighbour_models().get((code, script))
    if model is None:
        return None
    return code if model.log_odds(text) > _LEAST_OF_PAGE else TWINS[code, script][0]


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""
