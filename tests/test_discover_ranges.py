"""Records from byte ranges: as if whole archives had been read, each fault costing itself alone."""

from itertools import pairwise

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common_crawl import Crawl, warc_name
from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.culture.discover.index import IndexParams, index_step
from mella.builders.culture.discover.outage import ArchivesError
from mella.builders.culture.discover.params import DiscoverParams, RangesParams
from mella.builders.culture.discover.ranges import Archives, Range, join_ranges
from mella.builders.culture.discover.ranges_step import ranges_step
from mella.builders.culture.discover.step import discover_step
from mella.builders.culture.fetch.params import FetchError
from mella.languages import resolve_languages
from range_server import serve
from stepping import apply, reasons
from web_archives import HTML

LANGS = {
    "ara": "صورة", "ces": "obrázek", "hun": "kép", "kor": "그림", "rus": "картина",
    "srp": "слика", "tha": "รูปภาพ", "vie": "hình ảnh",
}  # fmt: skip
FAST = {"contact": "me@a.example", "delay_s": 0.0, "attempts": 1}


@pytest.fixture
def crawl(tmp_path):
    """Two archives with pages of eight languages, and noise between them."""
    crawl = Crawl(tmp_path)
    for number in range(2):
        for code, word in LANGS.items():
            page = f"<!doctype html><html><img src=a.png alt='{word} {number}'>{code * 500}</html>"
            crawl.add(f"http://{code}{number}.example.com/a", page.encode(), code, number=number)
            crawl.add(f"http://{code}{number}.example.com/login", b"<html>x", code, number=number)
        crawl.add(f"http://en{number}.example.com/a", b"<html>noise", "eng", number=number)
        crawl.add(
            f"http://odd{number}.example.com/a",
            b"\xff\xd8\xff\xe0 JFIF %d" % number,
            "rus",
            number=number,
        )
    return crawl


def chosen(crawl):
    """Return the pages that discovery keeps."""
    files = apply(index_step(IndexParams()), [{"path": crawl.write(), "name": "index"}])
    found = apply(discover_step(DiscoverParams(resolve_languages("all"))), files)
    return [row for row in found if row["reason"] is None]


def at(archives, **options):
    return RangesParams(archives=str(archives), **{**FAST, **options})


def read(pages, archives, **options):
    return apply(ranges_step(at(archives, **options)), pages)


def from_whole_archives(crawl, urls):
    """Return what the same records are where the archives are read from end to end."""
    names = [warc_name(number) for number in crawl.archives]
    inputs = [{"path": str(crawl.folder / name), "name": name} for name in names]
    rows = apply(records_step(RecordsParams()), inputs)
    return [row for row in rows if row["url"] in urls]


def test_records_are_those_of_the_whole_archives(crawl):
    pages = chosen(crawl)
    assert len(pages) == 18
    rows = read(pages, crawl.folder)
    assert rows == from_whole_archives(crawl, {page["url"] for page in pages})
    assert [row["kind"] for row in rows].count("page") == 16
    assert {row["reason"] for row in rows if row["kind"] == "page"} == {None}


@pytest.mark.parametrize("gap", [0, 64 << 10])
def test_over_http_near_records_share_a_request(crawl, gap):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        rows = read(pages, f"{site.url}/", gap_bytes=gap)
        # `path` says where a row was read.
        there = [{**row, "path": None} for row in read(pages, crawl.folder)]
        assert [{**row, "path": None} for row in rows] == there
        assert rows[0]["path"] == f"{site.url}/{warc_name(0)}"
        assert len(site.log) == (2 if gap else 18)
        agents = {sent["user-agent"] for sent in site.headers}
    assert len(agents) == 1
    assert "me@a.example" in agents.pop()


def test_over_fsspec(crawl):
    pages = chosen(crawl)
    memory = fsspec.filesystem("memory")
    memory.put(str(crawl.folder / "crawl-data"), "/commoncrawl/crawl-data", recursive=True)
    try:
        rows = read(pages, "memory://commoncrawl")
    finally:
        memory.rm("/commoncrawl", recursive=True)
    assert [row["body"] for row in rows] == [row["body"] for row in read(pages, crawl.folder)]


def test_a_pause_between_requests(crawl):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        read(pages, site.url, gap_bytes=0, delay_s=0.02, connections=4)
        begun = sorted(time for *_, time in site.log)
    # What a request waits for its connection may vary, so the whole is measured.
    assert begun[-1] - begun[0] >= 0.9 * 0.02 * (len(begun) - 1)


