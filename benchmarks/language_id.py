"""Measure the language step on short real texts: emoji names of Unicode CLDR.

    npm pack cldr-annotations-full && tar xzf cldr-annotations-full-*.tgz
    python benchmarks/language_id.py package/annotations

Prints, for each language, the share that is kept on a page of the language, on a page that says
nothing, and on an English page; then, for its confusers, the share that wrongly passes.
"""

import json
import random
import sys
from pathlib import Path

import pyarrow as pa

from mella.builders.culture.identifiers import Ensemble
from mella.builders.culture.language import READS, LanguageParams, language_step, load_identifiers
from mella.builders.culture.text import TextParams, clean, judge
from mella.languages import languages

SAMPLE = 500
RULES = TextParams(min_graphemes=10)
CONFUSERS = {
    "ar": ("fa", "ur"),
    "cs": ("sk", "pl", "sl", "hr", "en", "de"),
    "hu": ("sk", "ro", "en", "de"),
    "ru": ("uk", "bg", "mk"),
    "sr": ("mk", "bg", "hr", "bs", "sl", "en"),
    "vi": ("en",),
}


def names(root: Path, locale: str) -> list[str]:
    """Return some names of a locale that the text rules keep."""
    file = root / locale / "annotations.json"
    entries = json.loads(file.read_text("utf-8"))["annotations"]["annotations"].values()
    texts = sorted({clean(entry["tts"][0]) for entry in entries if "tts" in entry})
    texts = [text for text in texts if judge(text, None, RULES) is None]
    return random.Random(1).sample(texts, min(SAMPLE, len(texts)))


def kept(
    texts: list[str], page: str | None, params: LanguageParams, ensemble: Ensemble, code: str
) -> float:
    """Return the share of texts taken for the language `code` on pages that declare `page`."""
    rows = [{"text": text, "page_lang": page} for text in texts]
    table = pa.Table.from_pylist(rows, schema=READS)
    out = pa.concat_tables(language_step(params).apply(table, ensemble))
    return sum(lang == code for lang in out["lang"].to_pylist()) / len(texts)


def main(root: Path) -> None:
    """Print both tables."""
    everything = LanguageParams(tuple(languages().values()))
    ensemble = load_identifiers(everything)
    print("kept             own page  silent  English page")
    for locale in ("ar", "cs", "hu", "ko", "ru", "sr", "sr-Latn", "th", "vi"):
        texts, code = names(root, locale), locale[:2]
        shares = [kept(texts, page, everything, ensemble, code) for page in (code, None, "en")]
        print(f"{locale:16} {shares[0]:8.3f}{shares[1]:8.3f}{shares[2]:14.3f}")
    print("\npasses as        own page  silent  page declares the target")
    for code, confusers in CONFUSERS.items():
        params = LanguageParams((languages()[code],))
        for other in confusers:
            texts = names(root, other)
            shares = [kept(texts, page, params, ensemble, code) for page in (other, None, code)]
            print(f"{other} -> {code:10} {shares[0]:8.3f}{shares[1]:8.3f}{shares[2]:14.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
