"""Streams over a small repository, as tests read them."""

import warnings
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

from mella.stream import MellaStream
from repositories import Cell, Sample, samples

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 31),
    ("culture", "vi", "train"): samples("culture", "vi", 8),
    ("linguistics", "th", "train"): samples("linguistics", "th", 14),
}
ALL = sorted(one.key for stored in CELLS.values() for one in stored)
SIZE = {one.key: one for stored in CELLS.values() for one in stored}
CHUNK = 8000  # bytes: about two samples


def stream(repo: Path | str, lang: Any = "all", **options: Any) -> MellaStream:
    # Sample by sample, ranks may differ by one: the tests want to see every sample once.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* do not divide by .* ranks")
        return MellaStream(lang, repo=repo, **{"chunk_bytes": CHUNK, "decode": False, **options})


def keys(found: Any) -> list[str]:
    """The keys of samples or of batches."""
    return [row["key"] for one in found for row in (one if isinstance(one, list) else [one])]


def ranks(
    repo: Path | str, world_size: int, state: Any = None, **options: Any
) -> Iterator[MellaStream]:
    first = stream(repo, rank=0, world_size=world_size, **options)
    for rank in range(world_size):
        one = copy(first)  # ranks have the same plan, and making it takes most of the time
        one.rank = rank
        if state is not None:
            one.load_state_dict(state)
        yield one
