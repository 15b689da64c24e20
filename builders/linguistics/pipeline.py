"""The linguistics pipeline: images and their captions in, thick descriptions in a language out."""

from dataclasses import dataclass
from pathlib import Path

from mella.builders.curate.duplicates import DuplicatesParams, duplicates_step
from mella.builders.curate.pack import PackParams, pack_step
from mella.builders.curate.shelve import ShelveParams, shelve_step
from mella.builders.curate.split import SplitParams
from mella.builders.engine.step import Step
from mella.builders.linguistics.checks import ChecksParams, checks_step
from mella.builders.linguistics.entries import EntriesParams, entries_step
from mella.builders.linguistics.images import PoolParams, images_step
from mella.builders.linguistics.join import JoinParams, join_step
from mella.builders.linguistics.split import split_step
from mella.builders.recipe import Recipe, RecipeError
from mella.languages import Language
from mella.manifest import MANIFEST

SOURCE = "linguistics"


@dataclass(frozen=True)
class LinguisticsInputs:
    """Where images and captions come from.

    Attributes:
        pool: Folders: repositories with culture samples, or folders of image files.
        captions: JSON Lines or Parquet tables with the columns `sha256` (of the image file, as it
            lies in the pool), `lang`, `text`, and if known `text_en`, `captioner`, `translator`.
    """

    pool: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinguisticsRecipe:
    """Everything that a build of linguistics samples depends on, but the content of its inputs."""

    languages: tuple[Language, ...]
    checks: ChecksParams
    images: PoolParams
    split: SplitParams
    shards: ShelveParams


def read_linguistics(recipe: Recipe) -> tuple[LinguisticsRecipe, list[tuple[Path, str]]]:
    """Read a recipe for this pipeline.

    Returns:
        The recipe, and the inputs of its first step: paths and kinds.

    Raises:
        RecipeError: A key is unknown or has a wrong value, or no inputs are named.
    """
    languages = recipe.languages()
    inputs = recipe.table("inputs", LinguisticsInputs)
    if not (inputs.pool and inputs.captions):
        raise RecipeError(
            f"{recipe.path}: [inputs] names a pool of images and captions, for example\n"
            'pool = ["images/"]\ncaptions = ["captions.jsonl"]'
        )
    made = LinguisticsRecipe(
        languages=languages,
        checks=recipe.table("checks", ChecksParams, {"languages": languages}),
        images=recipe.table("images", PoolParams),
        split=recipe.table("split", SplitParams),
        shards=recipe.table("shards", ShelveParams, {"source": SOURCE}),
    )
    recipe.end()
    pool = recipe.folders(inputs.pool)
    kinds = [(folder, "release" if (folder / MANIFEST).exists() else "folder") for folder in pool]
    return made, [*kinds, *((file, "captions") for file in recipe.files(inputs.captions))]


def linguistics_steps(recipe: LinguisticsRecipe, build: str, tars: Path) -> tuple[Step, ...]:
    """Return the steps of the pipeline.

    Args:
        recipe: What to do.
        build: Hash of the recipe, which stands in every sample.
        tars: Folder for packed tars.
    """
    codes = tuple(language.code for language in recipe.languages)
    entries, join = entries_step(EntriesParams(codes)), join_step(JoinParams())
    after = (
        checks_step(recipe.checks),
        images_step(recipe.images),
        duplicates_step(DuplicatesParams()),
        split_step(recipe.split, entries),
        shelve_step(recipe.shards),
    )
    columns = [name for step in (join, *after) for name in step.writes.names]
    pack = pack_step(PackParams(SOURCE, build), columns, tars)
    return (entries, join, *after, pack)
