"""A build: a recipe and its inputs made into a pipeline, run, and released into a repository."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mella.builders.culture.pipeline import CultureRecipe, culture_steps, read_culture
from mella.builders.curate.pack import TARS
from mella.builders.curate.release import Release, release
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.parts import Stage
from mella.builders.engine.runner import Pipeline, Progress, digest_inputs, run
from mella.builders.engine.step import canonical
from mella.builders.linguistics.pipeline import (
    LinguisticsRecipe,
    linguistics_steps,
    read_linguistics,
)
from mella.builders.recipe import Recipe
from mella.manifest import MANIFEST, Manifest
from mella.schema import SOURCES

_INPUTS = pa.schema([("path", pa.string()), ("name", pa.string()), ("kind", pa.string())])


@dataclass(frozen=True)
class Build:
    """What is to be built, and how.

    Attributes:
        about: What is released in the end.
        pipeline: The steps and their inputs.
        work: Folder for what the steps write.
    """

    about: Release
    pipeline: Pipeline
    work: Path

    def stages(self) -> list[Stage]:
        """Return the stages, finished or not."""
        return self.pipeline.stages(self.work)


def plan_build(recipe_file: Path, work: Path) -> Build:
    """Read a recipe and its inputs; nothing is run.

    The inputs are read once to the end, for their hash: it makes the build the same wherever they
    lie, and another one when they change.

    Raises:
        RecipeError: The recipe is wrong.
    """
    recipe = Recipe(recipe_file)
    source = recipe.word("source", SOURCES)
    made: CultureRecipe | LinguisticsRecipe
    if source == "culture":
        made, files = read_culture(recipe)
        inputs = [(file, "file") for file in files]
    else:
        made, inputs = read_linguistics(recipe)
    names = _names([path for path, _ in inputs])
    content = [
        (name, _digest(path, kind)) for (path, kind), name in zip(inputs, names, strict=True)
    ]
    build = _build_hash(made, content)
    work = work.resolve()
    if isinstance(made, CultureRecipe):
        steps = culture_steps(made, build, work / TARS)
    else:
        steps = linguistics_steps(made, build, work / TARS)
    rows = [(str(path), name, kind) for (path, kind), name in zip(inputs, names, strict=True)]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=_INPUTS)
    # Steps store paths to read again later: elsewhere, the same files make another run.
    paths = [(path, digest) for (path, _, _), (_, digest) in zip(rows, content, strict=True)]
    languages = tuple(language.code for language in made.languages)
    about = Release(source, languages, recipe.text, build)
    return Build(about, Pipeline(steps, table, digest_inputs(paths)), work)


def run_build(
    build: Build,
    out: Path,
    workers: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Manifest:
    """Run a build, going on where an earlier run stopped, and release it into the folder `out`.

    Returns:
        The manifest of the repository in `out`.

    Raises:
        StepError: A step failed; what is finished stays.
    """
    with LocalExecutor(workers) as executor:
        stages = run(build.pipeline, build.work, executor, on_progress)
    return release(stages, build.work / TARS, out, build.about)


def _build_hash(recipe: CultureRecipe | LinguisticsRecipe, inputs: list[tuple[str, str]]) -> str:
    identity = {"recipe": canonical(recipe), "inputs": sorted(inputs)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _names(paths: list[Path]) -> list[str]:
    """Return short names that tell the inputs apart: as many folders as that takes."""
    parts = 1
    while True:
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
        parts += 1


def _digest(path: Path, kind: str) -> str:
    if kind == "release":
        return _file_digest(path / MANIFEST)
    if kind == "folder":
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return digest_inputs([(str(file.relative_to(path)), _file_digest(file)) for file in files])
    return _file_digest(path)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
