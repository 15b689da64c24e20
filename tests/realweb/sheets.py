"""Draw pairs of a repository to be judged by hand: sheets of images, and a table to fill in.

    python tests/realweb/sheets.py REPOSITORY FOLDER

Writes, for each language, `FOLDER/<lang>.png` with up to 40 numbered images, and one
`FOLDER/pairs.tsv` with their texts. The draw hangs on the samples alone: it is the same each time.
`judged.tsv` beside this file is such a table, filled in; docs/building.md sums it up.
"""

import csv
import io
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from mella import open_samples
from mella.repository import open_repository

PAIRS = 40
COLUMNS = 8
CELL = 200
COLUMN_NAMES = ("lang", "number", "sha256", "text", "native", "true", "remark")


def draw(repository: Path, lang: str, sheet: Path) -> list[list[str]]:
    """Draw the images of one language, and return the rows of the table."""
    samples = open_samples(lang, "culture", repo=repository)
    chosen = sorted(random.Random(0).sample(range(len(samples)), min(PAIRS, len(samples))))
    rows = -(-len(chosen) // COLUMNS)
    image = Image.new("RGB", (COLUMNS * CELL, rows * CELL), "white")
    pen = ImageDraw.Draw(image)
    table = []
    for number, place in enumerate(chosen):
        sample = samples.at(place)
        left, top = number % COLUMNS * CELL, number // COLUMNS * CELL
        thumbnail = Image.open(io.BytesIO(sample["image"])).convert("RGB")
        thumbnail.thumbnail((CELL - 4, CELL - 20))
        image.paste(thumbnail, (left, top + 16))
        pen.text((left, top), str(number), fill="red", font_size=14)
        table.append([lang, str(number), sample["sha256"][:16], sample["text"], "", "", ""])
    image.save(sheet)
    return table


def main(repository: Path, folder: Path) -> None:
    """Write the sheets and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = open_repository(repository).manifest
    langs = sorted({entry.lang for entry in manifest.indexes if entry.source == "culture"})
    with (folder / "pairs.tsv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMN_NAMES)
        for lang in langs:
            writer.writerows(draw(repository, lang, folder / f"{lang}.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
