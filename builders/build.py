"""A build: a recipe and its inputs made into a pipeline, run, and released into a repository."""

import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa

from mella.builders.culture.pipeline import (
    ComparedFiles,
    CultureRecipe,
    culture_steps,
    read_culture,
)
from mella.builders.curate.pack import TARS
from mella.builders.curate.release import Release, manifest_in, release
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.parts import Stage
from mella.builders.engine.replay import check_replay
from mella.builders.engine.runner import Pipeline, Progress, digest_inputs, run
from mella.builders.engine.step import canonical
from mella.builders.linguistics.pipeline import (
    LinguisticsRecipe,
    linguistics_steps,
    read_linguistics,
)
from mella.builders.recipe import Recipe, RecipeError
from mella.errors import FormatError, MellaError
from mella.manifest import Manifest
from mella.repository import FolderStorage, Repository
from mella.schema import SOURCES

_INPUTS = pa.schema([("name", pa.string()), ("path", pa.string()), ("kind", pa.string())])


@dataclass(frozen=True)
class Build:
    """What is to be built, and how.

    Attributes:
        recipe: What the recipe file says.
        about: What is released in the end.
        pipeline: The steps and their inputs.
        work: Folder for what the steps write.
    """

    recipe: CultureRecipe | LinguisticsRecipe
    about: Release
    pipeline: Pipeline
    work: Path

    def stages(self) -> list[Stage]:
        """Return the stages, finished or not."""
        return self.pipeline.stages(self.work)


def plan_build(recipe_file: Path, work: Path) -> Build:
    """Read a recipe and its inputs; nothing is run.

    The inputs are read once to the end, for their hash: it makes the build the same wherever they
    lie and in whatever order the recipe names them, and another one when they change.

    Raises:
        RecipeError: The recipe is wrong.
        FetchError: Something is to be fetched, but there is no contact.
        RepositoryError, FormatError: A pool has a manifest, but is no whole repository.
    """
    recipe = Recipe(recipe_file)
    source = recipe.word("source", SOURCES)
    made: CultureRecipe | LinguisticsRecipe
    inputs: list[tuple[str, str]]
    if source == "culture":
        made, inputs, compared = read_culture(recipe)
    else:
        made, found = read_linguistics(recipe)
        inputs = [(str(path), kind) for path, kind in found]
        compared = ComparedFiles()
    names = _names([path for path, _ in inputs])
    rows = sorted((name, path, kind) for name, (path, kind) in zip(names, inputs, strict=True))
    digests = [_digest(path, kind) for _, path, kind in rows]
    build = _build_hash(
        made,
        [(row[0], digest) for row, digest in zip(rows, digests, strict=True)],
        compared.digest(),
    )
    work = work.resolve()
    if isinstance(made, CultureRecipe):
        steps = culture_steps(made, compared, build, work / TARS)
    else:
        steps = linguistics_steps(made, build, work / TARS)
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=_INPUTS)
    # Steps store paths to read again later: elsewhere, the same files make another run.
    paths = [(row[1], digest) for row, digest in zip(rows, digests, strict=True)]
    languages = tuple(language.code for language in made.languages)
    versions = tuple((step.name, step.version) for step in steps)
    about = Release(source, languages, recipe.text, build, versions)
    return Build(made, about, Pipeline(steps, table, digest_inputs(paths)), work)


def run_build(
    build: Build,
    out: Path,
    workers: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
    *,
    allow_empty: bool = False,
    replay: bool = False,
) -> Manifest:
    """Run a build, going on where an earlier run stopped, and release it into the folder `out`.

    Args:
        build: What to run.
        out: Folder of the repository.
        workers: Processes.
        on_progress: Called after each task.
        allow_empty: Whether a language may lose all samples that the repository had.
        replay: Only cut stored scores anew; see `mella.builders.engine.replay`.

    Returns:
        The manifest of the repository in `out`.

    Raises:
        RecipeError: `work` or `out` lies in a folder of images that is read, or `out` in `work`.
        RepositoryError: `out` is not a folder.
        FormatError: `out` holds a manifest that this package cannot replace, or what an earlier
            run left in `work` is damaged.
        StepError: A step failed; what is finished stays.
        ReplayError: A replay would have to run a step before the cut; nothing was run.
        ReleaseError: A language of the repository would lose all its samples, and `allow_empty` is
            not set.
    """
    _check_apart(build, out)
    manifest_in(out)  # an error now, not after hours
    with damage_named(build.work):
        if replay:
            check_replay(build.pipeline, build.work)
        with LocalExecutor(workers) as executor:
            stages = run(build.pipeline, build.work, executor, on_progress)
        return release(stages, build.work / TARS, out, build.about, allow_empty=allow_empty)


@contextmanager
def damage_named(work: Path) -> Iterator[None]:
    """Raise FormatError, saying what to do, where a file in the folder `work` cannot be read."""
    try:
        yield
    except MellaError:
        raise
    except (pa.ArrowException, json.JSONDecodeError, OSError) as error:
        # Arrow raises an OSError without a number where the data are at fault.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise
        raise FormatError(
            f"What an earlier run left in {work} is damaged: {error}. Remove the folder of the "
            "step that the message names, or the whole folder, and run the build again."
        ) from error


def _check_apart(build: Build, out: Path) -> None:
    if out.resolve().is_relative_to(build.work):
        raise RecipeError(
            f"The repository {out} lies in the work folder {build.work}, which may be deleted at "
            "any time. Put it elsewhere with --out."
        )
    for row in build.pipeline.inputs.to_pylist():
        for written in (build.work, out.resolve()):
            if row["kind"] == "folder" and written.is_relative_to(Path(row["path"]).resolve()):
                raise RecipeError(
                    f"{written} lies in {row['path']}, which is read as a folder of images: what "
                    "is written would be read as well. Put one of them elsewhere."
                )


def _build_hash(
    recipe: CultureRecipe | LinguisticsRecipe, inputs: list[tuple[str, str]], compared: str
) -> str:
    identity = {
        "recipe": canonical(recipe),
        "inputs": sorted(inputs),
        "compared": compared,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _names(paths: list[str]) -> list[str]:
    """Return short names that tell the inputs apart: as many folders as that takes."""
    for parts in count(1):
        names = ["/".join(path.split("/")[-parts:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def _digest(named: str, kind: str) -> str:
    if kind == "url":
        # What is published under an address of an index does not change, and may be a terabyte.
        return hashlib.sha256(named.encode()).hexdigest()
    path = Path(named)
    if kind == "release":
        return _release_digest(path)
    if kind == "folder":
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return digest_inputs([(str(file.relative_to(path)), _file_digest(file)) for file in files])
    return _file_digest(path)


def _release_digest(folder: Path) -> str:
    """Return the digest of what a build takes from a repository; it may write more into it."""
    repository = Repository(FolderStorage(folder))
    indexes = [entry for entry in repository.manifest.indexes if entry.source == "culture"]
    taken_down = sorted((key, "taken down") for key in repository.tombstones.to_pylist())
    return digest_inputs([*((entry.path, entry.sha256) for entry in indexes), *taken_down])


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
