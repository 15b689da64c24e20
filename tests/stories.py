"""What became of rows, one level at a time: without the links between levels that users see."""

from collections.abc import Sequence

from mella.builders.engine.ledger import IDENTIFIERS, Story, begun_segments, find_rows
from mella.builders.engine.parts import Stage


def explain(stages: Sequence[Stage], needle: str) -> list[Story]:
    """Return the stories of the rows that have `needle` for an identifier."""
    wanted = {name: {needle} for name in IDENTIFIERS}
    return [
        story for segment in begun_segments(stages) for story in find_rows(segment, wanted).values()
    ]
