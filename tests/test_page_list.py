"""Page lists: every line ends in one row, a page or a reason, as records that others can read."""

import gzip
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mella.builders.culture.archives.records import RECORDS, RecordsParams, records_step
from mella.builders.culture.fetch.fetcher import FetchError, FetchParams
from mella.builders.culture.images.step import ImageParams, images_step
from mella.builders.culture.page_list import PageListParams, page_list_step
from mella.builders.culture.pages.candidates import CandidatesParams, candidates_step
from mella.builders.engine import runner
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import outcomes
from mella.builders.engine.step import canonical
from pictures import picture, save
from stories import explain
from web_site import Site

FETCH = FetchParams(
    contact="me@a.example", allow_private=True, per_host_delay_s=0.0, backoff_s=0.01, retries=1
)
PARAMS = PageListParams(fetch_params=FETCH)
PAGE = "<!doctype html><html lang=ru><img src=a.png alt='Кот на крыше'></html>".encode()
HTML = {"Content-Type": "text/html"}
PNG = save(picture(), "PNG")


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a list, fetches it and returns the rows by their offset."""

    def read_list(text, params=PARAMS):
        path = tmp_path / "pages.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return fetch([path], params)

    return read_list


def fetch(paths, params=PARAMS):
    step = page_list_step(params)
    table = pa.table({"path": list(map(str, paths)), "name": [path.name for path in paths]})
    assert step.setup
    parts = step.apply(table, step.setup(step.params, None))
    rows = [row for part in parts for row in part.to_pylist()]
    return sorted(rows, key=lambda row: row["offset"] or 0)


def ends(rows):
    return [(row["kind"], row["reason"]) for row in rows]


def test_a_page_with_all_that_is_known_of_it(site, read, tmp_path):
    headers = {"Content-Type": "Text/HTML; Charset=Windows-1251", "Content-Language": "ru"}
    headers |= {"X-Robots-Tag": "noai", "TDM-Reservation": "0"}
    site.pages["/a"] = (200, headers, PAGE)
    before = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    (row,) = read(f"{site.url}/a")
    collected_at = row.pop("collected_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", collected_at)
    assert before <= collected_at <= datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row == {
        "kind": "page",
        "url": f"{site.url}/a",
        "media_type": "text/html",
        "charset": "windows-1251",
        "content_language": "ru",
        "signals": [
            {"where": "header", "name": "x-robots-tag", "value": "noai"},
            {"where": "header", "name": "tdm-reservation", "value": "0"},
        ],
        "name": "pages.txt",
        "member": None,
        "offset": 1,
        "body": PAGE,
        "path": str(tmp_path / "pages.txt"),
        "reason": None,
    }


def test_every_line_ends_in_a_row(site, read):
    site.pages |= {"/a": (200, HTML, PAGE), "/b": (200, HTML, PAGE)}
    host = site.url.removeprefix("http://")
    rows = read(
        f"\ufeff# pages of mine\r\n\r\n  {site.url}/a\t\r\nwww.a.example/page\n"
        f"HTTP://{host.upper()}/a#part\nftp://a.example/x\n{site.url}/b\x0b\n"
        f"не адрес\nhttp://[::1\n{site.url}/none"
    )
    assert [(row["offset"], row["reason"], row["url"]) for row in rows] == [
        (3, None, f"{site.url}/a"),
        (4, "page_list:not_a_url", "www.a.example/page"),
        (5, "page_list:repeated", f"{site.url}/a"),
        (6, "page_list:not_a_url", "ftp://a.example/x"),
        (7, None, f"{site.url}/b"),
        (8, "page_list:not_a_url", "не адрес"),
        (9, "page_list:not_a_url", "http://[::1"),
        (10, "fetch:http_404", f"{site.url}/none"),
    ]
    assert [row["kind"] for row in rows if row["reason"]] == ["other"] * 6
    assert sorted(site.log) == ["/a", "/b", "/none", "/robots.txt"]


def test_a_page_is_known_by_where_redirects_lead(site, read):
    site.redirect("/old", "/new?x=1")
    site.redirect("/gone", "/none")
    site.pages["/new?x=1"] = (200, HTML, PAGE)
    rows = read("\n".join(f"{site.url}/{path}" for path in ("old", "gone", "new?x=1")))
    assert ends(rows) == [
        ("page", None),
        ("other", "fetch:http_404"),
        ("other", "page_list:repeated"),
    ]
    assert [row["url"] for row in rows] == [
        f"{site.url}/{path}" for path in ("new?x=1", "gone", "new?x=1")
    ]
    assert rows[2]["body"] is None


def test_a_page_that_failed_by_itself_is_taken_where_a_redirect_leads_to_it(site, read):
    site.pages["/a"] = [(404, {}, b""), (200, HTML, PAGE)]
    site.redirect("/b", "/a")
    rows = read(f"{site.url}/a\n{site.url}/b")
    assert ends(rows) == [("other", "fetch:http_404"), ("page", None)]


def test_what_is_no_page_says_why(site, read):
    site.pages |= {
        "/css": (200, {"Content-Type": "Text/CSS; charset=x"}, b"a{}"),
        "/png": (200, HTML, PNG),
        "/fake": (200, {"Content-Type": "image/png"}, b"not a picture"),
        "/svg": (200, HTML, b"<?xml version='1.0'?>\n<svg/>"),
        "/empty": (200, HTML, b""),
        "/untold": PAGE,
        "/odd": b"\0\1",
        "/called": (200, {"Content-Type": "application/xhtml+xml"}, b"just words"),
    }
    rows = read("\n".join(site.url + path for path in site.pages))
    assert ends(rows) == [
        ("other", "media_type:text/css"),
        ("other", "media_type:image/png"),
        ("other", "record:not_an_image"),
        ("other", "record:svg"),
        ("other", "record:empty"),
        ("page", None),
        ("other", "media_type:unknown"),
        ("page", None),
    ]
    assert all(row["collected_at"] for row in rows)


def test_robots_txt_is_obeyed(site, read):
    site.pages |= {"/robots.txt": b"User-agent: *\nDisallow: /no\n", "/a": (200, HTML, PAGE)}
    rows = read(f"{site.url}/no/1\n{site.url}/a")
    assert ends(rows) == [("other", "fetch:robots"), ("page", None)]
    assert site.log == ["/robots.txt", "/a"]


def test_a_huge_page_is_not_kept(site, read):
    site.pages |= {
        "/plain": (200, HTML, PAGE + bytes(2000)),
        "/packed": (200, HTML | {"Content-Encoding": "gzip"}, gzip.compress(PAGE + bytes(10**7))),
        "/fits": (200, HTML, PAGE + bytes(1000 - len(PAGE))),
    }
    params = PageListParams(max_page_bytes=1000, fetch_params=FETCH)
    rows = read("\n".join(f"{site.url}/{p}" for p in ("plain", "packed", "fits")), params)
    assert ends(rows) == [("other", "fetch:too_large")] * 2 + [("page", None)]


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing\n\n# more"])
def test_a_list_without_a_line_is_a_row(read, text):
    assert [row["reason"] for row in read(text)] == ["page_list:empty"]


def test_a_list_that_cannot_be_read_costs_itself_alone(site, tmp_path):
    site.pages["/a"] = (200, HTML, PAGE)
    (tmp_path / "good").write_text(f"{site.url}/a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(PNG)
    paths = [tmp_path / name for name in ("none", "folder", "binary", "good")]
    rows = fetch(paths)
    assert [(row["name"], row["reason"]) for row in rows] == [
        ("none", "page_list:unreadable"),
        ("folder", "page_list:unreadable"),
        ("binary", "page_list:not_utf8"),
        ("good", None),
    ]


def test_pages_come_in_small_tables(site, tmp_path):
    site.pages = {f"/{i}": (200, HTML, PAGE + bytes(1 << 20)) for i in range(80)}
    (tmp_path / "list").write_text("\n".join(site.url + path for path in site.pages))
    step = page_list_step(PageListParams(fetch_params=FETCH))
    table = pa.table({"path": [str(tmp_path / "list")], "name": ["list"]})
    assert step.setup
    sizes = [part.nbytes for part in step.apply(table, step.setup(step.params, None))]
    assert sum(sizes) > 80 << 20
    assert max(sizes) < 36 << 20


def pipeline(tmp_path, count):
    """Return the pipeline from the lists `0.txt`, `1.txt` ... to images."""
    records = page_list_step(PARAMS)
    carries = pa.schema([(name, pa.string()) for name in ("id", "image_url", "image_host", "alt")])
    steps = (
        records,
        candidates_step(CandidatesParams()),
        images_step(ImageParams(fetch=True, fetch_params=FETCH), records, carries),
    )
    names = [f"{number}.txt" for number in range(count)]
    paths = [str(tmp_path / name) for name in names]
    inputs = pa.table({"path": paths, "name": names})
    return runner.Pipeline(steps, inputs, runner.digest_inputs([(name, "") for name in names]))


def test_a_build_runs_from_a_list_to_its_images(site, tmp_path):
    site.pages |= {"/1/": (200, HTML, PAGE), "/2/": (200, HTML, PAGE), "/1/a.png": PNG}
    (tmp_path / "0.txt").write_text(f"{site.url}/1/\n{site.url}/2/\n{site.url}/3/")
    stages = runner.run(pipeline(tmp_path, 1), tmp_path / "work", LocalExecutor(1))
    assert [(level.unit, level.rows, level.kept) for level in funnel(stages)] == [
        ("records", 3, 2), ("candidates", 2, 2), ("images", 2, 1)
    ]  # fmt: skip
    (story,) = explain(stages, f"{site.url}/3/")
    assert (story.step, story.reason) == ("records", "fetch:http_404")
    (part,) = stages[2].parts()
    row = outcomes(stages[2:], part.name).filter(pc.field("reason").is_null()).to_pylist()[0]
    assert (row["image_url"], row["alt"]) == (f"{site.url}/1/a.png", "Кот на крыше")


def test_a_build_goes_on_with_the_lists_that_were_not_finished(site, tmp_path):
    site.pages |= {f"/{i}/": (200, HTML, PAGE) for i in range(3)}
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"{site.url}/{i}/")

    class InterruptedBuildError(Exception):
        pass

    def stop(progress):
        if progress.step == "records" and progress.done == 2:
            raise InterruptedBuildError

    with pytest.raises(InterruptedBuildError):
        runner.run(pipeline(tmp_path, 3), tmp_path / "work", LocalExecutor(1), stop)
    assert [path for path in site.log if path != "/robots.txt"] == ["/0/", "/1/"]
    stages = runner.run(pipeline(tmp_path, 3), tmp_path / "work", LocalExecutor(1))
    assert [site.log.count(f"/{i}/") for i in range(3)] == [1, 1, 1]
    assert funnel(stages)[0].kept == 3


def test_it_stands_in_for_the_step_that_reads_archives():
    step, other = page_list_step(PARAMS), records_step(RecordsParams())
    for name in ("name", "reads", "writes", "expands", "unit"):
        assert getattr(step, name) == getattr(other, name)
    assert step.writes == RECORDS
    assert canonical(step.params)["fetch_params"]["contact"] == "me@a.example"
    assert step.key("") != other.key("")


def test_fetching_needs_a_contact():
    with pytest.raises(FetchError, match="contact"):
        page_list_step(PageListParams())
