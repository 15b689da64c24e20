"""Keep one row of those that show the same image, to the byte, in the same language."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from mella.builders.curate.best_text import OTHER_TEXTS, TextChoice, keep_best, text_rank
from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [
        pa.field("sha256", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("id", pa.string()),
    ]
)
ORIGIN = pa.field("text_origin", pa.string())
WRITES = pa.schema([OTHER_TEXTS, REASON])


@dataclass(frozen=True)
class DuplicatesParams:
    """Which of the rows is kept.

    Attributes:
        choice: Which text is the best. By default the longest, as is right for captions that
            describe all there is to see; for the texts of web pages take `TextChoice()`.
    """

    choice: TextChoice = field(default_factory=partial(TextChoice, enough=10_000))


def duplicates_step(params: DuplicatesParams, *, origins: bool = False) -> Step:
    """Return the step that rejects all rows but one with the same image and language.

    The one with the best text is kept (see `best_text`), of equals the one whose language is
    surest, then the one with the smallest id: a choice that does not depend on the order in which
    the rows came. Its `other_texts` are those of the rejected ones: `duplicate:image`.

    Args:
        params: Which of the rows is kept.
        origins: Whether rows say where their text comes from, in the column `text_origin`.
    """
    return Step(
        name="duplicates",
        version=2,
        fn=_mark,
        reads=pa.schema([*READS, ORIGIN]) if origins else READS,
        writes=WRITES,
        params=params,
        by="sha256",
    )


def _mark(table: pa.Table, params: DuplicatesParams, _: Any) -> pa.Table:
    rows = table.to_pylist()
    kept, others = keep_best(
        [(row["sha256"], row["lang"]) for row in rows],
        [_rank(row, params.choice) for row in rows],
        [row["text"] for row in rows],
        [None] * len(rows),
        params.choice,
    )
    reasons = [None if good else "duplicate:image" for good in kept]
    return pa.table([others, reasons], schema=WRITES)


def _rank(row: dict[str, Any], choice: TextChoice) -> tuple[Any, ...]:
    rank = text_rank(row["text"], row.get("text_origin"), choice)
    return *rank, -(row["language_score"] or 0.0), row["id"]
