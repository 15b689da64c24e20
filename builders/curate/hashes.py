"""Reject images on a list of hashes: equal ones by SHA-256, look-alikes by perceptual hash."""

from dataclasses import dataclass, field

import pyarrow as pa

from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.lists import Lists, read_hashes
from mella.builders.curate.look_alikes import LookAlikes
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema([pa.field(name, pa.string()) for name in ("sha256", "original_sha256", "phash")])
WRITES = pa.schema([REASON])

_DENIED = "denied:hash"
_PHASH_DIGITS = 16


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
class HashRules:
    """Entries of lists, in lower case, and the denied perceptual hashes to look others up among."""

    deny: frozenset[str]
    allow: frozenset[str]
    near: LookAlikes


@dataclass(frozen=True)
class _Compared:
    """The parameters that count, and the lists."""

    alike: ClustersParams
    lists: Lists


def hashes_step(params: HashesParams, lists: Lists) -> Step:
    """Return the step that rejects images on a list.

    The reason is `denied:hash`. Without lists all rows pass.

    Args:
        params: What looks alike.
        lists: Those that it names.
    """
    return Step(
        name="hashes",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=_Compared(params.alike, lists),
        setup=_load,
    )


def _load(compared: _Compared, _: SideReader | None) -> HashRules:
    deny, allow = read_hashes(compared.lists.deny), read_hashes(compared.lists.allow)
    near = LookAlikes((entry for entry in deny if len(entry) == _PHASH_DIGITS), compared.alike)
    return HashRules(deny, allow, near)


def _mark(table: pa.Table, _: _Compared, rules: HashRules) -> pa.Table:
    rows = [*zip(*(table[name].to_pylist() for name in READS.names), strict=True)]
    denied = [not rules.deny.isdisjoint(row[:2]) for row in rows]
    equal = [phash in rules.deny for _, _, phash in rows]
    allowed = [not rules.allow.isdisjoint(row) for row in rows]
    reasons = [
        _DENIED if same or ((like or near) and not kept) else None
        for same, like, near, kept in zip(
            denied, equal, rules.near.among(table["phash"]), allowed, strict=True
        )
    ]
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)
