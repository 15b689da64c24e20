"""The culture pipeline: web pages in, images with the text that the page itself gives them out."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.culture.consent.image_consent import image_consent_step
from mella.builders.culture.consent.params import ConsentParams
from mella.builders.culture.consent.step import consent_step
from mella.builders.culture.discover.index import IndexParams, index_step
from mella.builders.culture.discover.params import CrawlParams, DiscoverParams, RangesParams
from mella.builders.culture.discover.ranges_step import ranges_step
from mella.builders.culture.discover.step import discover_step
from mella.builders.culture.fetch.fetcher import FetchParams
from mella.builders.culture.images.step import ImageParams, images_step
from mella.builders.culture.language.step import LanguageParams, language_step
from mella.builders.culture.page_list import PageListParams, page_list_step
from mella.builders.culture.pages.candidates import CandidatesParams, candidates_step
from mella.builders.culture.repetition import RepetitionParams, repetition_step
from mella.builders.culture.text.step import TextParams, text_step, with_unsafe_files
from mella.builders.curate.align import align_step
from mella.builders.curate.benchmarks import BenchmarkFiles, find_benchmarks
from mella.builders.curate.categories.step import CategoriseParams, categorise_step
from mella.builders.curate.clusters import ClustersParams, clusters_step
from mella.builders.curate.cuts import CutParams, cut_step, read_cuts
from mella.builders.curate.decontaminate import DecontaminateParams, decontaminate_step
from mella.builders.curate.dual_encoder import EncoderParams
from mella.builders.curate.duplicates import DuplicatesParams, duplicates_step
from mella.builders.curate.hashes import HashesParams, hashes_step
from mella.builders.curate.hosts import HostsParams, hosts_step
from mella.builders.curate.lists import Lists, hash_lists, host_lists
from mella.builders.curate.near_duplicates import NearDuplicatesParams, near_duplicates_step
from mella.builders.curate.pack import PackParams, pack_step
from mella.builders.curate.safety import SafetyParams, blur_step, safety_step
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
    """Where pages come from: archives, lists or an index, just one of them in one build.

    Attributes:
        archives: WARC, WARC.gz and WACZ files; paths relative to the recipe, or glob patterns.
        page_lists: Text files with the address of a page on each line, which are fetched.
        common_crawl: Parquet files of a columnar index, or their URLs; see `docs/common-crawl.md`.
    """

    archives: tuple[str, ...] = ()
    page_lists: tuple[str, ...] = ()
    common_crawl: tuple[str, ...] = ()

    def one_kind(self) -> tuple[str, ...]:
        """Return what is named; nothing where it is of no kind or of several."""
        named = [kind for kind in (self.archives, self.page_lists, self.common_crawl) if kind]
        return named[0] if len(named) == 1 else ()


@dataclass(frozen=True)
class CultureRecipe:
    """Everything that a build of culture samples depends on, but the content of its inputs."""

    languages: tuple[Language, ...]
    records: RecordsParams | PageListParams | CrawlParams
    candidates: CandidatesParams
    hosts: HostsParams
    text: TextParams
    repetition: RepetitionParams
    language: LanguageParams
    consent: ConsentParams
    images: ImageParams
    hashes: HashesParams
    safety: SafetyParams
    duplicates: DuplicatesParams
    clusters: ClustersParams
    near_duplicates: NearDuplicatesParams
    align: EncoderParams
    categorise: CategoriseParams
    decontaminate: DecontaminateParams
    cuts: CutParams
    split: SplitParams
    shards: ShelveParams


@dataclass(frozen=True)
class ComparedFiles:
    """What rows are compared with: files that no step makes rows of.

    Attributes:
        hosts: Lists of hosts.
        hashes: Lists of images.
        benchmarks: Images and texts that no sample may hold.
    """

    hosts: Lists = field(default_factory=Lists)
    hashes: Lists = field(default_factory=Lists)
    benchmarks: BenchmarkFiles = field(default_factory=BenchmarkFiles)

    def digest(self) -> str:
        """Return a hash of what they say, wherever they lie."""
        digests = (self.hosts.digest, self.hashes.digest, self.benchmarks.digest())
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def read_culture(recipe: Recipe) -> tuple[CultureRecipe, list[tuple[str, str]], ComparedFiles]:
    """Read a recipe for this pipeline.

    Returns:
        The recipe; what its first step reads, paths and "file", or addresses and "url"; and the
        files that rows are compared with.

    Raises:
        RecipeError: A key is unknown or has a wrong value, or no inputs are named.
    """
    languages = recipe.languages()
    inputs = recipe.table("inputs", CultureInputs)
    if not inputs.one_kind():
        raise RecipeError(
            f"{recipe.path}: [inputs] names either archives or page_lists or common_crawl, for "
            "example\n"
            'archives = ["crawl/*.warc.gz"]'
        )
    hosts = recipe.table("hosts", HostsParams)
    denied = host_lists(*(tuple(recipe.files(some)) for some in (hosts.deny, hosts.allow)))
    hashes = recipe.table("hashes", HashesParams)
    fetch = recipe.table("fetch", FetchParams, {"hosts": denied})
    if fetch.store:
        fetch = replace(fetch, store=str(recipe.path.parent.resolve() / fetch.store))
    pages = recipe.table("page_lists", PageListParams, {"fetch_params": fetch})
    records = recipe.table("records", RecordsParams)
    crawl = _read_crawl(recipe, languages, fetch, records)
    scripts = tuple(dict.fromkeys(script for one in languages for script in one.scripts))
    text = recipe.table("text", TextParams, {"scripts": scripts})
    own_text = not _AROUND & {*text.origins}
    encoder = recipe.table("align", EncoderParams)
    made = CultureRecipe(
        languages=languages,
        records=pages if inputs.page_lists else crawl if inputs.common_crawl else records,
        candidates=recipe.table("candidates", CandidatesParams, {"own_text": own_text}),
        hosts=hosts,
        text=with_unsafe_files(text, recipe.files(text.unsafe_files)),
        repetition=recipe.table("repetition", RepetitionParams),
        language=recipe.table("language", LanguageParams, {"languages": languages}),
        consent=recipe.table("consent", ConsentParams, {"fetch_params": fetch}),
        images=recipe.table("images", ImageParams, {"fetch_params": fetch}),
        hashes=hashes,
        safety=recipe.table("safety", SafetyParams),
        duplicates=recipe.table("duplicates", DuplicatesParams),
        clusters=recipe.table("clusters", ClustersParams),
        near_duplicates=recipe.table("near_duplicates", NearDuplicatesParams),
        align=encoder,
        categorise=recipe.table("categorise", CategoriseParams, {"encoder": encoder}),
        decontaminate=recipe.table("decontaminate", DecontaminateParams),
        cuts=read_cuts(recipe, languages),
        split=recipe.table("split", SplitParams),
        shards=recipe.table("shards", ShelveParams, {"source": SOURCE}),
    )
    compared = ComparedFiles(
        denied,
        hash_lists(*(tuple(recipe.files(some)) for some in (hashes.deny, hashes.allow))),
        find_benchmarks(
            recipe.paths(made.decontaminate.images), recipe.paths(made.decontaminate.texts)
        ),
    )
    recipe.end()
    _check_scores(recipe, made)
    if not inputs.archives and not made.images.fetch:
        kind = "page_lists" if inputs.page_lists else "common_crawl"
        raise RecipeError(
            f"{recipe.path}: [images] lacks fetch = true: images of {kind} are in no archive."
        )
    if made.images.fetch and not fetch.contact.strip():
        raise RecipeError(
            f"{recipe.path}: [fetch] lacks contact, a URL or an e-mail address where site owners "
            "can reach you. It is sent with every request."
        )
    urls = [one for one in dict.fromkeys(inputs.common_crawl) if "://" in one]
    files = recipe.files(one for one in inputs.one_kind() if one not in urls)
    named = [*((url, "url") for url in urls), *((str(file), "file") for file in files)]
    return made, named, compared


def culture_steps(
    recipe: CultureRecipe, compared: ComparedFiles, build: str, tars: Path
) -> tuple[Step, ...]:
    """Return the steps of the pipeline.

    Args:
        recipe: What to do.
        compared: What rows are compared with.
        build: Hash of the recipe, which stands in every sample.
        tars: Folder for packed tars.

    Raises:
        FetchError: Something is to be fetched, but there is no contact.
        ImagesError: Pages are fetched, but images are not.
        MissingPackageError: A model for [safety] is not installed.
        CategoriseError: Categories are to come from images, but there is no model.
    """
    first = _first_steps(recipe.records)
    before = (
        *first,
        candidates_step(recipe.candidates),
        hosts_step(compared.hosts),
        text_step(recipe.text),
        repetition_step(recipe.repetition),
        language_step(recipe.language),
        consent_step(recipe.consent),
    )
    known = {field.name: field for step in before for field in step.writes}
    carries = pa.schema([known[name] for name in _CARRIED])
    held = first[-1] if isinstance(recipe.records, RecordsParams) else None
    images = images_step(recipe.images, held, carries)
    scored = (
        images,
        image_consent_step(recipe.consent),
        safety_step(recipe.safety),
        *((blur_step(recipe.safety),) if recipe.safety.blur_faces else ()),
        hashes_step(recipe.hashes, compared.hashes),  # also of what blurring made
        duplicates_step(recipe.duplicates, origins=True),
        clusters_step(recipe.clusters),
        near_duplicates_step(recipe.near_duplicates),
        align_step(recipe.align),
        categorise_step(recipe.categorise),
        decontaminate_step(recipe.decontaminate, compared.benchmarks),
    )
    columns = [name for step in scored for name in step.writes.names]
    after = (
        cut_step(recipe.cuts, columns),
        split_step(recipe.split, by="cluster"),
        shelve_step(recipe.shards),
    )
    columns += [name for step in after for name in step.writes.names]
    return (*before, *scored, *after, pack_step(PackParams(SOURCE, build), columns, tars))


def _check_scores(recipe: Recipe, made: CultureRecipe) -> None:
    """Raise RecipeError where a cut goes by a score that nothing makes: it would cut nothing."""
    makers = {
        "nsfw_score": ("[safety] backend", made.safety.backend),
        "faces": ("[safety] faces", made.safety.faces),
        "alignment_score": ("[align] backend", made.align.backend),
        "category_score": ("[categorise] backend", made.categorise.backend),
    }
    for score in made.cuts.scores():
        maker, backend = makers.get(score, ("", ""))
        if backend == "none":
            raise RecipeError(
                f'{recipe.path}: [cuts] {score}: there is no such score while {maker} = "none". '
                "Set it to what makes the score, or take the cut out."
            )


def _read_crawl(
    recipe: Recipe, languages: tuple[Language, ...], fetch: FetchParams, records: RecordsParams
) -> CrawlParams:
    discover = recipe.table("discover", DiscoverParams, {"languages": languages})
    given = {"contact": fetch.contact, "records": records}
    ranges = recipe.table("ranges", RangesParams, given)
    if "://" not in ranges.archives:
        (folder,) = recipe.folders([ranges.archives])[:1]
        ranges = replace(ranges, archives=str(folder))
    return CrawlParams(discover, ranges)


def _first_steps(params: RecordsParams | PageListParams | CrawlParams) -> tuple[Step, ...]:
    """Return the steps that end in records."""
    if isinstance(params, PageListParams):
        return (page_list_step(params),)
    if isinstance(params, RecordsParams):
        return (records_step(params),)
    return (index_step(IndexParams()), discover_step(params.discover), ranges_step(params.ranges))
