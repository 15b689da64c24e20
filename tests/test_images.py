"""Images: found in archives or fetched, a row for each candidate, all of a host in one process."""

import gzip
import hashlib
import itertools
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fetching import answer, pixel_bomb
from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.culture.fetch.fetcher import FetchError, FetchParams
from mella.builders.culture.images.picture import ImageRules, StoredImage, normalise_image
from mella.builders.culture.images.step import IMAGES, ImageParams, ImagesError, images_step
from mella.builders.engine import runner
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import read_part
from mella.builders.engine.step import REASON, SideReader, Step, canonical
from mella.jpeg import strip_metadata
from pictures import picture, save
from stories import explain
from web_archives import Archive
from web_site import Site

PARAMS = ImageParams()
POLITE = FetchParams(contact="me@a.example", allow_private=True, per_host_delay_s=0.0)
FETCHING = ImageParams(fetch=True, fetch_params=POLITE)
CARRIES = pa.schema([(name, pa.string()) for name in ("id", "image_url", "image_host")])
SECRET = b"N 50.0875, home of Jana"
JPEG = save(picture(), "JPEG", comment=SECRET)
PNG = save(picture(), "PNG")


def stored_form(data):
    made = normalise_image(data, PARAMS.rules)
    assert isinstance(made, StoredImage)
    return made


@pytest.fixture
def records(tmp_path):
    """Return a function that stores responses in an archive and reads its records."""

    def make(responses):
        archive = Archive()
        for url, body, content_type, *headers in responses:
            archive.add(url, body, [("Content-Type", content_type), *headers])
        (tmp_path / "a.warc.gz").write_bytes(archive.bytes)
        table = pa.table({"path": [str(tmp_path / "a.warc.gz")], "name": ["a"]})
        step = records_step(RecordsParams())
        read = list(step.apply(table, None)) or [step.writes.empty_table()]
        pq.write_table(pa.concat_tables(read), tmp_path / "part.parquet")
        return step, SideReader((str(tmp_path / "part.parquet"),))

    return make


@pytest.fixture
def site():
    site = Site()
    site.pages["/1.png"] = PNG
    yield site
    site.close()


def candidates(urls):
    ids = [str(number) for number in range(len(urls))]
    return pa.table([ids, urls, ["a.example"] * len(urls)], schema=CARRIES)


def run(step, side, urls):
    """Return the rows of `urls`, in their order, and the tables that they came in."""
    resource = step.setup(step.params, side)
    tables = list(step.apply(candidates(urls), resource))
    rows = sorted(
        (row for table in tables for row in table.to_pylist()), key=lambda r: int(r["id"])
    )
    assert [(row.pop("id"), row.pop("image_url")) for row in rows] == [
        (str(number), url) for number, url in enumerate(urls)
    ]
    assert {row.pop("image_host") for row in rows} <= {"a.example"}
    return rows, tables


def reasons(rows):
    return [row["reason"] for row in rows]


# From archives


def test_images_of_archives_are_found_by_their_url(records):
    side, reader = records(
        [
            ("http://a.example/1.jpg", JPEG, "text/plain"),
            ("http://a.example/обложка.png?x=1", PNG, "image/png"),
            ("http://a.example/1.jpg", PNG, "image/png"),
            ("http://a.example/bad.jpg", JPEG[:900], "image/jpeg"),
            ("http://a.example/page", b"<html><img src=1.jpg></html>", "text/html"),
        ]
    )
    urls = [
        "http://a.example/bad.jpg",
        "http://a.example/1.jpg",
        "http://a.example/%D0%BE%D0%B1%D0%BB%D0%BE%D0%B6%D0%BA%D0%B0.png?x=1",
        "http://a.example/none.jpg",
        "http://A.example:80/1.jpg#part",
        "http://a.example/page",
        None,
    ]
    rows, _ = run(images_step(PARAMS, side, CARRIES), reader, urls)
    assert reasons(rows) == [
        "image:truncated", None, None, "image:not_found", None, "image:not_found", "image:not_found"
    ]  # fmt: skip
    stored = stored_form(JPEG)
    assert (
        rows[1]
        == rows[4]
        == {
            "image": strip_metadata(JPEG),
            "sha256": hashlib.sha256(strip_metadata(JPEG)).hexdigest(),
            "original_sha256": hashlib.sha256(JPEG).hexdigest(),
            "width": 240,
            "height": 180,
            "bytes": len(strip_metadata(JPEG)),
            "original_format": "jpeg",
            "image_origin": "archive",
            "phash": stored.phash,
            "text_score": stored.text_score,
            "image_signals": [],
            "fetched_at": None,
            "reason": None,
        }
    )
    assert SECRET not in rows[1]["image"]
    assert rows[2]["original_format"] == "png"
    assert rows[2]["image"] == stored_form(PNG).data
    assert rows[0]["image"] is None
    assert rows[0]["sha256"] is None
    assert rows[0]["original_sha256"] == hashlib.sha256(JPEG[:900]).hexdigest()
    assert rows[3]["image_origin"] is None


