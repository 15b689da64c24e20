"""Keep one row of those that show the same image in the same language."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [
        pa.field("sha256", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("id", pa.string()),
    ]
)
WRITES = pa.schema([REASON])


@dataclass(frozen=True)
class DuplicatesParams:
    """Nothing to choose yet: equal bytes are the same image."""


def duplicates_step(params: DuplicatesParams) -> Step:
    """Return the step that rejects all rows but one with the same image and language.

    The one with the longest text is kept, of these the one with the smallest id: a choice that
    does not depend on the order in which the rows came.
    """
    return Step(
        name="duplicates",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=params,
        by="sha256",
    )


def _mark(table: pa.Table, _: DuplicatesParams, __: Any) -> pa.Table:
    rows = table.to_pylist()
    best: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows):
        kept = best.setdefault((row["sha256"], row["lang"]), number)
        if _rank(row) < _rank(rows[kept]):
            best[row["sha256"], row["lang"]] = number
    kept_rows = set(best.values())
    return _reasons(["duplicate:image" if n not in kept_rows else None for n in range(len(rows))])


def _rank(row: dict[str, Any]) -> tuple[int, str]:
    return -len(row["text"]), row["id"]


def _reasons(reasons: Sequence[str | None]) -> pa.Table:
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)
