"""Build with the command line as a stranger would, and read what came out."""

import hashlib
import html
import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from PIL import Image

from mella import load_mella
from mella.manifest import MANIFEST, Manifest

RECIPE = Path(__file__).with_name("culture.toml")
Row = dict[str, Any]


@dataclass(frozen=True)
class RealBuild:
    """A finished build in a folder that holds recipe, archives, work and data.

    Attributes:
        folder: Where it lies.
        said: What `mella-build run --json` wrote.
    """

    folder: Path
    said: dict[str, Any]

    @property
    def data(self) -> Path:
        """The repository."""
        return self.folder / "data"

    @cached_property
    def manifest(self) -> Manifest:
        """Of the repository."""
        return Manifest.from_json((self.data / MANIFEST).read_text(), str(self.data))

    @cached_property
    def rows(self) -> dict[str, list[Row]]:
        """All samples by language, their images as bytes."""
        return {
            lang: [
                {**row, "image": row["image"]["bytes"]}
                for split in ("train", "validation", "test")
                if self.manifest.index("culture", lang, split)
                for row in load_mella(
                    lang, source="culture", split=split, repo=self.data, decode=False
                )
            ]
            for lang in sorted({entry.lang for entry in self.manifest.indexes})
        }

    def rejects(self, unit: str) -> dict[str, int]:
        """Return the rows of one level of the funnel that were rejected, by reason."""
        (level,) = (level for level in self.said["levels"] if level["unit"] == unit)
        return {reject["reason"]: reject["rows"] for reject in level["rejects"]}


def build(folder: Path, archives: Sequence[Path], *options: str) -> RealBuild:
    """Build from archives in a folder of its own."""
    (folder / "crawl").mkdir(parents=True)
    for archive in archives:
        os.link(archive, folder / "crawl" / archive.name)
    shutil.copyfile(RECIPE, folder / RECIPE.name)
    said = mella_build("run", RECIPE.name, "--json", *options, folder=folder)
    return RealBuild(folder, json.loads(said))


def mella_build(*arguments: str, folder: Path) -> str:
    """Run the installed command in a folder, and return what it wrote.

    Raises:
        RuntimeError: It failed.
    """
    command = Path(sys.executable).with_name("mella-build")
    done = subprocess.run(
        [command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"mella-build {' '.join(arguments)}:\n{done.stderr}")
    return done.stdout


def images_of(page: Path, url: str) -> set[tuple[str, str]]:
    """Return the address and the alternative text of each image of a page.

    Read with another parser than the one under test.
    """
    found: set[tuple[str, str]] = set()

    class Images(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            if tag == "img" and values.get("src"):
                text = " ".join(html.unescape(values.get("alt") or "").split())
                address = urljoin(url, values["src"])
                found.add((address, unicodedata.normalize("NFC", text)))

    Images().feed(page.read_text(encoding="utf-8", errors="replace"))
    return found


def difference(stored: bytes, original: Path) -> float:
    """Return the mean difference of two images, of 255; the original's alpha is over white."""
    with Image.open(original) as opened:
        rgba = opened.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    shown = Image.alpha_composite(white, rgba).convert("RGB").tobytes()
    with Image.open(io.BytesIO(stored)) as opened:
        if opened.size != rgba.size:
            return 255.0
        kept = opened.convert("RGB").tobytes()
    return sum(abs(a - b) for a, b in zip(shown, kept, strict=True)) / len(kept)


def sha256(data: bytes) -> str:
    """Return the hash of bytes as hex."""
    return hashlib.sha256(data).hexdigest()
