"""The contract of a step: a pure function over Arrow tables with declared, enforced columns.

A step is one of two kinds:

- *annotate* (`expands=False`): one output row for each input row, in the same order. `fn` returns
  just the columns of `writes`; the runner keeps every other column of the row beside them.
- *expand* (`expands=True`): new rows. `fn` yields tables with the columns of `writes`, which are
  then all the columns there are; large outputs may be yielded piece by piece.

Filters never drop rows: a step that judges has `reason` among its `writes`, and sets it (to a short
name such as `text:too_short`) on the rows it rejects. The runner hands on the rows without one.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella.errors import MellaError

REASON = pa.field("reason", pa.string())
"""The column in which a step says why it rejects a row; null: kept."""

UNKEYED = MappingProxyType({"keyed": False})
"""Metadata of a dataclass field that is no part of a step's key: how, or from which files."""


class StepError(MellaError, RuntimeError):
    """A step broke its contract or failed on a batch."""


@dataclass(frozen=True)
class Step:
    """One stage of a pipeline.

    Attributes:
        name: Unique in its pipeline; names the folder of its output and its rejects.
        version: Raise it whenever the output of `fn` changes for the same input.
        fn: `fn(table, params, resource)`. `table` holds just the columns of `reads`.
        reads: The columns that `fn` gets.
        writes: The columns that `fn` returns, in this order.
        params: A frozen dataclass; part of the step's key.
        by: None: `fn` gets any batch of rows. A column name: rows with equal values in that column
            meet in one call (a call may hold several values), sorted as they came.
        expands: Whether `fn` makes new rows (see the module).
        unit: What an output row of an expanding step is, in the plural ("candidates").
        setup: `setup(params, side)` makes the resource (a model, a client, an index), once per
            process.
        side: An earlier step whose whole output `setup` may read.
        part_rows: Rows of a part that an expanding step writes, at most.
        part_bytes: Bytes of such a part in memory, about.
        bucket_rows: With `by`: rows of a call, about; fewer where rows hold images.
    """

    name: str
    version: int
    fn: Callable[[pa.Table, Any, Any], pa.Table | Iterable[pa.Table]]
    reads: pa.Schema
    writes: pa.Schema
    params: Any
    by: str | None = None
    expands: bool = False
    unit: str = "rows"
    setup: Callable[[Any, "SideReader | None"], Any] | None = None
    side: "Step | None" = None
    part_rows: int = 4096
    part_bytes: int = 64 << 20
    bucket_rows: int = 100_000

    def __post_init__(self) -> None:
        if not (dataclasses.is_dataclass(self.params) and _is_frozen(self.params)):
            raise StepError(
                f"Step {self.name!r}: params must be a frozen dataclass, got "
                f"{type(self.params).__name__}."
            )
        if self.by is not None and self.by not in self.reads.names:
            raise StepError(
                f"Step {self.name!r}: by={self.by!r} is not among the columns it reads: "
                f"{', '.join(self.reads.names)}."
            )

    def key(self, parent: str, side: str = "") -> str:
        """Hash of all that the output depends on, given the keys of the parent and side steps."""
        identity = {
            "name": self.name,
            "version": self.version,
            "params": canonical(self.params),
            "by": self.by,
            "expands": self.expands,
            "reads": str(self.reads.remove_metadata()),
            "writes": str(self.writes.remove_metadata()),
            "parent": parent,
            "side": side,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]

    def apply(self, table: pa.Table, resource: Any) -> Iterator[pa.Table]:
        """Run `fn` on the rows of `table` and check what it returns against the contract.

        Raises:
            StepError: `fn` returned other columns or types than `writes`, or, where the step does
                not expand, another number of rows.
        """
        seen = table.select(self.reads.names).cast(self.reads)
        result = self.fn(seen, self.params, resource)
        if isinstance(result, pa.Table):
            result = [result]
        rows = 0
        for out in result:
            if not out.schema.equals(self.writes):
                raise StepError(
                    f"Step {self.name!r} declares that it writes\n{self.writes}\n"
                    f"but returned\n{out.schema}"
                )
            rows += out.num_rows
            yield out
        if not self.expands and rows != table.num_rows:
            raise StepError(
                f"Step {self.name!r} got {table.num_rows} rows and returned {rows}: a step that "
                "does not expand returns one row for each; set `reason` to reject rows."
            )


class SideReader:
    """Reads the whole output of a finished step; handed to the `setup` of a step with a `side`."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts

    def read(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield `columns` of the kept rows, one table for each part."""
        for part in self.parts:
            table = pq.read_table(part, columns=[*columns, REASON.name])
            yield table.filter(table[REASON.name].is_null()).drop_columns([REASON.name])


def no_values(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a row of nulls for each row of a table: what a step writes that has nothing to ask."""
    return pa.table([pa.nulls(table.num_rows, field.type) for field in schema], schema=schema)


def canonical(value: Any) -> Any:
    """Return `value` as plain JSON types, with dataclasses as mappings that name their class.

    Fields with the metadata `UNKEYED` are left out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        keyed = [f.name for f in dataclasses.fields(value) if f.metadata.get("keyed", True)]
        fields = {name: canonical(getattr(value, name)) for name in keyed}
        return {"class": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(canonical(v) for v in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise StepError(f"A step parameter must be plain data, got {type(value).__name__}: {value!r}.")


def _is_frozen(params: Any) -> bool:
    return bool(params.__dataclass_params__.frozen)
