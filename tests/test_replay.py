"""A replay: other thresholds on stored scores, and nothing else done again."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from built_miniweb import built
from mella.builders.build import Build, plan_build, run_build
from mella.builders.curate.cuts import CutParams, Limit, Limits, cut_step
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import read_part
from mella.builders.engine.replay import ReplayError, check_replay
from mella.builders.engine.runner import Pipeline, run
from mella.builders.engine.step import Step

__all__ = ["built"]  # a fixture


@dataclass(frozen=True)
class Model:
    """What the toy scores depend on; `log` counts how often a score is made."""

    log: str
    factor: float = 0.1
    words: tuple[str, ...] = ()


INPUT = pa.schema([("lang", pa.string()), ("count", pa.int64())])
ROWS = pa.schema([("lang", pa.string()), ("n", pa.int64())])
SCORE = pa.schema([("alignment_score", pa.float64())])
DOUBLE = pa.schema([("double", pa.float64())])


def count_up(table, _, __):
    for row in table.to_pylist():
        yield pa.table([[row["lang"]] * row["count"], [*range(row["count"])]], schema=ROWS)


def score(table, params, _):
    with Path(params.log).open("a") as file:
        file.write("scored\n")
    scores = [n * params.factor for n in table["n"].to_pylist()]
    return pa.table([pa.array(scores, pa.float64())], schema=SCORE)


def double(table, _, __):
    values = [2 * one for one in table["alignment_score"].to_pylist()]
    return pa.table([pa.array(values, pa.float64())], schema=DOUBLE)


def toy(model, least, *, counts=(("th", 10), ("vi", 10)), version=1, part_rows=4096):
    steps = (
        Step("count", 1, count_up, INPUT, ROWS, Nothing(), expands=True, part_rows=part_rows),
        Step("score", version, score, pa.schema([ROWS.field("n")]), SCORE, model),
        cut_step(least, ["alignment_score"]),
        Step("double", 1, double, SCORE, DOUBLE, Nothing()),
    )
    inputs = pa.Table.from_pylist([{"lang": a, "count": b} for a, b in counts], schema=INPUT)
    return Pipeline(steps, inputs, hashlib.sha256(repr(counts).encode()).hexdigest())


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


def at(least):
    return CutParams(Limits(alignment_score=Limit(least=least)))


@pytest.fixture
def model(tmp_path):
    return Model(str(tmp_path / "log"))


def test_other_thresholds_are_cut_without_scoring_again(tmp_path, model):
    work = tmp_path / "work"
    run(toy(model, at(0.5)), work, LocalExecutor(1))
    scored = Path(model.log).read_text()
    again = toy(model, at(0.8))
    check_replay(again, work)
    stages = run(again, work, LocalExecutor(1))
    assert Path(model.log).read_text() == scored
    (level,) = funnel(stages)
    assert level.kept == 4
    assert [(one.reason, one.rows) for one in level.rejects] == [("cut:alignment_score", 16)]
    tables = [read_part(stages, part.name, ["double"]) for part in stages[-1].parts()]
    assert pa.concat_tables(tables)["double"].to_pylist() == [1.6, 1.8, 1.6, 1.8]


def test_a_quantile_is_the_same_whatever_the_parts(tmp_path, model):
    params = CutParams(Limits(alignment_score=Limit(quantile=0.35)))
    kept = set()
    for rows in (3, 4096):
        stages = run(toy(model, params, part_rows=rows), tmp_path / str(rows), LocalExecutor(1))
        parts = stages[-1].parts()
        tables = [read_part(stages, part.name, ["lang", "n"]) for part in parts]
        kept.add(repr(pa.concat_tables(tables).sort_by([("lang", "ascending")]).to_pylist()))
    assert len(kept) == 1
    assert kept.pop().count("'th'") == 7


def refused(pipeline, work):
    with pytest.raises(ReplayError) as caught:
        check_replay(pipeline, work)
    return str(caught.value)


def test_a_changed_score_is_refused_and_named(tmp_path, model):
    work = tmp_path / "work"
    run(toy(model, at(0.5)), work, LocalExecutor(1))
    changed = replace(model, factor=0.2, words=("a" * 500,))
    said = refused(toy(changed, at(0.8)), work)
    assert "score would have to run first" in said
    assert "score: factor = 0.2, and was run with 0.1" in said
    assert "score: words" in said
    assert len(said) < 500
    assert "without --replay" in said
    said = refused(toy(model, at(0.8), version=2), work)
    assert "score has version 2, and was run with 1" in said
    said = refused(toy(model, at(0.8), counts=(("th", 3),)), work)
    assert "count, score would have to run first" in said
    assert "the inputs" in said


def test_parameters_that_were_run_before_the_last_time_are_replayed_too(tmp_path, model):
    work = tmp_path / "work"
    run(toy(model, at(0.5)), work, LocalExecutor(1))
    run(toy(replace(model, factor=0.2), at(0.5)), work, LocalExecutor(1))
    check_replay(toy(model, at(0.7)), work)


def test_an_unfinished_or_missing_run_is_refused(tmp_path, model):
    work = tmp_path / "work"
    pipeline = toy(model, at(0.5))
    assert "Nothing was run in" in refused(pipeline, work)
    assert not work.exists()
    stages = run(pipeline, work, LocalExecutor(1))
    (stages[1].path / "manifest.json").unlink()
    said = refused(toy(model, at(0.1)), work)
    assert "score has not finished" in said
    assert "goes on where it stopped" in said


def test_a_step_that_came_or_went_is_named(tmp_path, model):
    work = tmp_path / "work"
    whole = toy(model, at(0.5))
    without = Pipeline((whole.steps[0], *whole.steps[2:]), whole.inputs, whole.digest)
    bare = replace(without, steps=(without.steps[0], cut_step(CutParams(), ())))
    run(bare, work, LocalExecutor(1))
    assert "the step score was not there" in refused(whole, work)


@pytest.mark.parametrize("source", ["linguistics"])
def test_a_pipeline_without_a_cut_says_so(built, source, tmp_path):
    build = plan_build(built.recipe(source), built.work(source))
    with pytest.raises(ReplayError, match="no cut step"):
        run_build(build, tmp_path / "data", 1, replay=True)
    assert not (tmp_path / "data").exists()


def with_cut(build, params):
    """The build of the mini-web with a cut before its split, and where the run lies."""
    steps = [step for step in build.pipeline.steps if step.name != "cut"]
    place = [step.name for step in steps].index("split")
    columns = [name for step in steps[:place] for name in step.writes.names]
    steps.insert(place, cut_step(params, columns))
    return Build(build.recipe, build.about, replace(build.pipeline, steps=tuple(steps)), build.work)


def test_the_mini_web_is_cut_anew_into_a_repository(built, tmp_path):
    recipe, work = built.copy("culture", tmp_path)
    planned = plan_build(recipe, work)
    elsewhere = with_cut(
        Build(planned.recipe, planned.about, planned.pipeline, tmp_path / "none"), CutParams()
    )
    with pytest.raises(ReplayError, match="would have to run first"):
        run_build(elsewhere, tmp_path / "data", 1, replay=True)
    assert not elsewhere.work.exists()
    every = with_cut(planned, CutParams())
    before = run_build(every, tmp_path / "data", 1)
    ran = []
    params = CutParams(Limits(language_score=Limit(quantile=0.5)))
    stricter = with_cut(planned, params)
    after = run_build(
        stricter, tmp_path / "data", 1, lambda p: ran.append((p.step, p.total)), replay=True
    )
    count = sum(entry.samples for entry in before.indexes)
    assert 0 < sum(entry.samples for entry in after.indexes) < count
    (level, _) = [one for one in funnel(stricter.stages()) if one.unit in ("images", "samples")]
    assert {one.reason for one in level.rejects if one.step == "cut"} == {"cut:language_score"}