def test_an_archived_response_says_what_may_be_done_with_its_image(records):
    headers = [("X-Robots-Tag", "noimageai"), ("TDM-Policy", "https://a.example/p.json")]
    headers.append(("x-robots-tag", "otherbot: none"))
    side, reader = records([("http://a.example/1.png", PNG, "image/png", *headers)])
    ((row,), _) = run(images_step(PARAMS, side, CARRIES), reader, ["http://a.example/1.png"])
    assert row["image_signals"] == [
        {"where": "header", "name": "x-robots-tag", "value": "noimageai"},
        {"where": "header", "name": "x-robots-tag", "value": "otherbot: none"},
        {"where": "header", "name": "tdm-policy", "value": "https://a.example/p.json"},
    ]
    assert (row["reason"], row["fetched_at"]) == (None, None)


def test_an_archive_that_is_gone_costs_its_images_alone(records, tmp_path):
    side, reader = records([("http://a.example/1.png", PNG, "image/png")])
    (tmp_path / "a.warc.gz").unlink()
    rows, _ = run(images_step(PARAMS, side, CARRIES), reader, ["http://a.example/1.png"])
    assert reasons(rows) == ["image:unreadable"]
    assert rows[0]["image_signals"] == []


def test_rows_come_in_small_tables_however_many_want_one_image(records):
    side, reader = records([("http://a.example/1.png", PNG, "image/png")])
    urls = ["http://a.example/1.png"] * 150
    rows, tables = run(images_step(PARAMS, side, CARRIES), reader, urls)
    assert reasons(rows) == [None] * 150
    assert max(table.num_rows for table in tables) <= 64


# From the web


def test_what_no_archive_holds_is_fetched_once(records, site):
    url = site.url
    side, reader = records([(f"{url}/0.jpg", save(picture(seed=5), "JPEG"), "image/jpeg")])
    site.pages["/3.png"] = lambda handler: answer(
        handler, "X-Robots-Tag: noai", "TDM-Reservation: 1", "X-Robots-Tag: none", body=PNG
    )
    paths = ["/0.jpg", "/1.png", "/2.png", "/1.png", "/3.png"]
    rows, _ = run(
        images_step(FETCHING, side, CARRIES),
        reader,
        [url + path for path in paths] + ["ftp://a.example/a.png", None],
    )
    assert reasons(rows) == [
        None, None, "image:fetch:http_404", None, None, "image:fetch:scheme", "image:not_found"
    ]  # fmt: skip
    assert [row["image_origin"] for row in rows] == ["archive", *["http"] * 5, None]
    assert [row["image_signals"] for row in rows] == [
        *[[]] * 4,
        [
            {"where": "header", "name": "x-robots-tag", "value": "noai"},
            {"where": "header", "name": "x-robots-tag", "value": "none"},
            {"where": "header", "name": "tdm-reservation", "value": "1"},
        ],
        *[[]] * 2,
    ]
    # Where there was a response: one that says no is one.
    assert [row["fetched_at"] is not None for row in rows] == [
        False, True, True, True, True, False, False
    ]  # fmt: skip
    assert rows[1] == rows[3]
    assert rows[1]["image"] == stored_form(PNG).data
    assert site.log == ["/robots.txt", "/1.png", "/2.png", "/3.png"]


def test_without_leave_to_fetch_nothing_is_asked(records, site):
    side, reader = records([])
    rows, _ = run(images_step(PARAMS, side, CARRIES), reader, [f"{site.url}/1.png"])
    assert reasons(rows) == ["image:not_found"]
    assert site.log == []


def test_of_one_host_only_so_many_are_fetched(site):
    step = images_step(replace(FETCHING, max_per_host=2), None, CARRIES)
    urls = [f"{site.url}/{i}.png" for i in (1, 2, 3, 1)]
    urls.append(site.url.replace("127.0.0.1", "localhost") + "/1.png")
    rows, _ = run(step, None, urls)
    assert reasons(rows) == [None, "image:fetch:http_404", "image:too_many_of_host", None, None]


def test_a_larger_body_than_the_rules_allow_is_not_fetched_whole(site):
    rules = ImageRules(max_bytes=len(PNG) - 1)
    step = images_step(replace(FETCHING, rules=rules), None, CARRIES)
    assert reasons(run(step, None, [f"{site.url}/1.png"])[0]) == ["image:fetch:too_large"]


def test_bombs_and_lies_cost_themselves_alone(site):
    # Declared as something else, or so large that it must not be decoded to find out.
    site.pages |= {
        "/page.png": (200, {"Content-Type": "image/png"}, b"<html>no</html>"),
        "/bomb.png": pixel_bomb(),
        "/short.png": (200, {"Content-Length": "900"}, PNG[:900]),
        "/zipped.png": (200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(90 << 20))),
        "/text.png": (200, {"Content-Type": "text/html"}, PNG),
    }
    urls = [site.url + path for path in ("/page.png", "/bomb.png", "/short.png", "/zipped.png")]
    rows, _ = run(images_step(FETCHING, None, CARRIES), None, [*urls, f"{site.url}/text.png"])
    assert reasons(rows) == [
        "image:not_an_image", "image:too_many_pixels", "image:truncated",
        "image:fetch:too_large", None,
    ]  # fmt: skip


