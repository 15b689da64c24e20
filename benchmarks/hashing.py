"""Hash images beside imagehash, by turns in one process, and search hashes; prints CPU time.

    python benchmarks/hashing.py [IMAGES] [ROUNDS]

The images are photos cut from Debian's wallpapers (`photos.py`): of 640 to 1000 pixels and about
80 KB, as the web has them, and the same at 400 x 300. The peer decodes them in full and hashes them
with `imagehash.phash` (64 bits as well). Ours is measured alone (from the file to the hash) and as
the build does it, with the check of the header, the removal of metadata and the test for emptiness.

Then, of a million random hashes and 20 000 near copies of some, all pairs within a distance of 5.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
from measure import ratio
from photos import Data
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.culture.images.phash import THUMBNAIL, perceptual_hash
from mella.builders.culture.images.picture import ImageRules, normalise_image
from mella.builders.curate.hamming import near_pairs

ROOT = Path(__file__).parent.parent / "build" / "bench-loading"
RULES = ImageRules()
GOAL = 500
DISTANCE = 5


def alone(data: bytes) -> object:
    """Hash a JPEG, decoded as small as the hash allows."""
    image = JpegImageFile(io.BytesIO(data))
    image.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
    return perceptual_hash(image)


def in_build(data: bytes) -> object:
    """Do all that the build does with an image."""
    return normalise_image(data, RULES)


def peer(data: bytes) -> object:
    """Hash with imagehash."""
    return imagehash.phash(Image.open(io.BytesIO(data)))


CONTENDERS: dict[str, Callable[[bytes], object]] = {
    "imagehash, full decode": peer,
    "mella, the hash alone": alone,
    "mella, as the build does": in_build,
}


def seconds(work: Callable[[bytes], object], images: list[bytes]) -> float:
    """Return the CPU time that it takes for all images."""
    start = time.process_time()
    for data in images:
        work(data)
    return time.process_time() - start


def measure(name: str, images: list[bytes], rounds: int) -> None:
    """Print images a second, of each contender by turns, and how many times the peer's."""
    for work in CONTENDERS.values():
        seconds(work, images[:20])
    costs: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender, work in CONTENDERS.items():
            costs[contender].append(seconds(work, images))
    print(f"{name}: {len(images)} of {statistics.mean(map(len, images)) / 1000:.0f} KB")
    for contender, times in costs.items():
        speed = len(images) / statistics.median(times)
        times_peer = ratio(costs["imagehash, full decode"], times)
        mark = "" if contender.startswith("imagehash") else f"  goal {GOAL}: {speed >= GOAL}"
        print(f"  {contender:26}{speed:8.0f} images/s {times_peer:6.1f} x{mark}")


def small(data: bytes) -> bytes:
    """Return a photo at 400 x 300."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(data)).resize((400, 300), Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def search(count: int) -> None:
    """Print how fast near hashes are found among many."""
    chance = np.random.default_rng(0)
    heads = chance.integers(0, 2**64, count, dtype=np.uint64)
    copies = heads[: count // 50].copy()
    for _ in range(DISTANCE):
        copies ^= np.uint64(1) << chance.integers(0, 64, len(copies), dtype=np.uint64)
    hashes = np.concatenate([heads, copies])
    start = time.process_time()
    pairs = sum(len(left) for left, _ in near_pairs(hashes, DISTANCE))
    cost = time.process_time() - start
    print(f"search: {len(hashes)} hashes, {pairs} pairs, {len(hashes) / cost:.0f} hashes/s")


def main(count: int, rounds: int) -> None:
    """Run all."""
    folder = Data(ROOT, count).photos
    photos = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:count]]
    measure("photos", photos, rounds)
    measure("400 x 300", [small(data) for data in photos], rounds)
    search(1_000_000)


if __name__ == "__main__":
    main(*(int(one) for one in (sys.argv[1:] + ["200", "5"][len(sys.argv) - 1 :])[:2]))
