"""A forecast counts what is in the index, takes rates from finished builds, invents nothing."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from common_crawl import Crawl
from mella.builders import cli
from mella.builders.build import plan_build, run_build
from mella.builders.culture.discover.forecast import ALL, Pace, Rates, forecast
from mella.builders.culture.discover.forecast_view import forecast_table
from mella.builders.culture.discover.index import DiscoverError
from mella.builders.culture.discover.params import RangesParams
from mella.builders.culture.discover.rates import RatesError, rates_from
from mella.builders.culture.discover.step import SURVEY, survey_of
from mella.builders.culture.fetch.params import FetchParams
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import outcomes, segments
from mella.builders.engine.runner import run
from mella.builders.foresee import foresee
from mella.builders.recipe import RecipeError
from mella.builders.report.story import trace
from pictures import picture, save
from range_server import serve
from web_site import Site

PACE = Pace(FetchParams(per_host_delay_s=2.0), max_per_host=500, fetched_together=1000, workers=1)
WEB = RangesParams(contact="me@a.example", delay_s=0.5)


def counted(*rows):
    """Return a survey of (lang, host, pages, reason)."""
    return pa.Table.from_pylist(
        [
            {"lang": lang, "host": host, "pages": pages, "bytes": pages * 1000, "reason": reason}
            for lang, host, pages, reason in rows
        ],
        schema=SURVEY,
    )


SEEN = counted(
    ("ru", "big.ru", 100, None),
    ("ru", "small.ru", 10, None),
    ("ru", "big.ru", 7, "discover:paging"),
    ("th", "a.th", 50, None),
)
RATES = {
    ALL: Rates(pages=1000, candidates=3.0, images=2.0, samples=0.5, sample_bytes=20_000.0),
    "ru": Rates(pages=200, candidates=4.0, images=3.0, samples=0.25, sample_bytes=10_000.0),
}


def test_what_the_index_says_is_counted_and_nothing_else_is_known():
    found = forecast(SEEN, {}, ranges=WEB, pace=PACE)
    russian, thai = found.languages
    assert (russian.pages, russian.hosts, russian.archive_bytes) == (110, 2, 110_000)
    assert russian.passed_over == {"discover:paging": 7}
    assert (thai.pages, thai.passed_over) == (50, {})
    for one in found.languages:
        assert (one.candidates, one.images, one.samples, one.sample_bytes) == (None,) * 4
    assert found.archive_hours == 160 * 0.5 / 3600
    assert (found.busiest_host, found.busiest_images, found.image_hours) == ("big.ru", None, None)


def test_rates_of_a_language_go_before_those_of_all():
    russian, thai = forecast(SEEN, RATES, ranges=WEB, pace=PACE).languages
    assert (russian.candidates, russian.images, russian.samples) == (440, 330, 27.5)
    assert (russian.sample_bytes, russian.measured_on) == (275_000, 200)
    assert (thai.candidates, thai.images, thai.samples) == (150, 100, 25)
    assert (thai.sample_bytes, thai.measured_on) == (500_000, 1000)


def test_the_busiest_host_decides_the_hours():
    found = forecast(SEEN, RATES, ranges=WEB, pace=PACE)
    assert (found.busiest_host, found.busiest_images) == ("big.ru", 300)
    assert found.image_hours == 300 * 2.0 / 3600


def test_no_more_is_fetched_from_a_host_than_allowed():
    pace = Pace(PACE.fetch, max_per_host=40, fetched_together=1000, workers=1)
    found = forecast(SEEN, RATES, ranges=WEB, pace=pace)
    assert found.busiest_images == 40
    assert found.image_hours == 40 * 2.0 / 3600


def test_calls_come_one_after_the_other_in_so_many_processes():
    hosts = counted(*(("ru", f"s{i}.ru", 10, None) for i in range(100)))
    hours = [
        forecast(hosts, RATES, ranges=WEB, pace=Pace(PACE.fetch, 500, 300, workers)).image_hours
        for workers in (1, 2, 100)
    ]
    assert hours[0] == 10 * 30 * 2.0 / 3600  # ten calls, in each of which a host has 30 images
    assert hours[1] == hours[0] / 2
    assert hours[2] == 30 * 2.0 / 3600


def test_one_language_without_rates_leaves_the_hours_unknown():
    found = forecast(SEEN, {"ru": RATES["ru"]}, ranges=WEB, pace=PACE)
    assert found.image_hours is None
    assert found.languages[0].images == 330
    assert found.languages[1].images is None


def test_an_empty_index():
    found = forecast(SURVEY.empty_table(), {}, ranges=WEB, pace=PACE)
    assert (found.languages, found.archive_hours, found.busiest_host) == ((), 0, None)


def shown(found):
    file = io.StringIO()
    Console(file=file, width=300).print(forecast_table(found, "title"))
    return file.getvalue()


def test_the_table_says_what_is_unknown():
    unknown = shown(forecast(SEEN, {}, ranges=RangesParams(archives="/a"), pace=PACE))
    assert unknown.count("unknown") == 2 * 4 + 2
    assert "Reading archives: no pause." in unknown
    known = shown(forecast(SEEN, RATES, ranges=WEB, pace=PACE))
    assert "unknown" not in known
    assert "busiest host: big.ru (300 images)" in known
    assert "Reading archives: 0.0 hours of pauses." in known
    assert "275.0 kB" in known
    assert "200 pages" in known


RECIPE = """
source = "culture"
languages = ["cs", "ru"]

