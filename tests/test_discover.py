"""The pages of a Common Crawl index: which are wanted, which are passed over and why."""

import re
from collections import Counter
from datetime import timedelta

import fsspec
import pyarrow as pa
import pytest

from common_crawl import TIME, entry, write_index
from mella.builders.culture.discover.index import DiscoverError, IndexParams, index_step
from mella.builders.culture.discover.params import DiscoverParams
from mella.builders.culture.discover.step import PAGES, discover, discover_step, survey, survey_of
from mella.languages import resolve_languages
from range_server import serve
from stepping import apply

ALL = resolve_languages("all")
LISTED = {
    "ar": "ara", "cs": "ces", "hu": "hun", "ko": "kor", "ru": "rus", "sr": "srp", "th": "tha",
    "vi": "vie",
}  # fmt: skip


@pytest.fixture
def ask(tmp_path):
    """Return a function that writes an index of some rows and returns what is found in it."""

    def ask_index(rows, languages=ALL, **options):
        path = write_index(tmp_path / "part-0.parquet", rows)
        params = DiscoverParams(languages, **options)
        found = [*discover([path], params, truncation=True)]
        return pa.concat_tables([PAGES.empty_table(), *found]).to_pylist()

    return ask_index


def reason_of(ask, url, **options):
    (row,) = ask([entry(url)], **options)
    return row["reason"]


def kept(rows):
    return sorted(row["url"] for row in rows if row["reason"] is None)


def test_the_first_language_listed_counts_in_all_eight(ask):
    rows = [entry(f"http://{lang}.example.com/a", code) for lang, code in LISTED.items()]
    rows += [entry(f"http://en.example.com/{lang}", f"eng,{code}") for lang, code in LISTED.items()]
    found = ask(rows, by_domain="never")
    assert {(row["url"], row["lang"]) for row in found} == {
        (f"http://{lang}.example.com/a", lang) for lang in LISTED
    }
    assert {row["lang_origin"] for row in found} == {"content"}
    more = ask(rows, by_domain="never", listed_languages=2)
    assert Counter(row["lang"] for row in more) == dict.fromkeys(LISTED, 2)


def test_only_the_languages_of_the_build(ask):
    rows = [entry(f"http://{lang}.example.com/a", code) for lang, code in LISTED.items()]
    assert [row["lang"] for row in ask(rows, resolve_languages(["th"]))] == ["th"]


@pytest.mark.parametrize(
    ("by_domain", "listed"),
    [
        ("never", {"srp"}),
        ("unknown", {"srp", "", None}),
        ("confusable", {"srp", "", None, "hrv", "bos"}),
        ("always", {"srp", "", None, "hrv", "bos", "eng"}),
    ],
)
def test_when_the_country_domain_says_the_language(ask, by_domain, listed):
    codes = ["srp", "", None, "hrv", "bos", "eng"]
    rows = [entry(f"http://a.rs/{number}", code) for number, code in enumerate(codes)]
    rows += [entry(f"http://a.com/{number}", code) for number, code in enumerate(codes[1:])]
    found = ask(rows, by_domain=by_domain)
    assert kept(found) == [f"http://a.rs/{n}" for n, code in enumerate(codes) if code in listed]
    origins = {row["url"]: row["lang_origin"] for row in found}
    assert origins.pop("http://a.rs/0") == "content"
    assert {*origins.values()} <= {"domain"}


def test_internationalised_country_domains(ask):
    (row,) = ask([entry("http://a.xn--90a3ac/x", None)])
    assert (row["lang"], row["lang_origin"]) == ("sr", "domain")


def test_only_html_that_was_got(ask):
    rows = [
        entry("http://a.ru/page"),
        entry("http://a.ru/xhtml", content_mime_detected="application/xhtml+xml"),
        entry("http://a.ru/undetected", content_mime_detected=None),
        entry("http://a.ru/gone", fetch_status=404),
        entry("http://a.ru/moved", fetch_status=301),
        entry("http://a.ru/pdf", content_mime_detected="application/pdf"),
    ]
    assert [*map(str, kept(ask(rows)))] == [
        "http://a.ru/page", "http://a.ru/undetected", "http://a.ru/xhtml",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "url"),
    [
        ("account", "http://a.ru/login"),
        ("account", "http://a.cz/cs/Prihlaseni.html"),
        ("account", "http://a.hu/x?redirect_to=/y"),
        ("shop", "http://a.rs/korpa/"),
        ("shop", "http://a.vn/gio-hang.html"),
        ("list", "http://a.ru/tag/cats"),
        ("list", "http://a.hu/cimke/kutya"),
        ("list", "http://a.ru/?s=cats"),
        ("list", "http://a.ru/x?a=1&orderby=price"),
        ("paging", "http://a.ru/news/page/12/"),
        ("paging", "http://a.hu/oldal-3"),
        ("paging", "http://a.ru/news?page=2"),
        ("service", "http://a.ru/privacy-policy"),
        ("service", "http://a.ru/news/feed/"),
        ("session", "http://a.ru/x?PHPSESSID=1"),
        ("session", "http://a.ru/x?utm_source=mail"),
        ("session", "http://a.ru/x;jsessionid=12"),
        ("deep_path", "http://a.ru/1/2/3/4/5/6/7/8/9/x.html"),
        ("query", "http://a.ru/x?a=1&b=2&c=3"),
        ("no_domain", "http://10.1.2.3/x"),
    ],
)
def test_addresses_that_are_passed_over(ask, reason, url):
    assert reason_of(ask, url) == f"discover:{reason}"


