"""Find clusters of images that look alike, over all languages.

A cluster is a star: a hash, and the hashes within the greatest distance of it that are in no larger
star (J. Aslam, E. Pelekhov and D. Rus, The Star Clustering Algorithm, 2004). Connected components
would chain: of a row of pictures, each like the next, the first and the last are unlike, and among
millions such rows join what has nothing in common into one giant cluster. In a star no two differ
in more than twice the distance, however many pictures there are. The price: where pictures do
chain, two that are near to each other may be in different stars.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.culture.images.phash import Flags, Hashes, says_enough, to_numbers, to_text
from mella.builders.curate.hamming import MAX_DISTANCE, Numbers, near_pairs
from mella.builders.engine.params import check_least
from mella.builders.engine.step import Step

READS = pa.schema([pa.field("sha256", pa.string()), pa.field("phash", pa.string())])
WRITES = pa.schema([pa.field("cluster", pa.string())])

# All rows meet in one call: a look-alike may be anywhere.
_ALL = 1 << 62


@dataclass(frozen=True)
class ClustersParams:
    """What looks alike.

    Attributes:
        max_distance: Bits, of 64, in which the perceptual hashes of two images may differ: at 5,
            copies that were scaled or compressed again are found, and most that were cut by two
            percent; of four million pairs of unlike photographs none differed in less than 11.
        min_bits: A hash with fewer bits of brightness set, of 48, says too little (a word on white,
            a flag of three stripes): such an image is alike to itself only.
    """

    max_distance: int = 5
    min_bits: int = 12

    def __post_init__(self) -> None:
        check_least(self, {"max_distance": 0, "min_bits": 0})
        if self.max_distance > MAX_DISTANCE:
            raise ValueError(f"max_distance = {self.max_distance} must be {MAX_DISTANCE} or less.")


def clusters_step(params: ClustersParams) -> Step:
    """Return the step that names the cluster of each image.

    The name is the perceptual hash in the middle of the cluster (16 hex digits), or the image's own
    SHA-256 (64) where it has no hash, or one that says too little. Rows with the same SHA-256 are
    always in one cluster.

    One process does it all: a million rows take about ten seconds and 300 MB, and up to 400 MB for
    near pairs, however many rows.
    """
    return Step(
        name="clusters",
        version=1,
        fn=_annotate,
        reads=READS,
        writes=WRITES,
        params=params,
        by="phash",
        bucket_rows=_ALL,
    )


class Pairs:
    """The near pairs of some hashes, to go through several times.

    They are held in memory if they are not too many; else they are searched again each time: among
    thousands of hashes that are all near to each other there are too many pairs to hold.
    """

    def __init__(self, hashes: Hashes, distance: int, *, hold: int = 50_000_000) -> None:
        """Take hashes that are all different; `hold` pairs, of 8 bytes, are held at most."""
        self._hashes, self._distance = hashes, distance
        self._held: list[tuple[Numbers, Numbers]] | None = []
        held = 0
        for pairs in near_pairs(hashes, distance):
            self._held.append(pairs)
            held += len(pairs[0])
            if held > hold:
                self._held = None
                break

    def __iter__(self) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield all pairs, as `near_pairs` does."""
        if self._held is None:
            return near_pairs(self._hashes, self._distance)
        return iter(self._held)


def stars(count: int, pairs: Iterable[tuple[Numbers, Numbers]]) -> Numbers:
    """Return the middle of each item's star, shape (count,): itself where nothing is near.

    The item with the most neighbours is a middle, of equals the first one; then the next that is
    beside no middle, and so on. An item beside several goes to the first of them.

    Args:
        count: How many items there are.
        pairs: Which are near: arrays of indices, each pair once. They are gone through many times.
    """
    degrees = np.zeros(count, dtype=np.int64)
    for left, right in pairs:
        np.add.at(degrees, left, 1)
        np.add.at(degrees, right, 1)
    order = np.argsort(-degrees, kind="stable")
    ranks = np.empty(count, dtype=np.int64)
    ranks[order] = np.arange(count)
    undecided, middle = degrees > 0, degrees == 0
    # What comes before all its undecided neighbours is a middle, whatever becomes of them.
    while undecided.any():
        new = undecided & (ranks < _first_neighbours(ranks, undecided, pairs))
        middle |= new
        undecided &= ~new
        for left, right in pairs:
            undecided[left[new[right]]] = False
            undecided[right[new[left]]] = False
    beside = _first_neighbours(ranks, middle, pairs)
    middles: Numbers = np.arange(count, dtype=np.int32)
    middles[~middle] = order[beside[~middle]]
    return middles


def _first_neighbours(ranks: Any, among: Flags, pairs: Iterable[tuple[Numbers, Numbers]]) -> Any:
    """Return for each item the least rank of its neighbours among some; their count if none is."""
    first = np.full(len(ranks), len(ranks))
    for left, right in pairs:
        for item, other in ((left, right), (right, left)):
            counts = among[other]
            np.minimum.at(first, item[counts], ranks[other[counts]])
    return first


def _annotate(table: pa.Table, params: ClustersParams, _: Any) -> pa.Table:
    of_row, images, of_image, hashes = _hashes_of_images(table)
    different, place = np.unique(hashes, return_inverse=True)
    enough = np.flatnonzero(says_enough(different, params.min_bits))
    middles = np.arange(len(different))
    middles[enough] = enough[stars(len(enough), Pairs(different[enough], params.max_distance))]
    names = pa.array([to_text(number) for number in different.tolist()], pa.string())
    named = np.zeros(len(images), dtype=np.bool_)
    named[of_image] = says_enough(hashes, params.min_bits)
    middle = np.zeros(len(images), dtype=np.int64)
    middle[of_image] = middles[place]
    clusters = images
    if len(names):
        clusters = pc.if_else(pa.array(named), names.take(pa.array(middle)), images)
    return pa.table([clusters.take(of_row)], schema=WRITES)


def _hashes_of_images(table: pa.Table) -> tuple[pa.Array, pa.Array, Any, Hashes]:
    """Return the image of each row, the images, and which of these have what hash.

    Of one image's hashes the smallest counts: what was stored alike may have been made of originals
    that differed a little.
    """
    least = table.group_by("sha256").aggregate([("phash", "min")]).sort_by("sha256")
    images = least["sha256"].combine_chunks()
    of_row = pc.index_in(table["sha256"], images)
    known = least["phash_min"].combine_chunks()
    of_image = np.flatnonzero(known.is_valid().to_numpy(zero_copy_only=False))
    return of_row, images, of_image, to_numbers(known.drop_null().to_pylist())