def test_a_fetch_that_was_interrupted_does_not_ask_for_what_arrived(site, tmp_path):
    kept = replace(POLITE, store=str(tmp_path / "answers"))
    step = images_step(replace(FETCHING, fetch_params=kept), None, CARRIES)
    site.pages["/2.png"] = PNG
    urls = [f"{site.url}/{i}.png" for i in (1, 2, 3)]
    first, _ = run(step, None, urls)
    asked = list(site.log)
    assert run(step, None, urls)[0] == first
    assert site.log == asked
    assert reasons(first) == [None, None, "image:fetch:http_404"]


# In a build


@dataclass(frozen=True)
class Addresses:
    """Parameters of the toy step: addresses with their hosts."""

    urls: tuple[tuple[str, str], ...]


TOY = pa.schema([*CARRIES, REASON])


def list_addresses(table, params, _):
    urls, hosts = zip(*params.urls, strict=True)
    count = range(len(urls))
    yield pa.table([[str(i) for i in count], urls, hosts, [None for _ in count]], schema=TOY)


def build(step, urls):
    inputs = pa.table({"n": [0]})
    addresses = Addresses(tuple(urls))
    first = Step(
        "candidates", 1, list_addresses, inputs.schema, TOY, addresses, expands=True, part_rows=3
    )
    return runner.Pipeline((first, step), inputs, "digest")


def test_processes_never_ask_one_host_at_the_same_time(site, tmp_path):
    times = defaultdict(list)

    def slow(handler):
        start = time.monotonic()
        time.sleep(0.05)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PNG)))
        handler.end_headers()
        handler.wfile.write(PNG)
        times[handler.headers["Host"].partition(":")[0]].append((start, time.monotonic()))

    site.pages = {f"/{i}": slow for i in range(12)}
    urls = [
        (f"http://{host}:{site.port}/{i}", host)
        for i in range(12)
        for host in ("localhost", "127.0.0.1")
    ]
    params = replace(FETCHING, fetch_params=replace(POLITE, respect_robots=False))
    step = replace(images_step(params, None, CARRIES), bucket_rows=3)
    with LocalExecutor(2) as executor:
        stages = runner.run(build(step, urls), tmp_path, executor)

    assert {host: len(spans) for host, spans in times.items()} == {"localhost": 12, "127.0.0.1": 12}
    for spans in times.values():
        for (_, end), (start, _) in itertools.pairwise(sorted(spans)):
            assert start >= end - 0.01  # the client may have the answer before it is noted
    everything = sorted(span for spans in times.values() for span in spans)
    assert any(a[1] > b[0] for a, b in itertools.pairwise(everything))  # but both at once
    assert [level.kept for level in funnel(stages)] == [24, 24]


def test_a_build_goes_on_without_fetching_again(site, tmp_path):
    urls = [(f"{site.url}/{i}.png", "127.0.0.1") for i in range(1, 5)]
    pipeline = build(images_step(FETCHING, None, CARRIES), urls)
    stages = runner.run(pipeline, tmp_path, LocalExecutor(1))
    asked = Counter(site.log)
    assert runner.run(pipeline, tmp_path, LocalExecutor(1)) == stages
    assert Counter(site.log) == asked
    (level,) = funnel(stages)[1:]
    assert (level.unit, level.rows, level.kept) == ("images", 4, 1)
    story = explain(stages, urls[1][0])[-1]
    assert (story.step, story.reason) == ("images", "image:fetch:http_404")
    (part,) = stages[1].parts()
    assert read_part(stages, part.name, ["id", "width"]).to_pylist() == [{"id": "0", "width": 240}]


# What is refused


def test_a_step_that_could_get_nothing_is_refused():
    with pytest.raises(ImagesError, match="records step"):
        images_step(PARAMS, None, CARRIES)
    with pytest.raises(FetchError, match="contact"):
        images_step(ImageParams(fetch=True), None, CARRIES)


@pytest.mark.parametrize("names", [["id"], ["image_url"], ["image_url", "image_host", "sha256"]])
def test_columns_that_do_not_fit_are_refused(names):
    carries = pa.schema([(name, pa.string()) for name in names])
    with pytest.raises(ImagesError, match="needs image_host, image_url") as caught:
        images_step(FETCHING, None, carries)
    assert ", ".join(names) in str(caught.value)


def test_the_step_keeps_its_contract_and_has_a_key():
    step = images_step(FETCHING, None, CARRIES)
    assert step.by == "image_host"
    assert step.writes.names == [*CARRIES.names, *IMAGES.names]
    assert canonical(step.params)["fetch_params"]["contact"] == "me@a.example"
    other = replace(FETCHING, rules=ImageRules(min_side=10))
    assert step.key("parent") != images_step(other, None, CARRIES).key("parent")
    assert run(step, None, []) == ([], [])