@pytest.mark.parametrize(
    "url",
    [
        "http://a.ru/",
        "http://a.ru/index.html",
        "http://a.ru/?p=123",
        "http://a.ru/x.php?id=7&lang=ru",
        "http://a.ru/1/2/3/4/5/6/7/8/x.html",
        "http://a.ru/logins-of-old/",
        "http://a.ru/vintage/cartography",
        "http://a.ru/article/pages-of-history",
        "http://a.ru/news/2019/05/trang-an",
        "http://a.ru/%D0%BC%D1%83%D0%B7%D0%B5%D0%B9",
    ],
)
def test_addresses_of_ordinary_pages(ask, url):
    assert reason_of(ask, url) is None


def test_records_that_are_cut_or_too_long(ask):
    rows = [
        entry("http://a.ru/cut", content_truncated="length"),
        entry("http://a.ru/long", warc_record_length=2_000_001),
        entry("http://a.ru/just", warc_record_length=2_000_000),
    ]
    found = {row["url"][12:]: row["reason"] for row in ask(rows)}
    assert found == {"cut": "discover:truncated", "long": "discover:too_big", "just": None}


def test_the_newest_of_equal_addresses_is_kept(ask):
    old, new = TIME, TIME + timedelta(days=1)
    rows = [
        entry("http://a.ru/x", fetch_time=old, content_digest="1"),
        entry("https://www.a.ru/x", fetch_time=new, content_digest="2"),
        entry("http://a.ru/X", fetch_time=old, content_digest="3"),
    ]
    found = {row["url"]: row["reason"] for row in ask(rows)}
    assert found == {
        "http://a.ru/x": "discover:repeated_url",
        "https://www.a.ru/x": None,
        "http://a.ru/X": None,
    }


def test_equal_content_is_read_once_over_all_sites(ask):
    rows = [entry(f"http://{host}.ru/x", content_digest="SAME") for host in "abc"]
    rows += [entry(f"http://{host}.ru/y", content_digest=None) for host in "abc"]
    reasons = Counter(row["reason"] for row in ask(rows))
    assert reasons == {None: 4, "discover:repeated_content": 2}


def test_what_a_rule_rejects_takes_no_place_of_another(ask):
    rows = [
        entry("http://a.ru/login", content_digest="1", fetch_time=TIME + timedelta(days=1)),
        entry("http://a.ru/x", content_digest="1"),
    ]
    assert kept(ask(rows, max_per_domain=1, max_pages=1)) == ["http://a.ru/x"]


def test_no_site_dominates(ask):
    rows = [entry(f"http://www.big.ru/{i}") for i in range(50)]
    rows += [entry(f"http://shop.big.ru/{i}") for i in range(50)]
    rows += [entry(f"http://www.big.ru/th/{i}", "tha") for i in range(3)]
    rows += [entry("http://small.ru/x")]
    found = ask(rows, max_per_domain=7)
    assert Counter((row["domain"], row["lang"]) for row in found if row["reason"] is None) == {
        ("big.ru", "ru"): 7, ("big.ru", "th"): 3, ("small.ru", "ru"): 1,
    }  # fmt: skip
    assert {row["reason"] for row in found} == {None, "discover:domain_full"}


def test_a_limit_for_each_language_chooses_alike_and_by_the_seed(ask):
    rows = [entry(f"http://s{i}.ru/x") for i in range(200)]
    rows += [entry(f"http://s{i}.hu/x", "hun") for i in range(5)]
    found = ask(rows, max_pages=20)
    assert Counter(row["lang"] for row in found if row["reason"] is None) == {"ru": 20, "hu": 5}
    assert {row["reason"] for row in found} == {None, "discover:language_full"}
    assert kept(found) == kept(ask(rows[::-1], max_pages=20))
    assert kept(found) != kept(ask(rows, max_pages=20, seed=1))
    assert {*kept(found)} < {*kept(ask(rows, max_pages=21))}


