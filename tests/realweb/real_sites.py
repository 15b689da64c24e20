"""The websites of the test: manuals in many languages, out of Debian packages.

Most have no `lang` attribute. Some are translated in part only (Czech, Korean), or not at all
(Thai), so that English text stands on pages of another language; Persian, Croatian and Ukrainian
are there to be mistaken for Arabic, Serbian and Russian. None is in Serbian.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Manual(NamedTuple):
    """A manual on the web and in a package; `{}` stands for the name of its language there."""

    address: str
    package: str
    folder: str
    languages: tuple[str, ...]
    start: str = ""


MANUALS = (
    Manual(
        "http://docs.gimp.org/2.10/{}/", "gimp-help-{}", "usr/share/gimp/2.0/help/{}", ("ru", "cs")
    ),
    Manual(
        "http://debian-handbook.info/browse/{}/stable/",
        "debian-handbook",
        "usr/share/doc/debian-handbook/html/{}",
        ("ar-MA", "cs-CZ", "fa-IR", "hr-HR", "ko-KR", "ru-RU", "vi-VN"),
    ),
    Manual(
        "http://omegat.sourceforge.io/manual/{}/",
        "omegat",
        "usr/share/doc/omegat/html/{}",
        ("cs", "hr", "hu", "ru"),
    ),
    Manual(
        "http://omegat.sourceforge.io/manual/{}/",
        "omegat",
        "usr/share/doc/omegat/html/{}",
        ("ar", "ko"),
        "instantStartGuideNoTOC.html",
    ),
    Manual(
        "http://bibletime.info/handbook/{}/",
        "bibletime-data",
        "usr/share/doc/bibletime-data/handbook/html/{}",
        ("ar", "cs", "hu", "ko", "ru", "th", "uk"),
    ),
    Manual(
        "http://doublecmd.github.io/doc/{}/",
        "doublecmd-help-{}",
        "usr/share/doublecmd/doc/{}",
        ("ru",),
    ),
)

PACKAGES = tuple(
    dict.fromkeys(manual.package.format(lang) for manual in MANUALS for lang in manual.languages)
)
"""About 150 MB to download."""

STARTS = tuple(
    manual.address.format(lang) + manual.start for manual in MANUALS for lang in manual.languages
)
"""The pages to crawl from."""

DOMAINS = ("bibletime.info", "debian-handbook.info", "gimp.org", "github.io", "sourceforge.io")


def folders(packages: Mapping[str, Path]) -> dict[str, Path]:
    """Return the folder that stands behind each address."""
    return {
        manual.address.format(lang): packages[manual.package.format(lang)]
        / manual.folder.format(lang)
        for manual in MANUALS
        for lang in manual.languages
    }
