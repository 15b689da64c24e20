"""Keep one row of those whose images look alike, in the same language: that with the best text."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mella.builders.curate.best_text import OTHER_TEXTS, TextChoice, keep_best, text_rank
from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [
        pa.field("cluster", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("text_origin", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("id", pa.string()),
        OTHER_TEXTS,
    ]
)
WRITES = pa.schema([pa.field("cluster_langs", pa.string()), OTHER_TEXTS, REASON])


@dataclass(frozen=True)
class NearDuplicatesParams:
    """Which of the rows is kept: that with the best text."""

    choice: TextChoice = field(default_factory=TextChoice)


def near_duplicates_step(params: NearDuplicatesParams) -> Step:
    """Return the step that rejects all rows but one of a cluster and language.

    Kept is the row with the best text (see `best_text`), of equals the one with the largest image,
    then the one whose language is surest, then the one with the smallest id; the others get
    `duplicate:near`. `cluster_langs` are the languages in which the cluster has a text: their
    codes in order, with a space between.
    """
    return Step(
        name="near_duplicates",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=params,
        by="cluster",
    )


def _mark(table: pa.Table, params: NearDuplicatesParams, _: Any) -> pa.Table:
    rows = table.to_pylist()
    langs: dict[str, set[str]] = {}
    for row in rows:
        langs.setdefault(row["cluster"], set()).add(row["lang"])
    kept, others = keep_best(
        [(row["cluster"], row["lang"]) for row in rows],
        [_rank(row, params.choice) for row in rows],
        [row["text"] for row in rows],
        [row["other_texts"] for row in rows],
        params.choice,
    )
    named = {cluster: " ".join(sorted(found)) for cluster, found in langs.items()}
    reasons = [None if good else "duplicate:near" for good in kept]
    return pa.table([[named[row["cluster"]] for row in rows], others, reasons], schema=WRITES)


def _rank(row: dict[str, Any], choice: TextChoice) -> tuple[Any, ...]:
    rank = text_rank(row["text"], row["text_origin"], choice)
    pixels = row["width"] * row["height"]
    return *rank, -pixels, -(row["language_score"] or 0.0), row["id"]