[inputs]
common_crawl = ["cc-index/**/*.parquet"]

[ranges]
archives = "."

[fetch]
contact = "me@a.example"
allow_private = true
per_host_delay_s = 0.0

[images]
fetch = true

[images.rules]
min_side = 8
"""
TEXTS = {
    "cs": ["Stará hospoda na náměstí v Třeboni", "Koláče se švestkami na dřevěném stole"],
    "ru": ["Старая деревянная церковь на берегу озера", "Пироги с капустой на праздничном столе"],
}


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def recipe(tmp_path, site):
    """A local crawl whose pages name images of a server on this machine."""
    crawl = Crawl(tmp_path)
    image = 0
    for lang, code, domain in (("cs", "ces", "cz"), ("ru", "rus", "ru")):
        for number, text in enumerate(TEXTS[lang]):
            path = f"/{image}.png"
            site.pages[path] = (200, {"Content-Type": "image/png"}, _photo(image))
            image += 1
            img = f'<img src="{site.url}{path}" alt="{text}">'
            body = f"<!doctype html><html lang={lang}><body><p>{text}</p>{img}</body></html>"
            page = f"http://muzeum{number}.example.{domain}"
            crawl.add(f"{page}/a", body.encode(), code)
            crawl.add(f"{page}/login", body.encode() + b" ", code)
    crawl.write()
    path = tmp_path / "crawl.toml"
    path.write_text(RECIPE)
    return path


def _photo(seed):
    return save(picture(seed=seed), "PNG")


def test_a_whole_build_from_an_index(recipe, tmp_path):
    work = tmp_path / "work"
    build = plan_build(recipe, work)
    manifest = run_build(build, tmp_path / "data", 1)
    levels = {level.unit: level for level in funnel(build.stages())}
    assert levels["index files"].kept == 1
    assert (levels["pages"].rows, levels["pages"].kept) == (8, 4)
    assert levels["records"].kept == 4
    assert levels["candidates"].rows == 4
    assert {entry.lang: entry.samples for entry in manifest.indexes} == {"cs": 2, "ru": 2}
    rates = rates_from(work)
    assert rates[ALL].pages == 4
    assert (rates["cs"].candidates, rates["cs"].images, rates["cs"].samples) == (1, 1, 1)
    assert {*rates} == {ALL, "cs", "ru"}
    # What an earlier build measured is what a forecast of the same pages foresees.
    pages = pa.concat_tables(
        pq.read_table(build.stages()[1].part_path(part.name)) for part in build.stages()[1].parts()
    )
    found = forecast(survey_of(pages), rates, ranges=WEB, pace=PACE)
    assert [(one.lang, one.pages, one.samples) for one in found.languages] == [
        ("cs", 2, 2),
        ("ru", 2, 2),
    ]
    kept = read_images(build.stages())
    assert [one.sample_bytes for one in found.languages] == [kept["cs"], kept["ru"]]


def read_images(stages):
    """Return the bytes of the kept images by language."""
    level = next(level for level in segments(stages) if level[0].name == "images")
    sums = {"cs": 0, "ru": 0}
    for part in level[0].parts():
        for row in outcomes(level, part.name, ["lang", "bytes"]).to_pylist():
            if row["reason"] is None:
                sums[row["lang"]] += row["bytes"]
    return sums


def test_pages_that_could_not_be_read_count_in_the_rates(recipe, tmp_path):
    (archive,) = tmp_path.rglob("*.warc.gz")
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) - len(data) // 4])  # the last page and its login
    build = plan_build(recipe, tmp_path / "work")
    run_build(build, tmp_path / "data", 1)
    levels = {level.unit: level for level in funnel(build.stages())}
    assert (levels["pages"].kept, levels["records"].kept) == (4, 3)
    rates = rates_from(build.work)
    assert (rates[ALL].pages, rates[ALL].samples) == (4, 0.75)
    assert (rates["ru"].pages, rates["ru"].samples) == (2, 0.5)
    # So the forecast of the same build foresees what came of it.
    found = foresee(build, build.work, 1)
    assert found is not None
    _, russian = found.languages
    assert (russian.pages, russian.samples) == (2, 1)


def test_a_build_without_pages_has_no_rates(recipe, tmp_path):
    recipe.write_text(RECIPE.replace('"cs", "ru"', '"th"'))
    build = plan_build(recipe, tmp_path / "work")
    with LocalExecutor(1) as executor:
        run(build.pipeline, build.work, executor)
    with pytest.raises(RatesError, match="has no pages"):
        rates_from(build.work)


def test_rates_for_a_build_that_begins_with_no_index(recipe, tmp_path):
    recipe.write_text(
        'source = "culture"\nlanguages = "all"\n[inputs]\narchives = ["**/*.warc.gz"]\n'
    )
    build = plan_build(recipe, tmp_path / "work")
    assert foresee(build, None, 1) is None
    with pytest.raises(RatesError, match="begins with no index"):
        foresee(build, tmp_path, 1)


def test_a_page_is_told_from_the_index_to_the_sample(recipe, tmp_path):
    build = plan_build(recipe, tmp_path / "work")
    run_build(build, tmp_path / "data", 1)
    story = trace(build.stages(), "http://muzeum0.example.cz/a")
    assert [chapter.unit for chapter in story][:3] == ["pages", "records", "candidates"]
    (login,) = trace(build.stages(), "http://muzeum0.example.cz/login")
    assert (login.step, login.reason) == ("discover", "discover:account")


def test_rates_need_a_build_that_has_finished(recipe, tmp_path):
    build = plan_build(recipe, tmp_path / "work")
    build.work.mkdir()
    stages = [stage.to_json() for stage in build.stages()]
    (build.work / "run.json").write_text(json.dumps({"stages": stages}))
    with pytest.raises(RatesError, match="has not finished: index, discover"):
        rates_from(build.work)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("fetch = true", "fetch = false", "images of common_crawl are in no archive"),
        ('archives = "."', 'archives = "none"', "there is no such folder"),
        ('contact = "me@a.example"', "", "lacks contact"),
        ("[ranges]", "[discover]\nlanguages = []\n[ranges]", "follows from what stands elsewhere"),
        ("[ranges]", '[discover]\nby_domain = "no"\n[ranges]', "by_domain = 'no'"),
        ("[ranges]", "[discover]\nsample = 2\n[ranges]", "sample = 2"),
    ],
)
def test_recipes_that_are_wrong(recipe, tmp_path, before, after, message):
    assert before in RECIPE
    recipe.write_text(RECIPE.replace(before, after, 1))
    with pytest.raises(RecipeError, match=message):
        plan_build(recipe, tmp_path / "work")


def plan(recipe, capsys, *options):
    """Return the forecast of `mella-build plan`."""
    with pytest.raises(SystemExit) as ended:
        cli.cli.main(["plan", str(recipe), "--json", *options])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)["forecast"]


def test_plan_foresees_what_then_comes(recipe, tmp_path, capsys):
    before = plan(recipe, capsys)
    assert [(one["lang"], one["pages"]) for one in before["languages"]] == [("cs", 2), ("ru", 2)]
    assert {one["samples"] for one in before["languages"]} == {None}
    assert before["languages"][0]["passed_over"] == {"discover:account": 2}
    assert plan(recipe, capsys, "--no-forecast") is None
    run_build(plan_build(recipe, tmp_path / "work" / "crawl"), tmp_path / "data", 1)
    # The pages have been chosen: the index is not asked again, and says the same.
    assert plan(recipe, capsys) == before
    after = plan(recipe, capsys, "--rates", str(recipe))
    assert [(one["lang"], one["samples"]) for one in after["languages"]] == [("cs", 2), ("ru", 2)]


def test_an_index_may_lie_on_a_server(recipe, tmp_path, capsys):
    before = plan(recipe, capsys)
    (file,) = (tmp_path / "cc-index").rglob("*.parquet")
    with serve(tmp_path) as server:
        url = f"{server.url}/{file.relative_to(tmp_path)}"
        recipe.write_text(RECIPE.replace("cc-index/**/*.parquet", url))
        assert plan(recipe, capsys) == before


def test_a_plan_of_an_index_that_cannot_be_reached(recipe, tmp_path):
    with serve(tmp_path) as server:
        recipe.write_text(RECIPE.replace("cc-index/**/*.parquet", f"{server.url}/none.parquet"))
        with pytest.raises(DiscoverError, match=r"none\.parquet cannot be reached: .*404"):
            foresee(plan_build(recipe, tmp_path / "work"), None, 1)


def test_a_plan_without_an_index_that_can_be_used(recipe, tmp_path):
    (file,) = (tmp_path / "cc-index").rglob("*.parquet")
    file.write_bytes(b"no Parquet")
    with pytest.raises(DiscoverError, match=r"is index:unreadable.*2018-39"):
        foresee(plan_build(recipe, tmp_path / "work"), None, 1)
