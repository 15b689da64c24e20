"""Short real texts of many languages: names of emoji, descriptions of pictures, programs."""

import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from debian import debian_package

from mella.text import dominant_script, normalise

PROGRAMS = (
    *("gimp-data", "digikam-data", "gnome-control-center-data", "libgtk-3-common"),
    *("plasma-desktop-data", "tuxpaint-data"),
    *(f"libreoffice-l10n-{code}" for code in ("bg", "bs", "cs", "fa", "hr", "mk", "ru", "sk")),
    *("libreoffice-l10n-sr", "libreoffice-l10n-uk"),
)
"""Debian packages with translated strings of programs (gettext)."""
PICTURES = "tuxpaint-stamps-default"
"""A Debian package with pictures for children, described in many languages."""

_SCRIPTS = {"Latn": ("cs", "sk", "pl", "sl", "hr", "bs", "sr-Latn", "hu", "ro", "en", "de", "fr",
                     "es", "it", "nl", "tr", "vi"),
            "Cyrl": ("ru", "uk", "be", "bg", "mk", "sr"), "Arab": ("ar", "fa", "ur"),
            "Hang": ("ko",), "Thai": ("th",), "Laoo": ("lo",)}  # fmt: skip
LOCALES = {code: script for script, codes in _SCRIPTS.items() for code in codes}
"""The script of each locale that is measured; Japanese and Chinese stand in several."""
LOCALES |= {"ja": "", "zh": ""}

_LEAST, _MOST = 8, 120
_PLACEHOLDER = re.compile(r"[%{}<>|\\$=_@]|://")
_MNEMONIC = re.compile(r"[&~](?=\w)|\(&\w\)")
_GETTEXT_NAMES = {"sr-Latn": "sr@latin", "zh": "zh_CN"}


class Text(NamedTuple):
    """A text and what it is a translation of, which is the same in all languages."""

    key: str
    text: str

    @property
    def held_out(self) -> bool:
        """Whether the text is for reports only, in every language alike: every second key."""
        return crc32(self.key.encode()) % 2 == 1


def emoji_names(root: Path, locale: str) -> list[Text]:
    """Return the names of emoji in a locale of CLDR (`annotations` of the npm package)."""
    entries = json.loads((root / locale / "annotations.json").read_text("utf-8"))
    names = entries["annotations"]["annotations"]
    return _usable(locale, ((key, entry["tts"][0]) for key, entry in names.items()
                            if "tts" in entry))  # fmt: skip


def picture_texts(build: Path, locale: str) -> list[Text]:
    """Return the descriptions of Tux Paint's stamps in a locale."""
    start = f"{_GETTEXT_NAMES.get(locale, locale)}.utf8="
    found = []
    for file in sorted(debian_package(build, PICTURES).rglob("*.txt")):
        lines = file.read_text("utf-8", errors="replace").splitlines()
        found += [(lines[0], line[len(start) :]) for line in lines if line.startswith(start)]
    return _usable(locale, found)


def program_texts(build: Path, locale: str) -> list[Text]:
    """Return translated strings of programs in a locale."""
    name = _GETTEXT_NAMES.get(locale, locale)
    found = []
    for package in PROGRAMS:
        for file in sorted(debian_package(build, package).rglob(f"{name}/LC_MESSAGES/*.mo")):
            found += _translations(file.read_bytes())
    return _usable(locale, found)


def _translations(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield originals and translations of a gettext `.mo` file (GNU gettext manual, 10.3)."""
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, originals, translations = struct.unpack_from(f"{order}3I", data, 8)
    for number in range(count):
        strings = []
        for table in (originals, translations):
            length, start = struct.unpack_from(f"{order}2I", data, table + 8 * number)
            strings.append(data[start : start + length].decode("utf-8", "replace").split("\0")[0])
        original, translation = strings
        original = original.rpartition("\x04")[2]
        if original and original != translation:
            yield original, _MNEMONIC.sub("", translation)


def _usable(locale: str, found: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[Text]:
    """Return the distinct texts of fit length, written in the locale's script."""
    texts = {}
    for key, raw in found:
        text = normalise(raw)
        if (
            text not in texts
            and sum(map(str.isalpha, text)) * (2 if text >= "\u3040" else 1) >= _LEAST
            and len(text) <= _MOST
            and not _PLACEHOLDER.search(text)
            and LOCALES[locale] in {"", dominant_script(text)}
        ):
            texts[text] = key
    return sorted(Text(key, text) for text, key in texts.items())
