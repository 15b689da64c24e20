"""Foresee a build that begins with the index of a crawl: count there, go by an earlier build."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mella.builders.build import Build, damage_named
from mella.builders.culture.discover.forecast import Forecast, Pace, forecast
from mella.builders.culture.discover.index import DiscoverError, check_file
from mella.builders.culture.discover.params import CrawlParams, DiscoverParams
from mella.builders.culture.discover.rates import RatesError, rates_from
from mella.builders.culture.discover.step import PAGES, survey, survey_of
from mella.builders.culture.pipeline import CultureRecipe
from mella.builders.engine.parts import Stage


def foresee(build: Build, rates: Path | None, workers: int) -> Forecast | None:
    """Return what a build comes to, or None where it does not begin with an index.

    Args:
        build: What is to be run. If its pages have been chosen already, the index is not asked.
        rates: Work folder of a finished build, to go by; None: what comes of a page is unknown.
        workers: Processes that will run it.

    Raises:
        DiscoverError: A file of the index cannot be reached, none can be used, or DuckDB is not
            installed.
        RatesError: The build in `rates` has not finished, or has no pages; or there are `rates`
            for a build that does not begin with an index.
        RepositoryError, FormatError: There is none, or it is damaged.
    """
    recipe = build.recipe
    if not isinstance(recipe, CultureRecipe) or not isinstance(recipe.records, CrawlParams):
        if rates:
            raise RatesError(
                f"Rates of {rates} are given, but the build begins with no index of a crawl, so "
                "there are no pages to foresee. Leave --rates out, or name an index under "
                "[inputs] common_crawl."
            )
        return None
    crawl, images = recipe.records, recipe.images
    (chosen,) = (stage for stage in build.stages() if stage.name == "discover")
    if chosen.finished():
        with damage_named(build.work):
            counted = survey_of(_pages(chosen))
    else:
        counted = _survey(build.pipeline.inputs["path"].to_pylist(), crawl.discover)
    (fetching,) = (step for step in build.pipeline.steps if step.name == "images")
    pace = Pace(images.fetch_params, images.max_per_host, fetching.bucket_rows, workers)
    known = rates_from(rates) if rates else {}
    return forecast(counted, known, ranges=crawl.ranges, pace=pace)


def _pages(chosen: Stage) -> pa.Table:
    columns = ["lang", "host", "url", "length", "reason"]
    tables = [
        pq.read_table(chosen.part_path(part.name), columns=columns) for part in chosen.parts()
    ]
    empty = PAGES.empty_table().select(columns)
    return pa.concat_tables([empty, *tables], promote_options="permissive")


def _survey(paths: list[str], params: DiscoverParams) -> pa.Table:
    looked = [(path, *check_file(path)) for path in paths]
    usable = [(path, truncation) for path, _, truncation, reason in looked if reason is None]
    if not usable:
        path, _, _, reason = looked[0]
        raise DiscoverError(
            f"No file of the index can be used; {path}, for one, is {reason}. [inputs] "
            "common_crawl names Parquet files of a columnar index, of CC-MAIN-2018-39 or later."
        )
    truncated = any(truncation for _, truncation in usable)
    return survey([path for path, _ in usable], params, truncation=truncated)
