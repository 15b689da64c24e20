"""Decode JPEGs to 448 pixels: mella and Pillow, interleaved in one run; prints CPU time and ratios.

    python benchmarks/decode.py FOLDER [ROUNDS]

FOLDER holds photos (JPEG), such as those of the Debian packages plasma-workspace-wallpapers and
mate-backgrounds. Made of them are pictures of the web's size, about 80 KB each, and large ones with
2000 pixels at the long side. The short side becomes 448. Printed next: how far the results lie from
a full decode that is resized in floating point (levels of 0 to 255).
"""

import io
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mella.decode import Decoding, make_decoder

SIDE = 448
WEB_SIZES = ((640, 480), (800, 600), (1000, 667), (1000, 750), (750, 1000))
WEB_BYTES = 82_000
LARGE = 2000

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def read_photos(folder: Path) -> list[Image.Image]:
    images = []
    for path in sorted(folder.rglob("*.jp*g")):
        with Image.open(path) as image:
            if image.width >= LARGE and image.height >= LARGE // 2:
                image.draft("RGB", (LARGE, LARGE // 2))
                small = image.convert("RGB")
                small.thumbnail((LARGE, LARGE), Image.Resampling.LANCZOS)
                images.append(small)
    random.Random(0).shuffle(images)
    return images[:40]


def encode(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def web_picture(photo: Image.Image, size: tuple[int, int]) -> bytes:
    """Cut out a part, and take the quality that comes nearest to the usual number of bytes."""
    scale = min(photo.width / size[0], photo.height / size[1], 1.5)
    part = (0, 0, int(size[0] * scale), int(size[1] * scale))
    picture = photo.resize(size, Image.Resampling.LANCZOS, part)
    files = [encode(picture, quality) for quality in range(60, 100, 5)]
    return min(files, key=lambda data: abs(len(data) - WEB_BYTES))


def target(width: int, height: int) -> tuple[int, int]:
    short = min(width, height)
    return round(width * SIDE / short), round(height * SIDE / short)


def pillow(resample: Image.Resampling) -> Callable[[bytes], Image.Image]:
    def decode(data: bytes) -> Image.Image:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return image.resize(target(*image.size), resample)

    return decode


def exact(data: bytes) -> np.ndarray[Any, Any]:
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    size = target(pixels.shape[1], pixels.shape[0])
    bands = [Image.fromarray(pixels[..., i]).resize(size, BICUBIC) for i in range(3)]
    return np.stack([np.asarray(band) for band in bands], axis=-1).clip(0, 255)


def compare(name: str, images: list[bytes], rounds: int) -> None:
    bicubic = pillow(BICUBIC)
    runs: dict[str, Callable[[bytes], Any]] = {
        "Pillow bicubic": bicubic,
        "Pillow bilinear": pillow(BILINEAR),
        "Pillow bicubic, numpy": lambda data: np.array(bicubic(data)),
        "mella, Pillow alone": make_decoder(Decoding(size=SIDE, fast=False)),
        "mella, fast": make_decoder(Decoding(size=SIDE, fast=True)),
        "mella, fast, numpy": make_decoder(Decoding(size=SIDE, fast=True, output="numpy")),
        "mella, fast, torch": make_decoder(Decoding(size=SIDE, fast=True, output="torch")),
    }
    cpu: dict[str, list[float]] = {who: [] for who in runs}
    gains: dict[str, list[float]] = {who: [] for who in runs}
    with ThreadPoolExecutor(2) as threads:
        for _ in range(rounds):
            for who, decode in runs.items():
                start, start_cpu = time.perf_counter(), time.process_time()
                for data in images:
                    decode(data)
                middle, middle_cpu = time.perf_counter(), time.process_time()
                list(threads.map(decode, images))
                cpu[who].append((middle_cpu - start_cpu) / len(images))
                gains[who].append((middle - start) / (time.perf_counter() - middle))
    size = statistics.mean(map(len, images)) / 1000
    print(f"{name}: {len(images)} files of {size:.0f} KB     CPU ms  x bicubic  2 threads")
    base = statistics.median(cpu["Pillow bicubic"])
    for who, times in cpu.items():
        median, gain = statistics.median(times), statistics.median(gains[who])
        print(f"  {who:<28} {median * 1000:12.2f} {base / median:10.2f} {gain:10.2f}")
    print("  from exact bicubic             mean    99 %  99.9 %    most")
    for who in ("Pillow bicubic", "Pillow bilinear", "mella, Pillow alone", "mella, fast"):
        apart = [np.abs(np.asarray(runs[who](data), np.float32) - exact(data)) for data in images]
        levels = np.concatenate([part.ravel() for part in apart])
        high = np.percentile(levels, [99, 99.9])
        print(f"  {who:<28} {levels.mean():6.2f} {high[0]:7.2f} {high[1]:7.2f} {levels.max():7.0f}")
    fast, slow = runs["mella, fast"], runs["mella, Pillow alone"]
    apart = [
        np.abs(np.asarray(fast(data), np.float32) - np.asarray(slow(data), np.float32))
        for data in images
    ]
    levels = np.concatenate([part.ravel() for part in apart])
    high = np.percentile(levels, [99, 99.9])
    print(
        f"  {'fast from Pillow alone':<28} {levels.mean():6.2f} {high[0]:7.2f} {high[1]:7.2f} "
        f"{levels.max():7.0f}\n"
    )


def main() -> None:
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    photos = read_photos(Path(sys.argv[1]))
    if not photos:
        sys.exit(f"No JPEG of at least {LARGE} x {LARGE // 2} pixels in {sys.argv[1]}.")
    web = [web_picture(photo, WEB_SIZES[i % len(WEB_SIZES)]) for i, photo in enumerate(photos)]
    large = [encode(photo, 88) for photo in photos[:16]]
    compare("web", web, rounds)
    compare(f"{LARGE} pixels", large, rounds)


if __name__ == "__main__":
    main()
