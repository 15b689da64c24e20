"""Give each sample its key and its shard.

Samples lie in the order of their keys, which are hashes: so a shard is a random draw of its
language, and the same samples make the same shards, in whatever order they came.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mella.builders.engine.step import REASON, Step
from mella.schema import MEMBERS
from mella.shards import BLOCK, sample_key, shard_path

READS = pa.schema(
    [
        pa.field("lang", pa.string()),
        pa.field("split", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("text", pa.string()),
        pa.field("bytes", pa.int64()),
    ]
)
WRITES = pa.schema([pa.field("key", pa.string()), pa.field("shard", pa.string()), REASON])

# Of a sample besides the image, about: three headers with padding, the text, the metadata.
_OVERHEAD = 2 * len(MEMBERS) * BLOCK
_MULTIPLE = 8


@dataclass(frozen=True)
class ShelveParams:
    """How large shards are.

    Attributes:
        source: "culture" or "linguistics".
        max_bytes: Of a shard, about.
        min_bytes: A count of shards that is a multiple of 8 (and so divides evenly over readers)
            is chosen if shards then have at least this size.
    """

    source: str
    max_bytes: int = 300_000_000
    min_bytes: int = 100_000_000

    def __post_init__(self) -> None:
        if not 0 < self.min_bytes <= self.max_bytes:
            raise ValueError(
                f"min_bytes={self.min_bytes} and max_bytes={self.max_bytes} must be more than 0, "
                "and the first no more than the second."
            )


def shelve_step(params: ShelveParams) -> Step:
    """Return the step that plans the shards of each language and split.

    The second of two samples with the same key gets `duplicate:sample`.
    """
    return Step(
        name="shelve",
        version=1,
        fn=_shelve,
        reads=READS,
        writes=WRITES,
        params=params,
        by="lang",
    )


def shard_count(nbytes: int, params: ShelveParams) -> int:
    """Return how many shards hold `nbytes`."""
    fewest = max(1, -(-nbytes // params.max_bytes))
    even = -(-fewest // _MULTIPLE) * _MULTIPLE
    return even if nbytes >= even * params.min_bytes else fewest


def _shelve(table: pa.Table, params: ShelveParams, _: Any) -> pa.Table:
    rows = table.to_pylist()
    keys = [sample_key(params.source, r["lang"], r["sha256"], r["text"]) for r in rows]
    cells: dict[tuple[str, str], list[int]] = {}
    seen: set[str] = set()
    reasons: list[str | None] = [None] * len(rows)
    for number, (row, key) in enumerate(zip(rows, keys, strict=True)):
        if key in seen:
            reasons[number] = "duplicate:sample"
            continue
        seen.add(key)
        cells.setdefault((row["lang"], row["split"]), []).append(number)
    shards: list[str | None] = [None] * len(rows)
    for (lang, split), numbers in cells.items():
        ordered = sorted(numbers, key=keys.__getitem__)
        places = _places([rows[number]["bytes"] + _OVERHEAD for number in ordered], params)
        for number, place in zip(ordered, places, strict=True):
            shards[number] = shard_path(params.source, lang, split, place, places[-1] + 1)
    columns = [keys, pa.array(shards, pa.string()), pa.array(reasons, pa.string())]
    return pa.table(columns, schema=WRITES)


def _places(sizes: list[int], params: ShelveParams) -> list[int]:
    """Return the number of each sample's shard: shards of equal size, and none of them empty."""
    total, before = sum(sizes), 0
    count = shard_count(total, params)
    places: list[int] = []
    last = -1
    for size in sizes:
        share = before * count // total
        if share != last:
            last = share
            number = places[-1] + 1 if places else 0
        places.append(number)
        before += size
    return places
