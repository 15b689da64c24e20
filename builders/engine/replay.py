"""Guard a replay: only the cut and what follows it may run; everything before must be there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mella.builders.engine.parts import Stage
from mella.builders.engine.runner import Pipeline, about, run_record
from mella.errors import MellaError, RepositoryError

CUT = "cut"
"""The name of the step that a replay begins with."""

_SHOWN = 4
_SHOWN_CHARS = 60


class ReplayError(MellaError, RuntimeError):
    """A replay would have to do more than cut."""


def check_replay(pipeline: Pipeline, work: Path) -> None:
    """Check that all steps before the cut have finished, under these very parameters.

    Raises:
        ReplayError: One has not; the message says which, what differs from what was run, and what
            to do. Or the pipeline has no cut.
        RepositoryError: Nothing was run in the folder `work`.
    """
    names = [step.name for step in pipeline.steps]
    if CUT not in names:
        raise ReplayError(
            "This pipeline has no cut step, so it stores no scores that could be cut anew. Run it "
            "without --replay: what has finished is not done again."
        )
    before = pipeline.stages(work)[: names.index(CUT)]
    open_stages = [stage for stage in before if not stage.finished()]
    if open_stages:
        raise ReplayError(_message(pipeline, work, open_stages))


def _message(pipeline: Pipeline, work: Path, missing: list[Stage]) -> str:
    steps = ", ".join(stage.name for stage in missing)
    would = f"A replay only cuts, but {steps} would have to run first. "
    try:
        earlier = run_record(work)
    except RepositoryError:
        return f"{would}Nothing was run in {work} yet. Run the recipe without --replay."
    differences = list(_differences(earlier, about(pipeline), {stage.name for stage in missing}))
    if not differences:
        return (
            f"{would}{missing[0].name} has not finished: the last run stopped there, or its folder "
            "was removed. Run the recipe without --replay: it goes on where it stopped."
        )
    more = len(differences) - _SHOWN
    told = "; ".join(differences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"{would}What differs from the last run in {work}: {told}. Set it back, or run the recipe "
        "without --replay."
    )


def _differences(earlier: dict[str, Any], now: dict[str, Any], names: set[str]) -> Iterator[str]:
    """Tell in words what differs, in the order of the steps."""
    if "inputs" not in earlier:
        yield "it was made by an older mella, which did not note its parameters"
        return
    if earlier["inputs"] != now["inputs"]:
        yield "the inputs (their content, or the folder they lie in)"
    steps = {step["name"]: step for step in earlier["steps"]}
    for step in now["steps"]:
        if step["name"] not in names:
            continue
        name, old = step["name"], steps.get(step["name"])
        if old is None:
            yield f"the step {name} was not there"
            continue
        if old["version"] != step["version"]:
            yield f"{name} has version {step['version']}, and was run with {old['version']}"
        if old["columns"] != step["columns"]:
            yield f"{name} writes other columns"
        yield from _params(name, old["params"], step["params"])
    there = {step["name"] for step in now["steps"]}
    yield from (f"the step {name} is gone" for name in steps if name not in there)


def _params(where: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*new, *old]):
            yield from _params(f"{where}: {name}", old.get(name), new.get(name))
    elif old != new:
        yield f"{where} = {_short(new)}, and was run with {_short(old)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
