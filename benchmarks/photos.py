"""Make the data of the loading benchmark: photos cut from Debian's wallpapers, and repositories.

Everything is made once, from a seed, in `build/bench-loading`, and used again.
"""

import hashlib
import io
import random
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from debian import debian_package
from PIL import Image

from mella.index import write_index
from mella.manifest import MANIFEST, Entry, Manifest
from mella.schema import INDEX
from mella.shards import index_path, shard_path

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from repositories import Sample, build, manifest_of, sample

CELL = ("culture", "th", "train")
WALLPAPERS = {
    "mate-backgrounds": "usr/share/backgrounds/mate/nature/*.jpg",
    "plasma-workspace-wallpapers": "usr/share/wallpapers/*/contents/images/*.jpg",
}
# Those of plasma-workspace-wallpapers that are photographs; the others are drawings.
_PHOTOGRAPHS = {"BytheWater", "ColorfulCups", "EveningGlow", "FallenLeaf", "Kite", "OneStandsOut"}
_MEAN_BYTES = 80_000
_QUALITIES = range(60, 100, 3)
_LARGE = 2000
_WARM = 64
_MILLION = 1_000_000


@dataclass(frozen=True)
class Data:
    """The data of the benchmark, each made when it is first asked for.

    Attributes:
        root: Where they lie.
        samples: How many the repository has.
    """

    root: Path
    samples: int

    @cached_property
    def photos(self) -> Path:
        """A folder of JPEGs of about 80 KB, 640 to 1000 pixels wide."""
        return _make_photos(self.root, "photos", max(self.samples, _WARM), (640, 1000))

    @cached_property
    def large(self) -> Path:
        """A folder of JPEGs of 2000 pixels: one for 20 of the others."""
        return _make_photos(self.root, "photos-2000", max(self.samples // 20, 20), (_LARGE, _LARGE))

    @cached_property
    def repository(self) -> Path:
        """A repository of the photos, in 8 shards."""
        return self._repository(self.samples, 8)

    @cached_property
    def one_shard(self) -> Path:
        """A repository of the photos, in one shard: 4000 make the size of a real one."""
        return self._repository(self.samples, 1)

    @cached_property
    def warm(self) -> Path:
        """A repository of a few photos, for contenders to warm up on."""
        return self._repository(_WARM, 8)

    @cached_property
    def million(self) -> Path:
        """A repository whose index has 1 M rows; its shards are copies of that of `one_shard`."""
        original = self.one_shard
        return self._made(f"million-{self.samples}", lambda folder: _make_million(folder, original))

    def _repository(self, samples: int, shards: int) -> Path:
        photos = [_photo_file(self.photos, number) for number in range(samples)]
        return self._made(
            f"photos-{samples}-shards-{shards}",
            lambda folder: build(folder, {CELL: _samples(photos)}, shards=shards),
        )

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return a folder that is made unless it is there, made by just this format and code."""
        folder = self.root / f"{name}-{_made_by()}"
        if not folder.exists():
            for outdated in self.root.glob(f"{name}-*"):
                shutil.rmtree(outdated)
            partial = self.root / f"{name}-part"
            make(partial)
            partial.rename(folder)
        return folder


def _made_by() -> str:
    """Name what the repositories depend on: the format, and how the photos are made."""
    made_by = repr(INDEX).encode() + Path(__file__).read_bytes()
    return hashlib.sha256(made_by).hexdigest()[:8]


def _make_photos(root: Path, name: str, count: int, sides: tuple[int, int]) -> Path:
    """Fill a folder up to `count` photos; the first ones are the same whatever the count."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    missing = [n for n in range(count) if not _photo_file(folder, n).exists()]
    if not missing:
        return folder
    originals = _originals(root)
    if sides[0] == _LARGE:
        originals = [photo for photo in originals if photo.width >= _LARGE]
    quality = _quality(originals, sides)
    for number in missing:
        temporary = folder / ".part"
        temporary.write_bytes(_encode(_cut(originals, number, sides), quality))
        temporary.rename(_photo_file(folder, number))
    return folder


def _photo_file(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.jpg"


@cache
def _originals(root: Path) -> list[Image.Image]:
    files = [
        file
        for package, pattern in WALLPAPERS.items()
        for file in sorted(debian_package(root, package).glob(pattern))
        if package != "plasma-workspace-wallpapers" or file.parts[-4] in _PHOTOGRAPHS
    ]
    return [Image.open(file).convert("RGB") for file in files if not file.is_symlink()]


def _quality(originals: Sequence[Image.Image], sides: tuple[int, int]) -> int:
    """Return the JPEG quality at which photos of the small kind have about 80 KB in the mean."""
    if sides[0] == _LARGE:
        return 85
    trials = [_cut(originals, number, sides) for number in range(100)]

    def distance(quality: int) -> float:
        return abs(statistics.mean(len(_encode(one, quality)) for one in trials) - _MEAN_BYTES)

    return min(_QUALITIES, key=distance)


def _cut(originals: Sequence[Image.Image], number: int, sides: tuple[int, int]) -> Image.Image:
    """Return a part of a photo, 4:3 or 3:2, its width between `sides`."""
    chance = random.Random(number)
    original = originals[number % len(originals)]
    ratio = chance.choice([4 / 3, 3 / 2])
    out = chance.randint(*sides)
    widest = min(original.width, original.height * ratio)
    width = chance.uniform(min(widest, 0.8 * out), widest)
    height = width / ratio
    left = chance.uniform(0, original.width - width)
    top = chance.uniform(0, original.height - height)
    box = (left, top, left + width, top + height)
    return original.resize((out, round(out / ratio)), Image.Resampling.LANCZOS, box)


def _encode(photo: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _samples(photos: Sequence[Path]) -> list[Sample]:
    source, lang, _ = CELL
    samples = []
    for number, photo in enumerate(photos):
        text = f"ภาพถ่ายหมายเลข {number} จากวอลล์เปเปอร์ของเดเบียน"
        url = f"https://photos{number % 40}.example/{number:07d}"
        more: dict[str, Any] = {
            "script": "Thai",
            "text_origin": "alt",
            "image_url": f"{url}.jpg",
            "page_url": f"{url}.html",
            "domain": f"photos{number % 40}.example",
            "original_format": "JPEG",
            "category": ("food", "dress", "temple")[number % 3],
            "language_score": 0.9,
            "quality_score": number % 100 / 100,
            "license": "LGPL-3.0-only",
            "collected_at": "2026-11-23T10:00:00Z",
        }
        samples.append(sample(source, lang, photo.read_bytes(), text, **more))
    return sorted(samples, key=lambda one: one.key)  # as a build leaves them in a shard


def _make_million(folder: Path, original: Path) -> None:
    """Write an index of 1 M rows over copies of the one shard of a repository.

    A copy is a hard link. Each row has its own key, text, addresses and hash of the image, so that
    the index is as large as that of 1 M samples; where the bytes lie, and their hash, is true.
    """
    manifest = manifest_of(original)
    (shard,) = manifest.shards
    table = _read_rows(original / manifest.indexes[0].path)
    copies = -(-_MILLION // len(table))
    shards, tables = [], []
    for number in range(copies):
        path = shard_path(*CELL, number, copies)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).hardlink_to(original / shard.path)
        shards.append(Entry(path, *CELL, shard.bytes, shard.sha256, shard.samples))
        tables.append(_copy(table, number, path))
    rows = pa.concat_tables(tables).slice(0, _MILLION)
    path = index_path(*CELL)
    (folder / path).parent.mkdir(parents=True)
    write_index(rows, folder / path)
    data = (folder / path).read_bytes()
    index = Entry(path, *CELL, len(data), hashlib.sha256(data).hexdigest(), len(rows))
    (folder / MANIFEST).write_text(Manifest(tuple(sorted(shards)), (index,)).to_json())


def _read_rows(file: Path) -> pa.Table:
    return pq.read_table(file).select(INDEX.names).cast(INDEX)


def _copy(table: pa.Table, number: int, shard: str) -> pa.Table:
    """Return the rows with the columns replaced that are another sample's in each copy."""
    chance = np.random.default_rng(number)
    size = len(table)

    def hexadecimal(digits: int) -> list[str]:
        whole = chance.bytes(size * digits // 2).hex()
        return [whole[start : start + digits] for start in range(0, len(whole), digits)]

    new = {"shard": [shard] * size}
    if number:  # the first copy keeps its keys: by them samples are read
        new |= {"key": sorted(hexadecimal(32)), "sha256": hexadecimal(64)}
        for name in ("text", "image_url", "page_url"):
            new[name] = [f"{value}-{number}" for value in table[name].to_pylist()]
    for name, values in new.items():
        at = INDEX.get_field_index(name)
        table = table.set_column(at, INDEX.field(name), pa.array(values, INDEX.field(name).type))
    return table