def test_a_damaged_record_costs_itself_alone(crawl):
    pages = chosen(crawl)
    path = crawl.folder / warc_name(0)
    data = bytearray(path.read_bytes())
    broken = pages[3]
    middle = broken["offset"] + broken["length"] // 2
    data[middle : middle + 20] = b"\0" * 20
    path.write_bytes(data)
    rows = read(pages, crawl.folder)
    (lost,) = (row for row in rows if row["url"] == broken["url"])
    assert lost["reason"] in ("record:damaged", "record:malformed")
    assert (lost["body"], lost["offset"]) == (None, broken["offset"])
    assert [row["reason"] for row in rows].count(None) == len(pages) - 1


def test_an_archive_that_ends_too_soon(crawl):
    pages = chosen(crawl)
    path = crawl.folder / warc_name(1)
    last = max(page["offset"] for page in pages if page["warc_filename"] == warc_name(1))
    path.write_bytes(path.read_bytes()[: last + 10])
    rows = read(pages, crawl.folder)
    assert [row["url"] for row in rows if row["reason"] == "range:short"] == [rows[-1]["url"]]


def test_an_archive_that_is_not_there(crawl):
    pages = chosen(crawl)
    (crawl.folder / warc_name(0)).unlink()
    with serve(crawl.folder) as site:
        over_http = read(pages, site.url)
    for rows in (over_http, read(pages, crawl.folder)):
        assert {row["reason"] for row in rows if row["name"] == warc_name(0)} == {"range:missing"}
        assert "range:missing" not in reasons(row for row in rows if row["name"] == warc_name(1))
        assert {row["url"] for row in rows} == {page["url"] for page in pages}


def test_a_fault_of_one_range_leaves_the_others_of_its_request(crawl):
    pages = chosen(crawl)
    bad = pages[2]

    def fault(path, first, last):
        return (
            500 if path.endswith(bad["warc_filename"]) and first <= bad["offset"] <= last else None
        )

    with serve(crawl.folder) as site:
        site.fault = fault
        rows = read(pages, site.url)
    assert [row["url"] for row in rows if row["reason"] == "range:unreadable"] == [bad["url"]]


def test_a_broken_connection_is_tried_again(crawl):
    pages = chosen(crawl)
    seen = set()

    def fault(path, first, last):
        if path in seen:
            return None
        seen.add(path)
        return "cut"

    with serve(crawl.folder) as site:
        site.fault = fault
        rows = read(pages, site.url, attempts=3)
    assert [row["body"] for row in rows] == [row["body"] for row in read(pages, crawl.folder)]


def test_an_outage_ends_the_step_and_loses_nothing(crawl):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        site.fault = lambda *_: 403
        with pytest.raises(ArchivesError, match=r"fails: 5 requests in a row.*again later"):
            read(pages, site.url, gap_bytes=0, max_failures=5)


@pytest.mark.parametrize(("status", "pages"), [(403, 1), (403, 2), (500, 1), (404, 2)])
def test_a_task_that_gets_nothing_at_all_loses_nothing(crawl, status, pages):
    few = chosen(crawl)[:pages]
    with serve(crawl.folder) as site:
        site.fault = lambda *_: status
        message = r"(all 2 requests|the only request) of a task.*Check that \[ranges\] archives"
        with pytest.raises(ArchivesError, match=message):
            read(few, site.url, gap_bytes=0)


def test_a_place_that_is_not_the_one_of_the_archives(crawl):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        for place in (f"{site.url}/elsewhere", str(crawl.folder / "crawl-data")):
            with pytest.raises(ArchivesError, match=r"Check that \[ranges\] archives is where"):
                read(pages, place)


def test_one_missing_file_is_a_row(crawl):
    (row,) = read([{**chosen(crawl)[0], "warc_filename": "none.warc.gz"}], crawl.folder)
    assert row["reason"] == "range:missing"


@pytest.mark.parametrize("lost", [2, 3])
def test_a_task_that_ends_in_an_outage_loses_nothing(crawl, lost):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        first = pages[-lost]["offset"]
        site.fault = lambda path, start, _: 403 if start >= first and warc_name(1) in path else None
        if lost == 3:
            with pytest.raises(ArchivesError, match="the last 3 requests in a row"):
                read(pages, site.url, gap_bytes=0, connections=1)
        else:
            rows = read(pages, site.url, gap_bytes=0, connections=1)
            assert reasons(rows) == [None] * (len(pages) - lost) + ["range:refused"] * lost


