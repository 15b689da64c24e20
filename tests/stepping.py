"""Apply one step to some rows, as the runner does."""

import pyarrow as pa

from mella.builders.engine.step import SideReader


def apply(step, rows, *, resource=None, side=()):
    """Return the rows that a step makes of rows, in which columns may be left out.

    `resource` is made by the step itself unless it is given; `side` are the parts that it may read
    for that.
    """
    table = pa.Table.from_pylist(rows, schema=step.reads)
    if step.setup and resource is None:
        resource = step.setup(step.params, SideReader(tuple(map(str, side))))
    made = [*step.apply(table, resource)]
    return pa.concat_tables([step.writes.empty_table(), *made]).to_pylist()


def reasons(made):
    return [row["reason"] for row in made]
