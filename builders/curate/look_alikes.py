"""Tell which images look like some that are known before, by their perceptual hashes."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from mella.builders.culture.images.phash import Flags, says_enough, to_numbers
from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.hamming import HammingIndex


class LookAlikes:
    """Known images, to look others up among."""

    def __init__(self, phashes: Iterable[str], alike: ClustersParams) -> None:
        """Index what is known.

        Args:
            phashes: Of the known images; what says too little looks like nothing.
            alike: What looks alike.
        """
        known = to_numbers(sorted(phashes))
        self._min_bits = alike.min_bits
        self._index = HammingIndex(known[says_enough(known, alike.min_bits)], alike.max_distance)

    def among(self, phashes: pa.ChunkedArray) -> Flags:
        """Return for each perceptual hash, or null, whether a known image looks like that one."""
        found = np.zeros(len(phashes), dtype=np.bool_)
        there = np.flatnonzero(phashes.is_valid())
        hashes = to_numbers(phashes.drop_null().to_pylist())
        clear = says_enough(hashes, self._min_bits)
        found[there[clear]] = self._index.contains(hashes[clear])
        return found
