"""The engine: contract, resume, shuffle, ledger."""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import outcomes, read_part, segments
from mella.builders.engine.runner import Pipeline, open_run, run
from mella.builders.engine.step import SideReader, Step, StepError
from mella.errors import FormatError, RepositoryError
from stories import explain


@dataclass(frozen=True)
class Numbers:
    """Parameters of the toy steps."""

    limit: int = 10
    log: str = ""


INPUT = pa.schema([("start", pa.int64()), ("count", pa.int64())])
ROWS = pa.schema([("n", pa.int64()), ("id", pa.string()), ("reason", pa.string())])


def count_up(table, params, resource):
    _log(params, "count")
    for row in table.to_pylist():
        ns = range(row["start"], row["start"] + row["count"])
        reasons = ["odd:seven" if n % 10 == 7 else None for n in ns]
        yield pa.table([list(ns), [f"id-{n}" for n in ns], reasons], schema=ROWS)


def keep_below(table, params, resource):
    _log(params, "below")
    reason = pc.if_else(pc.greater_equal(table["n"], params.limit), "below:limit", None)
    return pa.table([pc.multiply(table["n"], 2), reason.cast(pa.string())], ["double", "reason"])


def group_size(table, params, resource):
    residues = table["residue"].to_pylist()
    sizes = [residues.count(residue) for residue in residues]
    return pa.table([pa.array(sizes, pa.int64())], ["size"])


def residue(table, params, resource):
    return pa.table([pa.array([n % 3 for n in table["n"].to_pylist()], pa.int64())], ["residue"])


def side_sum(params, side):
    assert isinstance(side, SideReader)
    return sum(sum(table["n"].to_pylist()) for table in side.read(["n"]))


def add_side(table, params, resource):
    return pa.table([pa.array([resource] * table.num_rows, pa.int64())], ["total"])


def _log(params, word):
    if params.log:
        with Path(params.log).open("a") as file:
            file.write(word + "\n")


def schema(**columns):
    return pa.schema(list(columns.items()))


def toy(params=Numbers(), *, starts=(0, 100, 5), count=8, part_rows=3):
    first = Step(
        "count", 1, count_up, INPUT, ROWS, params, expands=True, unit="numbers", part_rows=part_rows
    )
    below = Step(
        "below",
        1,
        keep_below,
        schema(n=pa.int64()),
        schema(double=pa.int64(), reason=pa.string()),
        params,
    )
    steps = (
        first,
        below,
        Step("residue", 1, residue, schema(n=pa.int64()), schema(residue=pa.int64()), Numbers()),
        Step(
            "group",
            1,
            group_size,
            schema(residue=pa.int64()),
            schema(size=pa.int64()),
            Numbers(),
            by="residue",
            bucket_rows=4,
        ),
        Step(
            "side",
            1,
            add_side,
            schema(n=pa.int64()),
            schema(total=pa.int64()),
            Numbers(),
            setup=side_sum,
            side=first,
        ),
    )
    inputs = pa.table([list(starts), [count] * len(starts)], schema=INPUT)
    return Pipeline(steps, inputs, hashlib.sha256(repr((starts, count)).encode()).hexdigest())


def final(stages, columns=("n", "double", "residue", "size", "total")):
    names = [part.name for part in stages[-1].parts()]
    return pa.concat_tables([read_part(stages, name, columns) for name in names])


