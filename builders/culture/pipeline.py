"""The culture pipeline: web pages in, images with the text that the page itself gives them out."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.culture.consent.image_consent import image_consent_step
from mella.builders.culture.consent.params import ConsentParams
from mella.builders.culture.consent.step import consent_step
from mella.builders.culture.fetch.fetcher import FetchParams
from mella.builders.culture.images.step import ImageParams, images_step
from mella.builders.culture.language.step import LanguageParams, language_step
from mella.builders.culture.page_list import PageListParams, page_list_step
from mella.builders.culture.pages.candidates import CandidatesParams, candidates_step
from mella.builders.culture.repetition import RepetitionParams, repetition_step
from mella.builders.culture.text.step import TextParams, text_step, with_unsafe_files
from mella.builders.curate.benchmarks import BenchmarkFiles, find_benchmarks
from mella.builders.curate.clusters import ClustersParams, clusters_step
from mella.builders.curate.cuts import CutParams, cut_step, read_cuts
from mella.builders.curate.decontaminate import DecontaminateParams, decontaminate_step
from mella.builders.curate.duplicates import DuplicatesParams, duplicates_step
from mella.builders.curate.near_duplicates import NearDuplicatesParams, near_duplicates_step
from mella.builders.curate.pack import PackParams, pack_step
from mella.builders.curate.shelve import ShelveParams, shelve_step
from mella.builders.curate.split import SplitParams, split_step
from mella.builders.engine.step import Step
from mella.builders.recipe import Recipe, RecipeError
from mella.languages import Language

SOURCE = "culture"

# Origins of text that is not an image's own: where these will do, an image needs none.
_AROUND = {"heading", "paragraph"}

# What of a candidate goes with its image into a sample, or is needed on the way there.
_CARRIED = (
    *("id", "page_url", "domain", "image_url", "image_host", "license", "collected_at"),
    *("text", "text_origin", "lang", "script", "language_score", "page_consent"),
)


@dataclass(frozen=True)
class CultureInputs:
    """Where pages come from: archives or lists, not both in one build.

    Attributes:
        archives: WARC, WARC.gz and WACZ files; paths relative to the recipe, or glob patterns.
        page_lists: Text files with the address of a page on each line, which are fetched.
    """

    archives: tuple[str, ...] = ()
    page_lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class CultureRecipe:
    """Everything that a build of culture samples depends on, but the content of its inputs."""

    languages: tuple[Language, ...]
    records: RecordsParams | PageListParams
    candidates: CandidatesParams
    text: TextParams
    repetition: RepetitionParams
    language: LanguageParams
    consent: ConsentParams
    images: ImageParams
    duplicates: DuplicatesParams
    clusters: ClustersParams
    near_duplicates: NearDuplicatesParams
    decontaminate: DecontaminateParams
    cuts: CutParams
    split: SplitParams
    shards: ShelveParams


def read_culture(recipe: Recipe) -> tuple[CultureRecipe, list[Path], BenchmarkFiles]:
    """Read a recipe for this pipeline.

    Returns:
        The recipe, the files that its first step reads, and those that samples are compared with.

    Raises:
        RecipeError: A key is unknown or has a wrong value, or no inputs are named.
    """
    languages = recipe.languages()
    inputs = recipe.table("inputs", CultureInputs)
    if bool(inputs.archives) == bool(inputs.page_lists):
        raise RecipeError(
            f"{recipe.path}: [inputs] names either archives or page_lists, for example\n"
            'archives = ["crawl/*.warc.gz"]'
        )
    fetch = recipe.table("fetch", FetchParams)
    if fetch.store:
        fetch = replace(fetch, store=str(recipe.path.parent.resolve() / fetch.store))
    pages = recipe.table("page_lists", PageListParams, {"fetch_params": fetch})
    records = recipe.table("records", RecordsParams)
    scripts = tuple(dict.fromkeys(script for one in languages for script in one.scripts))
    text = recipe.table("text", TextParams, {"scripts": scripts})
    own_text = not _AROUND & {*text.origins}
    made = CultureRecipe(
        languages=languages,
        records=pages if inputs.page_lists else records,
        candidates=recipe.table("candidates", CandidatesParams, {"own_text": own_text}),
        text=with_unsafe_files(text, recipe.files(text.unsafe_files)),
        repetition=recipe.table("repetition", RepetitionParams),
        language=recipe.table("language", LanguageParams, {"languages": languages}),
        consent=recipe.table("consent", ConsentParams, {"fetch_params": fetch}),
        images=recipe.table("images", ImageParams, {"fetch_params": fetch}),
        duplicates=recipe.table("duplicates", DuplicatesParams),
        clusters=recipe.table("clusters", ClustersParams),
        near_duplicates=recipe.table("near_duplicates", NearDuplicatesParams),
        decontaminate=recipe.table("decontaminate", DecontaminateParams),
        cuts=read_cuts(recipe, languages),
        split=recipe.table("split", SplitParams),
        shards=recipe.table("shards", ShelveParams, {"source": SOURCE}),
    )
    benchmarks = find_benchmarks(
        recipe.paths(made.decontaminate.images), recipe.paths(made.decontaminate.texts)
    )
    recipe.end()
    if inputs.page_lists and not made.images.fetch:
        raise RecipeError(
            f"{recipe.path}: [images] lacks fetch = true: images of page_lists are in no archive."
        )
    if made.images.fetch and not fetch.contact.strip():
        raise RecipeError(
            f"{recipe.path}: [fetch] lacks contact, a URL or an e-mail address where site owners "
            "can reach you. It is sent with every request."
        )
    return made, recipe.files(inputs.archives or inputs.page_lists), benchmarks


def culture_steps(
    recipe: CultureRecipe, benchmarks: BenchmarkFiles, build: str, tars: Path
) -> tuple[Step, ...]:
    """Return the steps of the pipeline.

    Args:
        recipe: What to do.
        benchmarks: What samples are compared with.
        build: Hash of the recipe, which stands in every sample.
        tars: Folder for packed tars.

    Raises:
        FetchError: Something is to be fetched, but there is no contact.
        ImagesError: Pages are fetched, but images are not.
    """
    from_list = isinstance(recipe.records, PageListParams)
    if isinstance(recipe.records, PageListParams):
        records = page_list_step(recipe.records)
    else:
        records = records_step(recipe.records)
    before = (
        records,
        candidates_step(recipe.candidates),
        text_step(recipe.text),
        repetition_step(recipe.repetition),
        language_step(recipe.language),
        consent_step(recipe.consent),
    )
    known = {field.name: field for step in before for field in step.writes}
    carries = pa.schema([known[name] for name in _CARRIED])
    images = images_step(recipe.images, None if from_list else records, carries)
    scored = (
        images,
        image_consent_step(recipe.consent),
        duplicates_step(recipe.duplicates, origins=True),
        clusters_step(recipe.clusters),
        near_duplicates_step(recipe.near_duplicates),
        decontaminate_step(recipe.decontaminate, benchmarks),
    )
    columns = [name for step in scored for name in step.writes.names]
    after = (
        cut_step(recipe.cuts, columns),
        split_step(recipe.split, by="cluster"),
        shelve_step(recipe.shards),
    )
    columns += [name for step in after for name in step.writes.names]
    return (*before, *scored, *after, pack_step(PackParams(SOURCE, build), columns, tars))
