"""The files of a step: parts of rows, written whole or not at all, and how they read together.

An expanding step writes all the columns of its rows. The annotating steps after it write just their
own columns, in parts of the same names and with one row for each row that was still kept, in the
same order. So nothing is written twice, rejected rows stay where they were rejected, and the row of
a sample is read by laying the parts beside each other.
"""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mella.builders.engine.step import REASON
from mella.errors import FormatError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """What a part holds.

    Attributes:
        name: Equal in all the steps between two expanding ones.
        rows: Rows, rejected ones included.
        reasons: How many rows were rejected, by reason.
    """

    name: str
    rows: int
    reasons: dict[str, int]

    @property
    def kept(self) -> int:
        """Rows that go on to the next step."""
        return self.rows - sum(self.reasons.values())


@dataclass(frozen=True)
class Stage:
    """A step's place in one build: its folder and what is needed to read it back."""

    name: str
    key: str
    folder: str
    columns: tuple[str, ...]
    expands: bool
    unit: str

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    def part_path(self, name: str) -> Path:
        """The file of a part."""
        return self.path / f"{name}.parquet"

    def finished(self) -> bool:
        """Whether the step has run to its end: its manifest is written last."""
        return (self.path / MANIFEST).exists()

    def parts(self) -> list[Part]:
        """The parts, in order.

        Raises:
            FormatError: The step has not finished.
        """
        if not self.finished():
            raise FormatError(
                f"Step {self.name} in {self.folder} has not finished. Run the build again: it "
                "goes on where it stopped."
            )
        document = json.loads((self.path / MANIFEST).read_text())
        return [Part(**part) for part in document["parts"]]

    def to_json(self) -> dict[str, Any]:
        """The stage as plain data; its folder by name only, so that a build can be moved."""
        return {**asdict(self), "folder": self.path.name}

    @classmethod
    def from_json(cls, document: dict[str, Any], work: Path) -> Self:
        """Read what `to_json` wrote, for a build in the folder `work`."""
        folder = str(work / document["folder"])
        return cls(**{**document, "columns": tuple(document["columns"]), "folder": folder})


def write_part(stage: Stage, name: str, table: pa.Table) -> Part:
    """Write a part whole or not at all, and return what it holds."""
    if REASON.name not in table.column_names:
        table = table.append_column(REASON, pa.nulls(table.num_rows, REASON.type))
    write_atomically(stage.part_path(name), lambda path: pq.write_table(table, path))
    counts = pc.value_counts(table[REASON.name].drop_null()).to_pylist()
    reasons = {count["values"]: count["counts"] for count in counts}
    return Part(name, table.num_rows, dict(sorted(reasons.items())))


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text))


def write_atomically(path: Path, write: Any) -> None:
    """Let `write(temporary_path)` write a file, flush it to the disk, then give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_part(stages: Sequence[Stage], name: str, columns: Sequence[str]) -> pa.Table:
    """Return `columns` of the rows of one part that every stage kept.

    Args:
        stages: From the first step of the pipeline up to the last one to read.
        name: The part.
        columns: Any columns that these stages wrote; the last writer of a name counts.
    """
    *before, stage = stages
    own = [column for column in columns if column in stage.columns and column != REASON.name]
    table = pq.read_table(stage.part_path(name), columns=[*own, REASON.name])
    others = [column for column in columns if column not in own]
    if others and stage.expands:
        raise FormatError(f"No step up to {stage.name} writes the column {', '.join(others)}.")
    if others:
        for column, values in _columns(read_part(before, name, others)):
            table = table.append_column(column, values)
    return table.filter(table[REASON.name].is_null()).select(list(columns))


def outcomes(
    stages: Sequence[Stage], name: str, columns: Collection[str] | None = None
) -> pa.Table:
    """Return every row of a part, rejected ones too, with where it ended.

    Args:
        stages: One expanding stage and the annotating stages after it.
        name: The part.
        columns: Those to read, of all that the stages write; None: all that are not binary.

    Returns:
        The columns, null past the step that rejected the row, and `step` and `reason`: of the
        rejection, both null for rows that were kept.
    """
    rows = pq.read_metadata(stages[0].part_path(name)).num_rows
    alive = np.arange(rows)
    step = np.full(rows, None, dtype=object)
    reason = np.full(rows, None, dtype=object)
    merged: dict[str, pa.ChunkedArray] = {}
    for stage in stages:
        if not stage.path.is_dir() or not stage.part_path(name).exists():
            break
        table = _read_wanted(stage.part_path(name), columns)
        place = np.full(rows, -1)
        place[alive] = np.arange(len(alive))
        take = pa.array(place, mask=place < 0)
        for column, values in _columns(table):
            if column != REASON.name:
                merged[column] = values.take(take)
        why = np.array(table[REASON.name].to_pylist(), dtype=object)
        rejected = np.array([value is not None for value in why], dtype=bool)
        reason[alive[rejected]] = why[rejected]
        step[alive[rejected]] = stage.name
        alive = alive[~rejected]
    merged["step"] = pa.array(step.tolist(), pa.string())
    merged[REASON.name] = pa.array(reason.tolist(), pa.string())
    return pa.table(merged)


def segments(stages: Sequence[Stage]) -> list[list[Stage]]:
    """Cut a pipeline before each expanding stage: within a segment rows correspond."""
    result: list[list[Stage]] = []
    for stage in stages:
        if stage.expands or not result:
            result.append([])
        result[-1].append(stage)
    return result


def _columns(table: pa.Table) -> Iterator[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def _read_wanted(path: Path, columns: Collection[str] | None) -> pa.Table:
    schema = pq.read_schema(path)
    wanted = [
        field.name
        for field in schema
        if field.name == REASON.name
        or (not _is_binary(field.type) if columns is None else field.name in columns)
    ]
    return pq.read_table(path, columns=wanted)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
