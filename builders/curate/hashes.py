"""Reject images on a list of hashes: equal ones by SHA-256, look-alikes by perceptual hash."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mella.builders.culture.images.phash import says_enough, to_numbers
from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.hamming import HammingIndex
from mella.builders.curate.lists import ListFiles, read_hashes
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema([pa.field(name, pa.string()) for name in ("sha256", "original_sha256", "phash")])
WRITES = pa.schema([REASON])

_DENIED = "denied:hash"


@dataclass(frozen=True)
class HashesParams:
    """Lists of image hashes: text files, one entry a line; see `read_hashes`.

    A SHA-256 is that of the file as it was found, or of the image as it is stored.

    Attributes:
        deny: What is rejected; paths relative to the recipe, or glob patterns.
        allow: What is kept though it looks like a denied image: a SHA-256, or a perceptual hash,
            which here must be equal. A denied SHA-256 is rejected all the same.
        alike: What looks alike. A listed perceptual hash that says too little (see `min_bits`)
            rejects only images whose hash is equal to it.
    """

    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    alike: ClustersParams = field(default_factory=ClustersParams)


@dataclass(frozen=True)
class Hashes:
    """Entries of lists, in lower case, and the denied perceptual hashes with what is near them."""

    deny: frozenset[str]
    allow: frozenset[str]
    near: HammingIndex


@dataclass(frozen=True)
class _Keyed:
    """The parameters that count, and what the lists say: other entries are another key."""

    alike: ClustersParams
    digest: str


@dataclass(frozen=True)
class _Loader:
    """Reads the files, once per process: equal ones are one, which a closure would not be."""

    files: ListFiles

    def __call__(self, keyed: _Keyed, _side: SideReader | None) -> Hashes:
        deny = read_hashes(self.files.deny)
        listed = to_numbers(sorted(entry for entry in deny if len(entry) == 16))
        clear = listed[says_enough(listed, keyed.alike.min_bits)]
        near = HammingIndex(clear, keyed.alike.max_distance)
        return Hashes(deny, read_hashes(self.files.allow), near)


def hashes_step(params: HashesParams, files: ListFiles) -> Step:
    """Return the step that rejects images on a list.

    The reason is `denied:hash`. Without files all rows pass.

    Args:
        params: What looks alike. Its paths were resolved to `files`.
        files: The lists; read once here, for the key of the step, and once in each process.

    Raises:
        ListError: A list cannot be read, or a line is no hash.
    """
    return Step(
        name="hashes",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=_Keyed(params.alike, files.digest(read_hashes)),
        setup=_Loader(files),
    )


def _mark(table: pa.Table, keyed: _Keyed, lists: Hashes) -> pa.Table:
    rows = [*zip(*(table[name].to_pylist() for name in READS.names), strict=True)]
    exact = [not lists.deny.isdisjoint(row[:2]) for row in rows]
    allowed = [not lists.allow.isdisjoint(row) for row in rows]
    alike = _alike(table["phash"], keyed.alike, lists)
    reasons = [
        _DENIED if same or (near and not kept) else None
        for same, near, kept in zip(exact, alike, allowed, strict=True)
    ]
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _alike(phashes: pa.ChunkedArray, alike: ClustersParams, lists: Hashes) -> list[bool]:
    found = np.array([one in lists.deny for one in phashes.to_pylist()], dtype=np.bool_)
    there = np.flatnonzero(phashes.is_valid())
    hashes = to_numbers(phashes.drop_null().to_pylist())
    clear = says_enough(hashes, alike.min_bits)
    found[there[clear]] |= lists.near.contains(hashes[clear])
    made: list[bool] = found.tolist()
    return made
