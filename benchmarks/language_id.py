"""Measure the language step on short real texts that nothing was fitted to: the confusion table.

    npm pack cldr-annotations-full && tar xzf cldr-annotations-full-*.tgz
    python benchmarks/language_id.py package/annotations build

The texts are emoji names of Unicode CLDR and descriptions of Tux Paint's pictures (from Debian),
the half that `benchmarks/language_training.py` leaves out. Prints the tables of docs/language.md:
what is kept of each language, and what passes of its confusers, by what the page says of itself.
"""

import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from language_texts import emoji_names, picture_texts

from mella.builders.culture.language.identifiers import Ensemble
from mella.builders.culture.language.step import (
    READS,
    LanguageParams,
    language_step,
    load_identifiers,
)
from mella.languages import languages

SAMPLE = 200
PAGE_TEXTS = 30
CONFUSERS = {
    "ar": ("fa", "ur"),
    "cs": ("sk", "pl", "sl", "hr", "en", "de"),
    "hu": ("sk", "ro", "en", "de"),
    "ko": ("ja", "zh"),
    "ru": ("uk", "be", "bg", "mk"),
    "sr": ("mk", "bg", "hr", "bs", "sl", "en"),
    "th": ("lo",),
    "vi": ("en", "fr"),
}
TARGETS = ("ar", "cs", "hu", "ko", "ru", "sr", "sr-Latn", "th", "vi")
Pages = dict[str, dict[str, str]]


def texts_of(root: Path, build: Path, locale: str, *, held_out: bool) -> list[str]:
    """Return the texts of a locale of one half, in an order that is drawn once."""
    items = [*emoji_names(root, locale), *picture_texts(build, locale)]
    texts = sorted({item.text for item in items if item.held_out == held_out})
    random.Random(1).shuffle(texts)
    return texts


def pages_of(code: str, body: str, claimed: str) -> Pages:
    """Return what a page says, by the name of the column: a page in `code` with the text `body`.

    Args:
        code: The language of the page.
        body: What is written on it.
        claimed: What it claims to be in where its claims are wrong.
    """
    domain = f"example.{languages()[claimed].domains[0]}" if claimed in languages() else "a.example"
    return {
        "truthful": {"page_lang": code, "page_text": body},
        "tag only": {"page_lang": code},
        "silent": {},
        "text true, tag wrong": {"page_lang": claimed, "page_text": body},
        "tag wrong, no text": {"page_lang": claimed},
        "tag and domain wrong": {"page_lang": claimed, "domain": domain},
    }


def shares_kept(
    texts: list[str], pages: Iterable[dict[str, str]], code: str, ensemble: Ensemble
) -> list[float]:
    """Return, for each page, the share of the texts that is taken for the language `code`."""
    params = LanguageParams(tuple(languages().values()))
    rows = [{"text": text, **page} for page in pages for text in texts]
    table = pa.Table.from_pylist(rows, schema=READS)
    made = pa.concat_tables(language_step(params).apply(table, ensemble))["lang"].to_pylist()
    parts = range(0, len(made), len(texts))
    return [made[start : start + len(texts)].count(code) / len(texts) for start in parts]


def main(root: Path, build: Path) -> None:
    """Print both tables, and the speed."""
    ensemble = load_identifiers(LanguageParams(tuple(languages().values())))
    bodies, samples = {}, {}
    for locale in sorted({*TARGETS, *(one for many in CONFUSERS.values() for one in many)}):
        bodies[locale] = ". ".join(texts_of(root, build, locale, held_out=False)[:PAGE_TEXTS])
        samples[locale] = texts_of(root, build, locale, held_out=True)[:SAMPLE]
    columns = list(pages_of("cs", "", "en"))
    _head("kept", columns)
    for locale in TARGETS:
        code = locale.partition("-")[0]
        pages = pages_of(code, bodies[locale], "en")
        _line(locale, shares_kept(samples[locale], pages.values(), code, ensemble))
    _head("passes", columns)
    for target, confusers in CONFUSERS.items():
        for other in confusers:
            pages = pages_of(other, bodies[other], target)
            passed = shares_kept(samples[other], pages.values(), target, ensemble)
            _line(f"{other} as {target}", passed)
    texts = [text for locale in TARGETS for text in samples[locale]]
    started = time.process_time()
    shares_kept(texts, [{"page_lang": "cs"}], "cs", ensemble)
    print(f"\n{len(texts) / (time.process_time() - started):.0f} distinct texts per CPU second")


def _head(name: str, columns: list[str]) -> None:
    print(f"\n| {name} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")


def _line(name: str, shares: list[float]) -> None:
    print(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