def test_each_task_is_judged_by_its_own_requests(crawl):
    pages = chosen(crawl)
    with serve(crawl.folder) as site:
        params = at(site.url)
        archives, step = Archives(params), ranges_step(params)
        assert None in reasons(apply(step, pages, resource=archives))
        site.fault = lambda *_: 403
        with pytest.raises(ArchivesError, match="the only request of a task"):
            apply(step, pages[:1], resource=archives)


@pytest.mark.parametrize(("offset", "length"), [(-1, 10), (0, 0), (10, -1)])
def test_bytes_that_no_file_has_cost_themselves_alone(crawl, offset, length):
    pages = chosen(crawl)
    odd = {**pages[1], "url": "http://odd.ru/", "offset": offset, "length": length}
    rows = read([*pages, odd], crawl.folder)
    assert [row["url"] for row in rows if row["reason"]] == ["http://odd.ru/"]
    assert {row["reason"] for row in rows} == {None, "range:bad_place"}
    assert [row for row in rows if row["reason"] is None] == read(pages, crawl.folder)


@pytest.mark.parametrize("name", ["", ".", "a\0b.warc.gz", "\ud800.warc.gz"])
def test_names_that_no_file_has_cost_themselves_alone(crawl, name):
    one = Range(0, 10)
    with serve(crawl.folder) as site:
        for place in (site.url, str(crawl.folder)):
            archives = Archives(at(place))
            with archives.task():
                assert [*archives.read(name, [one])] == [(one, "range:bad_path")]
        assert site.log == []


def test_a_place_where_another_page_stands(crawl):
    pages = chosen(crawl)
    other = {**pages[0], "url": "http://elsewhere.example.com/"}
    request = {**pages[1], "offset": 0, "length": pages[0]["offset"]}
    (first, second) = read([other], crawl.folder) + read([request], crawl.folder)
    assert (first["reason"], first["url"]) == ("range:other_record", other["url"])
    assert (second["reason"], second["url"]) == ("range:other_record", request["url"])
    assert first["body"] is None


def test_a_path_that_leads_out_of_the_folder(crawl, tmp_path):
    (page, *_) = chosen(crawl)
    for path in ("../secret.warc.gz", "/etc/passwd", "a/../../b"):
        (row,) = read([{**page, "warc_filename": path}], crawl.folder)
        assert row["reason"] == "range:bad_path"


def test_statuses_and_types_are_judged_as_in_archives(tmp_path):
    crawl = Crawl(tmp_path)
    pdf = [("Content-Type", "application/pdf")]
    crawl.add("http://a.ru/pdf", b"%PDF-1.4", "rus", headers=pdf)
    crawl.add("http://a.ru/big", b"<html>" + b"x" * 5000, "rus")
    crawl.add("http://a.ru/fine", b"<html>fine", "rus", headers=[*HTML, ("X-Robots-Tag", "noai")])
    pages = chosen(crawl)
    rows = read(pages, tmp_path, records=RecordsParams(max_page_bytes=1000))
    assert reasons(rows) == ["media_type:application/pdf", "record:too_big", None]
    assert rows[2]["signals"] == [{"where": "header", "name": "x-robots-tag", "value": "noai"}]


def test_where_nothing_can_be_read_from(tmp_path):
    with pytest.raises(FetchError, match="contact"):
        ranges_step(RangesParams())
    with pytest.raises(ArchivesError, match="no such folder"):
        Archives(RangesParams(archives=str(tmp_path / "none")))
    with pytest.raises(ArchivesError, match="nosuch"):
        Archives(RangesParams(archives="nosuch://bucket/"))


RANGES = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(1, 100)), min_size=1, max_size=30
).map(lambda pairs: [Range(*pair) for pair in sorted(pairs)])


@given(ranges=RANGES, gap=st.integers(0, 50), most=st.integers(1, 500))
def test_spans_hold_each_range_once_in_order(ranges, gap, most):
    spans = join_ranges(ranges, gap=gap, most=most)
    assert [one for span in spans for one in span.ranges] == ranges
    for span in spans:
        assert len(span.ranges) == 1 or span.end - span.start <= most
        end = span.ranges[0].end
        for one in span.ranges[1:]:
            assert one.offset <= end + gap
            end = max(end, one.end)
    for before, after in pairwise(spans):
        far = after.start > before.end + gap
        assert far or max(before.end, after.ranges[0].end) - before.start > most