def test_a_sample_is_uniform_and_lies_within_a_larger_one(ask):
    rows = [entry(f"http://s{i}.ru/x") for i in range(2000)]
    tenth, half = kept(ask(rows, sample=0.1)), kept(ask(rows, sample=0.5))
    # Four standard deviations of a binomial distribution.
    assert abs(len(tenth) - 200) < 54
    assert abs(len(half) - 1000) < 90
    assert {*tenth} < {*half}
    assert tenth != kept(ask(rows, sample=0.1, seed=1))


def test_pages_come_in_the_order_in_which_archives_hold_them(ask):
    rows = [
        entry(f"http://s{i}.ru/", warc_filename=f"w{i % 3}", warc_record_offset=1000 - i)
        for i in range(30)
    ]
    places = [(row["warc_filename"], row["offset"]) for row in ask(rows)]
    assert len(places) == 30
    assert places == sorted(places)


def test_all_columns_of_a_page(ask):
    (row,) = ask([entry("http://www.a.co.th/x", "tha", content_digest="D")])
    assert row.pop("warc_filename").endswith(".warc.gz")
    assert row == {
        "url": "http://www.a.co.th/x",
        "lang": "th",
        "lang_origin": "content",
        "host": "www.a.co.th",
        "domain": "a.co.th",
        "digest": "D",
        "collected_at": "2024-01-02T03:04:05Z",
        "offset": 0,
        "length": 1000,
        "reason": None,
    }


def index_rows(paths):
    rows = [{"path": str(path), "name": str(path)[-9:]} for path in paths]
    return apply(index_step(IndexParams()), rows)


def test_a_file_that_is_no_index_costs_itself_alone(tmp_path):
    good = write_index(tmp_path / "1.parquet", [entry("http://a.ru/x")])
    old = write_index(
        tmp_path / "2.parquet", [entry("http://b.ru/")], without=["content_languages"]
    )
    text = tmp_path / "3.parquet"
    text.write_text("no Parquet")
    empty = tmp_path / "4.parquet"
    empty.write_bytes(b"")
    rotten = tmp_path / "5.parquet"
    rotten.write_bytes(b"PAR1" + b"\xff" * 100 + (100).to_bytes(4, "little") + b"PAR1")
    cut = tmp_path / "6.parquet"
    cut.write_bytes(b"PAR1" + (100).to_bytes(4, "little") + b"PAR1")
    files = index_rows([good, old, text, empty, rotten, cut])
    assert [(file["rows"], file["reason"]) for file in files] == [
        (1, None),
        (None, "index:not_an_index"),
        *[(None, "index:unreadable")] * 4,
    ]
    usable = [file for file in files if file["reason"] is None]
    assert kept(apply(discover_step(DiscoverParams(ALL)), usable)) == ["http://a.ru/x"]


@pytest.mark.parametrize("fault", [403, 503, "cut"])
def test_an_outage_of_a_server_is_no_fault_of_the_index(tmp_path, fault):
    write_index(tmp_path / "1.parquet", [entry("http://a.ru/x")])
    with serve(tmp_path) as server:
        url = f"{server.url}/1.parquet"
        server.fault = lambda *_: fault
        cause = "Not enough data" if fault == "cut" else str(fault)
        with pytest.raises(DiscoverError, match=f"{url} cannot be reached: .*{cause}"):
            index_rows([url])
        server.fault = lambda *_: None
        assert index_rows([url])[0]["reason"] is None


def test_files_that_cannot_be_reached_end_the_step(tmp_path):
    good = write_index(tmp_path / "1.parquet", [entry("http://a.ru/x")])
    fsspec.register_implementation("absent", "no_such_package.Files")
    with serve(tmp_path) as server:
        stopped = f"{server.url}/1.parquet"
    for path, cause in (
        (tmp_path / "none.parquet", "No such file"),
        (tmp_path, "directory"),
        (stopped, "Connect call failed"),
        ("nosuch://a/1.parquet", "Protocol not known: nosuch"),
        ("absent://a/1.parquet", "No module named 'no_such_package'"),
    ):
        message = f"{re.escape(str(path))} cannot be reached: .*{cause}.*again"
        with pytest.raises(DiscoverError, match=message):
            index_rows([good, path])
    with pytest.raises(DiscoverError, match="nothing here can read absent://"):
        [*discover(["absent://a/1.parquet"], DiscoverParams(ALL), truncation=True)]


