"""Measure the categories by text: on CLDR names of emoji whose class is known, and their speed.

    npm pack cldr-annotations-full && tar xzf cldr-annotations-full-*.tgz
    python benchmarks/categories.py package/annotations

Prints for each language: names, how many got a category, how many the right first level, and texts
a second of CPU on the captions of the mini-web. Some terms were added for names that were missed:
read the figures as an upper bound.
"""

import json
import sys
import time
from pathlib import Path

from mella.builders.curate.categories.lexicon import Lexicon
from mella.languages import languages
from mella.text import normalise

EMOJI = {
    "food": "🧆☕🫒🍋🍠🍜🍚🍛🍲🥟🍞🥐🥨🧀🍺🍷🍵🌶🥥🍌🍉🥭🍍🎂🍰🍦",
    "animals": "🐪🦂🐘🐕🐎🦢🦔🐂🐓🐟🐃🐅🐒🐻🦉🦋🐝🐸🐍",
    "religion": "🕌⛪📿🛕⛩",
    "music": "🎻🥁🎺🎸🪕🎹🎷🪗",
    "transport": "🚂🚲🛵🚋⛵🚌🛶🚗✈",
    "nature": "🌴🏜🌊🌷🌻🌸🌙⛰🌲",
    "dress": "👗👘👒👑🧣🧤🧥👢",
    "sport": "⚽🥋🏹🛡🎿⛸♟🪁🥊",
}
CAPTIONS = Path(__file__).parent.parent / "builders" / "miniweb" / "captions.jsonl"


def main(annotations: Path) -> None:
    """Print the table."""
    captions = [json.loads(line) for line in CAPTIONS.read_text("utf-8").splitlines()]
    print("lang  names  found  right  texts/s")
    for lang in languages():
        terms = Lexicon(lang)
        file = annotations / lang / "annotations.json"
        names = json.loads(file.read_text("utf-8"))["annotations"]["annotations"]
        known = [
            (group, normalise(names[emoji]["tts"][0]))
            for group, some in EMOJI.items()
            for emoji in some
            if emoji in names
        ]
        found = [(group, terms.find(name).category) for group, name in known]
        right = sum(bool(got) and str(got).split("/")[0] == group for group, got in found)
        texts = [one["text"] for one in captions if one["lang"] == lang] * 50
        start = time.process_time()
        for text in texts:
            terms.find(text)
        speed = len(texts) / (time.process_time() - start)
        covered = sum(got is not None for _, got in found)
        print(f"{lang:4}  {len(known):5}  {covered:5}  {right:5}  {speed:7.0f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
