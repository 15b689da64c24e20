"""Decide the language of a page from what it declares, where it lies and what is written on it."""

import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from mella.builders.culture.identifiers import Ensemble
from mella.builders.culture.serbian import TWINS, leaning
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
_MIN_SHARE = 0.6


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
        self._of_text: dict[str, str | None] = {}

    def of(
        self, *, tag: str | None, domain: str | None, url: str | None, text: str | None
    ) -> str | None:
        """Return the code of a page's language, or None where evidence is missing or contradictory.

        The page's text counts twice: themes declare `en` by default, and anyone can have a domain.
        """
        votes: Counter[str] = Counter()
        for code, weight in (
            (self.declared(tag), 1),
            (self.domestic(domain, url), 1),
            (self.written(text), _TEXT_VOTES),
        ):
            if code is not None:
                votes[code] += weight
        first, second = [*votes.most_common(2), (None, 0), (None, 0)][:2]
        return first[0] if first[1] > second[1] else None

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

    def written(self, text: str | None) -> str | None:
        """Return the language in which a page's text is written, if that is clear."""
        if not text:
            return None
        if text not in self._of_text:
            self._of_text[text] = self._identify(normalise(text[: self._chars]))
        return self._of_text[text]

    def _identify(self, text: str) -> str | None:
        if sum(char.isalpha() for char in text) < self._letters:
            return None
        shares = self._ensemble.shares(text)
        for (code, script), twins in TWINS.items():
            family = (code, *twins)
            share = sum(shares.get(one, 0.0) for one in family)
            if dominant_script(text) == script and share >= _MIN_SHARE:
                return leaning(text)
        best = next(iter(shares), None)
        return best if best is not None and shares[best] >= _MIN_SHARE else None


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""