def test_an_outage_while_the_index_is_asked_is_told_in_a_line(tmp_path):
    write_index(tmp_path / "1.parquet", [entry("http://a.ru/x")])
    with serve(tmp_path) as server:
        server.fault = lambda *_: 403
        with pytest.raises(DiscoverError, match=r"read: ClientResponseError: 403.*again") as told:
            [*discover([f"{server.url}/1.parquet"], DiscoverParams(ALL), truncation=True)]
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "given",
    [
        {"warc_filename": None},
        {"warc_filename": ""},
        {"warc_record_offset": None},
        {"warc_record_offset": -1},
        {"warc_record_length": None},
        {"warc_record_length": 0},
        {"url": None, "url_host_name": None},
    ],
)
def test_a_row_that_names_no_place_costs_itself_alone(ask, tmp_path, given):
    rows = [entry("http://a.ru/x"), entry("http://b.ru/x") | given]
    found = ask(rows)
    assert kept(found) == ["http://a.ru/x"]
    assert [row["reason"] for row in found if row["reason"]] == ["discover:no_place"]
    params = DiscoverParams(ALL)
    path = str(tmp_path / "part-0.parquet")
    counted = survey([path], params, truncation=True)
    assert sum(counted["pages"].to_pylist()) == 2
    assert counted.equals(survey_of(pa.concat_tables(discover([path], params, truncation=True))))


def test_a_row_without_a_host_costs_itself_alone(ask):
    hostless = {"url_host_name": None, "url_host_registered_domain": None}
    found = ask([entry("http://a.ru/x"), entry("http://b.ru/x", **hostless)])
    assert {row["url"]: row["reason"] for row in found} == {
        "http://a.ru/x": None,
        "http://b.ru/x": "discover:no_domain",
    }


def test_files_are_asked_together_in_any_order_and_of_any_age(tmp_path):
    rows = [entry("http://a.ru/x", fetch_time=TIME + timedelta(days=day)) for day in range(2)]
    rows[1]["content_truncated"] = None
    old = write_index(tmp_path / "1.parquet", rows[:1], without=["content_truncated"])
    new = write_index(tmp_path / "2.parquet", rows[1:])
    step = discover_step(DiscoverParams(ALL))
    found = apply(step, index_rows([old, new]))
    assert [row["reason"] for row in sorted(found, key=lambda row: row["collected_at"])] == [
        "discover:repeated_url",
        None,
    ]
    assert found == apply(step, index_rows([new, old]))
    assert apply(step, index_rows([old]))[0]["reason"] is None


def test_damage_inside_a_file_is_named(tmp_path):
    path = tmp_path / "1.parquet"
    write_index(path, [entry(f"http://s{i}.ru/x") for i in range(500)])
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4)
    path.write_bytes(data)
    with pytest.raises(DiscoverError, match=r"cannot be read.*common_crawl"):
        [*discover([str(path)], DiscoverParams(ALL), truncation=True)]


def test_an_index_on_a_web_server_is_read_by_ranges(tmp_path):
    rows = [entry(f"http://s{i}.ru/x?{'x' * (i % 50)}") for i in range(1000)]
    path = write_index(tmp_path / "part.parquet", rows)
    params = DiscoverParams(ALL)
    with serve(tmp_path) as server:
        (file,) = index_rows([f"{server.url}/part.parquet"])
        assert (file["rows"], file["reason"]) == (1000, None)
        with pytest.raises(DiscoverError, match=r"none.parquet cannot be reached: .*404"):
            index_rows([f"{server.url}/none.parquet"])
        found = pa.concat_tables(discover([file["path"]], params, truncation=True))
    assert found.equals(pa.concat_tables(discover([path], params, truncation=True)))


def test_a_survey_counts_what_would_be_found(tmp_path):
    rows = [
        entry(f"http://{host}.ru/{i}", warc_record_length=10) for host in "ab" for i in range(9)
    ]
    rows += [entry("http://a.ru/login"), entry("http://a.hu/x", "hun")]
    path = write_index(tmp_path / "1.parquet", rows)
    params = DiscoverParams(ALL, max_per_domain=5)
    counted = survey([path], params, truncation=True)
    assert counted.equals(survey_of(pa.concat_tables(discover([path], params, truncation=True))))
    assert {"lang": "ru", "host": "b.ru", "pages": 5, "bytes": 50, "reason": None} in (
        counted.to_pylist()
    )
    assert sum(counted["pages"].to_pylist()) == len(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0.0}, "sample = 0.0 must be more than 0"),
        ({"sample": 1.5}, "and 1 at most"),
        ({"listed_languages": 4}, "3 at most"),
        ({"max_per_domain": 0}, "must be 1 or more"),
    ],
)
def test_parameters_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        DiscoverParams(ALL, **options)
