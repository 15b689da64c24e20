"""Run a pipeline: each part whole or not at all, going on where an earlier run stopped."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella.builders.engine import shuffle
from mella.builders.engine.executor import Executor
from mella.builders.engine.parts import (
    MANIFEST,
    Part,
    Stage,
    read_part,
    write_json,
    write_part,
)
from mella.builders.engine.step import REASON, SideReader, Step, StepError, canonical
from mella.errors import RepositoryError

RUN = "run.json"


@dataclass(frozen=True)
class Pipeline:
    """Steps in order, and the rows that the first of them starts from.

    Attributes:
        steps: The first one expands.
        inputs: One row a task of the first step.
        digest: Identifies the content of the inputs, wherever they lie.
    """

    steps: tuple[Step, ...]
    inputs: pa.Table
    digest: str

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names) or not self.steps or not self.steps[0].expands:
            raise StepError(
                f"A pipeline has steps with different names, the first of which expands; "
                f"got {', '.join(names) or 'none'}."
            )

    def stages(self, work: Path) -> list[Stage]:
        """Return where each step's output lies in the folder `work`."""
        stages: list[Stage] = []
        keys: dict[str, str] = {}
        parent = self.digest
        for step in self.steps:
            side = "" if step.side is None else keys[step.side.name]
            parent = keys[step.name] = step.key(parent, side)
            folder = str(work / f"{step.name}-{parent}")
            columns = tuple(name for name in step.writes.names if name != REASON.name)
            stages.append(Stage(step.name, parent, folder, columns, step.expands, step.unit))
        return stages


@dataclass(frozen=True)
class Progress:
    """How far a step is: of `total` tasks `done` are finished."""

    step: str
    done: int
    total: int