def digest(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_columns_of_all_steps_lie_beside_each_other(tmp_path):
    table = final(run(toy(), tmp_path, LocalExecutor(1)))
    expected = [n for s in (0, 100, 5) for n in range(s, s + 8) if n % 10 != 7 and n < 10]
    assert table["n"].to_pylist() == expected
    assert table["double"].to_pylist() == [2 * n for n in expected]
    sizes = [sum(m % 3 == n % 3 for m in expected) for n in expected]
    assert table["size"].to_pylist() == sizes
    everything = [n for s in (0, 100, 5) for n in range(s, s + 8) if n % 10 != 7]
    assert set(table["total"].to_pylist()) == {sum(everything)}


def test_the_funnel_sums_to_all_rows_and_agrees_with_the_outcomes(tmp_path):
    stages = run(toy(), tmp_path, LocalExecutor(1))
    (level,) = funnel(stages)
    assert level.rows == 24
    assert level.kept + sum(reject.rows for reject in level.rejects) == level.rows
    assert {(r.step, r.reason, r.rows) for r in level.rejects} == {
        ("count", "odd:seven", 3),
        ("below", "below:limit", 10),
    }
    (segment,) = segments(stages)
    tables = [outcomes(segment, part.name) for part in segment[0].parts()]
    reasons = [reason for table in tables for reason in table["reason"].to_pylist()]
    assert reasons.count(None) == level.kept
    assert reasons.count("below:limit") == 10


def test_explain_tells_where_a_row_ended_and_what_the_steps_wrote(tmp_path):
    stages = run(toy(), tmp_path, LocalExecutor(1))
    kept, again = explain(stages, "id-5")
    assert kept.reason is None
    assert kept.row["double"] == 10
    assert again == kept
    (rejected,) = explain(stages, "id-102")
    assert (rejected.step, rejected.reason) == ("below", "below:limit")
    assert "residue" not in rejected.row
    assert explain(open_run(tmp_path), "id-102") == [rejected]
    assert explain(stages, "nothing") == []


def test_a_process_pool_gives_the_same_bytes_as_one_process(tmp_path):
    with LocalExecutor(2) as pool:
        run(toy(), tmp_path / "pool", pool)
    run(toy(), tmp_path / "one", LocalExecutor(1))
    assert digest(tmp_path / "pool") == digest(tmp_path / "one")


def test_a_second_run_does_nothing_and_changed_parameters_run_anew(tmp_path):
    log = tmp_path / "log"
    params = Numbers(log=str(log))
    run(toy(params), tmp_path / "work", LocalExecutor(1))
    once = log.read_text()
    run(toy(params), tmp_path / "work", LocalExecutor(1))
    assert log.read_text() == once
    stages = run(toy(Numbers(limit=3, log=str(log))), tmp_path / "work", LocalExecutor(1))
    assert log.read_text() != once
    assert max(final(stages, ["n"])["n"].to_pylist()) == 2


def test_an_interrupted_run_goes_on_with_the_missing_parts_only(tmp_path):
    log = tmp_path / "log"
    params = Numbers(log=str(log))
    stages = run(toy(params), tmp_path / "work", LocalExecutor(1))
    whole = digest(tmp_path / "work")
    # As a kill between two tasks leaves it: one part done, no manifest from there on.
    for stage in stages[1:]:
        (stage.path / "manifest.json").unlink()
    for number in (1, 2):
        (stages[1].path / f"task-{number:05d}.json").unlink()
    done = log.read_text().count("below")
    run(toy(params), tmp_path / "work", LocalExecutor(1))
    assert log.read_text().count("below") == done + 2
    assert digest(tmp_path / "work") == whole


def test_killing_a_run_at_any_task_and_running_again_gives_the_same_bytes(tmp_path):
    run(toy(), tmp_path / "whole", LocalExecutor(1))
    script = (
        "import os, sys, signal; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[3]); from test_engine import *\n"
        "seen = 0\n"
        "def stop(progress):\n"
        "    global seen; seen += 1\n"
        "    if seen == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "run(toy(), Path(sys.argv[1]), LocalExecutor(1), stop)\n"
    )
    for moment in (2, 9, 17, 26, 34):
        arguments = [str(tmp_path / f"cut-{moment}"), str(moment), str(Path(__file__).parent)]
        killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
        assert killed.returncode == -9
        run(toy(), tmp_path / f"cut-{moment}", LocalExecutor(1))
        assert digest(tmp_path / f"cut-{moment}") == digest(tmp_path / "whole")


@settings(max_examples=25, deadline=None)
@given(
    starts=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    count=st.integers(0, 9),
    part_rows=st.integers(1, 5),
)
def test_every_row_has_one_end_whatever_the_parts(tmp_path_factory, starts, count, part_rows):
    folder = tmp_path_factory.mktemp("any")
    stages = run(
        toy(starts=tuple(starts), count=count, part_rows=part_rows), folder, LocalExecutor(1)
    )
    (level,) = funnel(stages)
    assert level.rows == len(starts) * count
    assert level.kept + sum(reject.rows for reject in level.rejects) == level.rows
    expected = [n for s in starts for n in range(s, s + count) if n % 10 != 7 and n < 10]
    kept = [] if not level.rows else final(stages, ["n"])["n"].to_pylist()
    assert kept == expected


def wrong_column(table, params, resource):
    return pa.table([table["n"]], ["m"])


def too_few(table, params, resource):
    return table.slice(1)


def failing(table, params, resource):
    raise ZeroDivisionError("no")


@pytest.mark.parametrize(
    ("fn", "message"),
    [(wrong_column, "declares that it writes"), (too_few, "one row for each"), (failing, "id-0")],
)
def test_a_step_that_breaks_its_contract_is_named(tmp_path, fn, message):
    good = toy()
    bad = Step(
        "bad",
        1,
        fn,
        schema(n=pa.int64(), id=pa.string()),
        schema(n=pa.int64(), id=pa.string()),
        Numbers(),
    )
    pipeline = Pipeline((good.steps[0], bad), good.inputs, good.digest)
    with pytest.raises(StepError, match=message) as caught:
        run(pipeline, tmp_path, LocalExecutor(1))
    assert "'bad'" in str(caught.value)


def test_a_step_sees_only_the_columns_it_declares(tmp_path):
    good = toy()
    greedy = Step(
        "greedy", 1, keep_below, schema(id=pa.string()), schema(double=pa.int64()), Numbers()
    )
    pipeline = Pipeline((good.steps[0], greedy), good.inputs, good.digest)
    with pytest.raises(StepError, match="greedy"):
        run(pipeline, tmp_path, LocalExecutor(1))


def test_bad_declarations_are_refused():
    with pytest.raises(StepError, match="frozen"):
        Step("s", 1, residue, INPUT, ROWS, {"limit": 1})
    with pytest.raises(StepError, match="by='size'"):
        Step("s", 1, residue, INPUT, ROWS, Numbers(), by="size")


def test_an_unfinished_or_missing_build_says_so(tmp_path):
    stages = run(toy(), tmp_path, LocalExecutor(1))
    (stages[2].path / "manifest.json").unlink()
    with pytest.raises(FormatError, match=r"residue.*Run the build again"):
        funnel(stages)
    with pytest.raises(RepositoryError, match="mella-build run"):
        open_run(tmp_path / "elsewhere")


def die(table, params, resource):
    os.kill(os.getpid(), 9)


def test_a_killed_worker_is_an_error_that_says_what_to_do(tmp_path):
    good = toy()
    deadly = Step("deadly", 1, die, schema(n=pa.int64()), schema(m=pa.int64()), Numbers())
    pipeline = Pipeline((good.steps[0], deadly), good.inputs, good.digest)
    with LocalExecutor(2) as pool, pytest.raises(StepError, match="run the build again"):
        run(pipeline, tmp_path, pool)