def run(
    pipeline: Pipeline,
    work: Path,
    executor: Executor,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[Stage]:
    """Run every step that has not finished, and return the stages.

    Args:
        pipeline: What to run.
        work: Folder for the steps' output; may hold earlier, also interrupted, runs.
        executor: Where tasks run.
        on_progress: Called after each task.

    Raises:
        StepError: A step failed or broke its contract. What had finished stays; a later run goes on
            from there.
    """
    stages = pipeline.stages(work)
    work.mkdir(parents=True, exist_ok=True)
    write_json(work / RUN, {"stages": [stage.to_json() for stage in stages], **about(pipeline)})
    for number, (step, stage) in enumerate(zip(pipeline.steps, stages, strict=True)):
        if stage.finished():
            on_progress(Progress(step.name, 1, 1))
            continue
        side = next((s for s in stages[:number] if step.side and s.name == step.side.name), None)
        job = Job(step, tuple(stages[: number + 1]), side)
        report = partial(_report, on_progress, step.name)
        if number == 0:
            parts = _run_inputs(job, pipeline.inputs, executor, report)
        elif step.by is None:
            parts = _run_parts(job, executor, report)
        else:
            parts = _run_by(job, executor, report)
        write_json(
            stage.path / MANIFEST,
            {
                "step": step.name,
                "version": step.version,
                "key": stage.key,
                "parts": [asdict(part) for part in sorted(parts, key=lambda part: part.name)],
            },
        )
        shutil.rmtree(stage.path / "shuffle", ignore_errors=True)
    return stages


def about(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the keys of the steps are made of, as plain data that can be compared."""
    steps = [
        {
            "name": step.name,
            "version": step.version,
            "params": canonical(step.params),
            "columns": str(step.writes.remove_metadata()),
        }
        for step in pipeline.steps
    ]
    return {"inputs": pipeline.digest, "steps": steps}


def open_run(work: Path) -> list[Stage]:
    """Return the stages of the last run in a folder.

    Raises:
        RepositoryError: No build was run there.
    """
    return [Stage.from_json(stage, work) for stage in run_record(work)["stages"]]


def run_record(work: Path) -> dict[str, Any]:
    """Return what the last run in a folder noted: its `stages`, and what `about` returned.

    Raises:
        RepositoryError: No build was run there.
    """
    try:
        document: dict[str, Any] = json.loads((work / RUN).read_text())
    except FileNotFoundError as error:
        raise RepositoryError(
            f"{work} holds no build (no {RUN}). Run `mella-build run RECIPE` first."
        ) from error
    return document


@dataclass(frozen=True)
class Job:
    """A step to run, the stages up to and with its own, and its side stage."""

    step: Step
    stages: tuple[Stage, ...]
    side: Stage | None

    @property
    def stage(self) -> Stage:
        """The step's own stage."""
        return self.stages[-1]


Report = Callable[[Iterable[Any], int], Iterator[Any]]


def _report(
    on_progress: Callable[[Progress], None], step: str, results: Iterable[Any], total: int
) -> Iterator[Any]:
    on_progress(Progress(step, 0, total))
    for done, result in enumerate(results, 1):
        on_progress(Progress(step, done, total))
        yield result


def _run_inputs(job: Job, inputs: pa.Table, executor: Executor, report: Report) -> list[Part]:
    tasks = [(job, i, inputs.slice(i, 1)) for i in range(inputs.num_rows)]
    results = report(executor.map(_input_task, tasks), len(tasks))
    return [part for parts in results for part in parts]


def _run_parts(job: Job, executor: Executor, report: Report) -> list[Part]:
    tasks = [(job, i, part.name) for i, part in enumerate(job.stages[-2].parts())]
    results = report(executor.map(_part_task, tasks), len(tasks))
    return [part for parts in results for part in parts]


def _run_by(job: Job, executor: Executor, report: Report) -> list[Part]:
    names = [part.name for part in job.stages[-2].parts()]
    rows = sum(part.kept for part in job.stages[-2].parts())
    buckets = -(-rows // job.step.bucket_rows) or min(1, len(names))
    scatters = [(job, i, name, buckets) for i, name in enumerate(names)]
    applies = [(job, bucket, tuple(names)) for bucket in range(buckets)]
    gathers = [] if job.step.expands else scatters
    results = itertools.chain(
        executor.map(_scatter_task, scatters),
        executor.map(_apply_task, applies),
        executor.map(_gather_task, gathers),
    )
    total = len(scatters) + len(applies) + len(gathers)
    return [part for parts in report(results, total) for part in parts]


def _input_task(task: tuple[Job, int, pa.Table]) -> list[Part]:
    job, number, rows = task
    return _once(job, number, lambda: _expand(job, number, rows))


def _part_task(task: tuple[Job, int, str]) -> list[Part]:
    job, number, name = task

    def work() -> list[Part]:
        table = read_part(job.stages[:-1], name, job.step.reads.names)
        if job.step.expands:
            return _expand(job, number, table)
        return [write_part(job.stage, name, _apply(job, table))]

    return _once(job, number, work)


def _scatter_task(task: tuple[Job, int, str, int]) -> list[Part]:
    job, number, name, buckets = task
    path = job.stage.path / "shuffle" / f"scatter-{name}.parquet"
    if not path.exists():
        table = read_part(job.stages[:-1], name, job.step.reads.names)
        shuffle.scatter(table, number, str(job.step.by), buckets, path)
    return []


def _apply_task(task: tuple[Job, int, tuple[str, ...]]) -> list[Part]:
    job, bucket, names = task
    folder = job.stage.path / "shuffle"
    paths = [folder / f"scatter-{name}.parquet" for name in names]
    if job.step.expands:
        return _once(job, bucket, lambda: _expand(job, bucket, shuffle.collect(paths, bucket)))
    path = folder / f"apply-{bucket:05d}.parquet"
    if not path.exists():
        table = shuffle.collect(paths, bucket)
        new = _apply(job, table)
        for column in (shuffle.PART, shuffle.ROW):
            new = new.append_column(column, table[column])
        shuffle.write_applied(new, len(names), path)
    return []


def _gather_task(task: tuple[Job, int, str, int]) -> list[Part]:
    job, number, name, buckets = task
    folder = job.stage.path / "shuffle"

    def work() -> list[Part]:
        paths = [folder / f"apply-{bucket:05d}.parquet" for bucket in range(buckets)]
        table = shuffle.collect(paths, number)
        return [write_part(job.stage, name, table.select(job.step.writes.names))]

    return _once(job, number, work)


def _once(job: Job, number: int, work: Callable[[], list[Part]]) -> list[Part]:
    """Do a task unless its record says that it was done; the record is written after its parts."""
    record = job.stage.path / f"task-{number:05d}.json"
    if record.exists():
        return [Part(**part) for part in json.loads(record.read_text())]
    parts = work()
    write_json(record, [asdict(part) for part in parts])
    return parts


def _apply(job: Job, table: pa.Table) -> pa.Table:
    results = list(_results(job, table))
    return pa.concat_tables(results) if results else job.step.writes.empty_table()


def _expand(job: Job, number: int, table: pa.Table) -> list[Part]:
    parts = []
    for piece, rows in enumerate(_rebatch(_results(job, table), job.step)):
        parts.append(write_part(job.stage, f"part-{number:05d}-{piece:03d}", rows))
    return parts


def _rebatch(tables: Iterator[pa.Table], step: Step) -> Iterator[pa.Table]:
    """Join and cut tables to parts of about `step.part_rows` rows and `step.part_bytes` bytes."""
    pending: list[pa.Table] = []
    rows = nbytes = 0
    for table in tables:
        for start in range(0, table.num_rows, step.part_rows):
            piece = table.slice(start, step.part_rows)
            if pending and (
                rows + piece.num_rows > step.part_rows or nbytes + piece.nbytes > step.part_bytes
            ):
                yield pa.concat_tables(pending)
                pending, rows, nbytes = [], 0, 0
            pending.append(piece)
            rows += piece.num_rows
            nbytes += piece.nbytes
    if pending:
        yield pa.concat_tables(pending)


def _results(job: Job, table: pa.Table) -> Iterator[pa.Table]:
    if not table.num_rows:
        return
    try:
        resource = _resource(job.step, job.side)
        yield from job.step.apply(table, resource)
    except StepError:
        raise
    except Exception as error:
        raise StepError(
            f"Step {job.step.name!r} failed on {table.num_rows} rows, the first of which is "
            f"{_describe(table)}: {error!r}. What is finished is kept; mend the cause and run the "
            "build again."
        ) from error


@lru_cache(maxsize=4)
def _resource(step: Step, side: Stage | None) -> Any:
    """Make a step's resource once per process: models and clients are costly."""
    if step.setup is None:
        return None
    reader = None
    if side is not None:
        reader = SideReader(tuple(str(side.part_path(part.name)) for part in side.parts()))
    return step.setup(step.params, reader)


def _describe(table: pa.Table) -> str:
    row = {
        name: table[name][0].as_py()
        for name in table.column_names
        if pa.types.is_string(table.schema.field(name).type)
    }
    return json.dumps(row, ensure_ascii=False)[:500]


def digest_inputs(rows: Sequence[tuple[str, str]]) -> str:
    """Return the digest of inputs given as (name, content hash)."""
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
