"""The mini-web: what it holds, in what state, and that it can be made again from its sources."""

import hashlib
import io
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from warcio.archiveiterator import ArchiveIterator

from mella.builders.culture.archives.records import (
    RECORDS,
    RecordsParams,
    read_response,
    records_step,
)
from mella.builders.culture.pages.candidates import CandidatesParams, candidates_step
from mella.builders.engine.step import Step
from mella.builders.miniweb import regenerate as making
from mella.builders.miniweb.artwork import Artwork, MiniWebError
from mella.builders.miniweb.captions import CAPTIONER, read_captions
from mella.builders.miniweb.choices import CHOICES, Flaw, Page, read_choices
from mella.builders.miniweb.crawl import Answer, write_warc
from mella.builders.miniweb.flaws import FLAWS, FORBIDDEN
from mella.builders.miniweb.names import read_names
from mella.builders.miniweb.pages import LAYOUTS, address_of
from mella.builders.miniweb.subset_fonts import FONTS
from mella.languages import get_language
from mella.text import dominant_script, normalise, scripts

WARC = CHOICES.parent / making.WARC_NAME
LINES = CHOICES.parent / making.CAPTIONS_NAME
LANGUAGES = ("ar", "cs", "hu", "ko", "ru", "sr", "th", "vi")
WEB = read_choices()
PLACED = {flaw.case: (page, flaw) for page in WEB.pages for flaw in page.flaws}
CAPTIONS = read_captions()
GOOD = [caption for caption in CAPTIONS if not caption.flaw]
BAD = {caption.flaw: caption for caption in CAPTIONS if caption.flaw}


@dataclass(frozen=True)
class Got:
    """What a record of the archive says that a server answered."""

    kind: str
    status: str
    headers: dict[str, str]
    body: bytes
    offset: int

    @property
    def image(self) -> Image.Image:
        image = Image.open(io.BytesIO(self.body))
        image.load()
        return image


Archive = dict[str, Got]


def read_warc(file: Path) -> tuple[str, Archive]:
    """Read an archive with warcio: its warcinfo, and what was got for each URL."""
    about, archive, asked = "", {}, set()
    with file.open("rb") as stream:
        iterator = ArchiveIterator(stream, check_digests="raise")
        for record in iterator:
            body = record.content_stream().read()
            if record.rec_type == "warcinfo":
                about = body.decode()
                continue
            url = record.rec_headers.get_header("WARC-Target-URI")
            if record.rec_type == "request":
                asked.add(url)
                continue
            assert url not in archive
            headers = {name.lower(): value for name, value in record.http_headers.headers}
            status = record.http_headers.get_statuscode()
            offset = iterator.get_record_offset()
            archive[url] = Got(record.rec_type, status, headers, body, offset)
    assert asked == set(archive)
    return about, archive


def rows_of(step: Step, table: pa.Table) -> list[dict[str, Any]]:
    resource = step.setup(step.params, None) if step.setup else None
    return [row for out in step.apply(table, resource) for row in out.to_pylist()]


@pytest.fixture(scope="module")
def archive():
    return read_warc(WARC)[1]


@pytest.fixture(scope="module")
def records():
    inputs = pa.table({"path": [str(WARC)], "name": [WARC.name]})
    return rows_of(records_step(RecordsParams()), inputs)


@pytest.fixture(scope="module")
def candidates(records):
    table = pa.Table.from_pylist([row for row in records if row["reason"] is None], schema=RECORDS)
    return rows_of(candidates_step(CandidatesParams()), table)


# What was chosen


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_language_has_images_and_hosts_enough_to_split(lang):
    pages = [page for page in WEB.pages if page.lang == lang and page.emoji]
    assert sum(len(page.emoji) for page in pages) >= 22
    assert len({page.host for page in pages}) >= 6


def test_hosts_are_nobodys_and_have_one_page_each():
    assert all(page.host.endswith(".example") for page in WEB.pages)
    assert len({page.host for page in WEB.pages}) == len(WEB.pages)


def test_there_are_many_pictures_and_several_character_sets():
    assert len({emoji for page in WEB.pages for emoji in page.emoji}) >= 150
    charsets = Counter(page.charset for page in WEB.pages)
    old = ("windows-1250", "windows-1251", "windows-1256", "euc-kr", "tis-620")
    assert [charsets[name] for name in old] == [1] * len(old)
    assert {page.layout for page in WEB.pages} == set(LAYOUTS)


def test_pages_are_normalised_and_in_the_script_of_their_language():
    for page in WEB.pages:
        script = "Latn" if page.locale == "sr_Latn" else get_language(page.lang).scripts[0]
        for text in (page.title, *page.text, *page.captions):
            assert text == normalise(text)
            assert dominant_script(text) == script, text
    assert {page.locale for page in WEB.pages if page.lang == "sr"} == {"sr", "sr_Latn"}


# What the archive holds


def test_it_is_small():
    assert WARC.stat().st_size < 900_000
    assert LINES.stat().st_size < 100_000


def test_the_archive_has_each_page_as_it_was_chosen(archive):
    for page in WEB.pages:
        html = archive[page.url].body.decode(page.charset)
        assert archive[page.url].status == "200"
        assert page.title in html
        assert all(text in html for text in page.text)


def test_the_records_step_reads_what_warcio_reads(archive, records):
    assert {row["url"] for row in records} == set(archive)
    for row in records:
        got = archive[row["url"]]
        if row["kind"] == "page":
            assert row["body"] == got.body
        elif got.kind == "response" and row["reason"] is None:
            assert read_response(row["path"], row["member"], row["offset"])[1] == got.body
    reasons = Counter(row["reason"] for row in records if row["reason"])
    robots = sum(url.endswith("/robots.txt") for url in archive)
    assert reasons == {"media_type:text/plain": robots, "http_status:404": 1, "record:svg": 1}


def test_each_image_of_each_page_is_found_with_its_text_and_its_bytes(archive, candidates):
    for page in WEB.pages:
        found = [row for row in candidates if row["page_url"] == page.url]
        assert len(found) == len(page.emoji) + len(page.flaws)
        good = found[: len(page.emoji)]
        script = "Latn" if page.locale == "sr_Latn" else get_language(page.lang).scripts[0]
        for row, emoji in zip(good, page.emoji, strict=True):
            assert row["reason"] is None
            assert set(scripts(row["alt"])) == {script}
            got = archive[row["image_url"]]
            assert got.headers["content-type"] == f"image/{got.image.format.lower()}"
            assert row["image_url"].endswith(f".{WEB.extension(emoji)}")
            assert min(got.image.size) >= 128
        assert {row["caption"] for row in good} == {*page.captions} or not page.captions


def test_the_same_emoji_has_the_same_bytes_everywhere(archive, candidates):
    bodies: dict[str, set[bytes]] = {}
    for page in WEB.pages:
        found = [row for row in candidates if row["page_url"] == page.url]
        for row, emoji in zip(found, page.emoji, strict=False):
            bodies.setdefault(emoji, set()).add(archive[row["image_url"]].body)
    assert all(len(several) == 1 for several in bodies.values())
    assert len(set.union(*bodies.values())) == len(bodies)


# What is wrong with it


def test_each_flaw_stands_in_the_mini_web_once(candidates):
    assert Counter(flaw.case for page in WEB.pages for flaw in page.flaws) == dict.fromkeys(
        FLAWS, 1
    )
    for case, (page, flaw) in PLACED.items():
        rows = [
            row
            for row in candidates
            if row["page_url"] == page.url
            and row["image_url"] == (None if case == "data_uri" else address_of(page, flaw.src))
        ]
        assert len(rows) == 1, case
        has_words = rows[0]["reason"] is None or case == "data_uri"
        assert (rows[0]["alt"] or "") == (flaw.alt if has_words else ""), case


TEXT_FLAWS = {
    "logo": lambda alt: alt == "logo",
    "file_name": lambda alt: alt.endswith(".jpg"),
    "english_alt": lambda alt: set(scripts(alt)) == {"Latn"},
    "other_language": lambda alt: "ktorá" in alt,
    "price": lambda alt: alt.endswith(" Kč"),
    "keywords": lambda alt: alt.count(",") >= 5,
    "mojibake": lambda alt: set(scripts(alt.encode("cp1251").decode())) == {"Cyrl"},
    "contact": lambda alt: "@" in alt,
    "empty_alt": lambda alt: not alt,
}


@pytest.mark.parametrize("case", TEXT_FLAWS)
def test_flaws_of_text_have_a_sound_image(archive, case):
    page, flaw = PLACED[case]
    assert TEXT_FLAWS[case](flaw.alt)
    assert min(archive[address_of(page, flaw.src)].image.size) >= 128


def _twins(page: Page, got: Got, archive: Archive) -> int:
    urls = [url for url, other in archive.items() if other.body == got.body]
    return sum(page.host in url for url in urls)


IMAGE_FLAWS = {
    "spacer": lambda page, got, archive: got.image.size == (1, 1),
    "html_as_image": lambda page, got, archive: (
        got.headers["content-type"] == "image/jpeg" and got.body.startswith(b"<!DOCTYPE html>")
    ),
    "missing": lambda page, got, archive: got.status == "404",
    "not_archived": lambda page, got, archive: got is None,
    "data_uri": lambda page, got, archive: got is None,
    "duplicate": lambda page, got, archive: _twins(page, got, archive) == 2,
    "animated": lambda page, got, archive: got.image.n_frames == 3,
    "banner": lambda page, got, archive: got.image.width == 10 * got.image.height,
    "svg": lambda page, got, archive: b"<svg" in got.body,
    "x_robots_tag": lambda page, got, archive: got.headers["x-robots-tag"] == "noai, noimageai",
    "page_noai": lambda page, got, archive: (
        b'<meta name="robots" content="noai, noimageai">' in archive[page.url].body
        and got.image.format == "JPEG"
    ),
}


@pytest.mark.parametrize("case", IMAGE_FLAWS)
def test_flaws_of_images_are_what_they_are_called(archive, case):
    page, flaw = PLACED[case]
    got = archive.get(address_of(page, flaw.src))
    assert IMAGE_FLAWS[case](page, got, archive)


def test_the_truncated_image_ends_too_early(archive):
    page, flaw = PLACED["truncated"]
    with pytest.raises(OSError, match="truncated"):
        _ = archive[address_of(page, flaw.src)].image


def test_the_revisit_leads_to_the_first_image(archive, records):
    page, flaw = PLACED["revisit"]
    url = address_of(page, flaw.src)
    (row,) = (row for row in records if row["url"] == url)
    assert archive[url].kind == "revisit"
    data = read_response(row["path"], row["member"], row["offset"])[1]
    assert [page.host in first for first, got in archive.items() if got.body == data] == [True]


def test_robots_txt_forbids_one_image_and_allows_all_others(archive):
    page, flaw = PLACED["robots_txt"]
    assert flaw.src.startswith(FORBIDDEN[page.host])
    for url, got in archive.items():
        if url.endswith("/robots.txt"):
            host = url.split("/")[2]
            assert got.body.decode().endswith(f"\nDisallow: {FORBIDDEN.get(host, '')}\n")


def test_no_flaw_is_left_unlooked_at():
    other = {"truncated", "revisit", "robots_txt"}
    assert {*TEXT_FLAWS, *IMAGE_FLAWS, *other} == set(FLAWS)


# The captions


@pytest.fixture(scope="module")
def lines():
    text = LINES.read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


def test_lines_are_the_captions_in_their_order(lines):
    for line, caption in zip(lines, CAPTIONS, strict=True):
        assert line == {
            "sha256": line["sha256"],
            "lang": caption.lang,
            "text_en": caption.en,
            "text": caption.text,
            "captioner": CAPTIONER,
            "translator": CAPTIONER,
            "emoji": caption.emoji,
        }


def test_lines_join_with_images_of_their_language_by_the_hash_of_the_bytes(
    lines, archive, candidates
):
    langs = {page.url: page.lang for page in WEB.pages}
    held: dict[str, set[str]] = {}
    for row in candidates:
        if got := archive.get(row["image_url"]):
            hashes = held.setdefault(hashlib.sha256(got.body).hexdigest(), set())
            hashes.add(langs[row["page_url"]])
    strangers = [line for line in lines if line["lang"] not in held.get(line["sha256"], ())]
    assert [line["emoji"] for line in strangers] == [BAD["stranger"].emoji]


def test_good_captions_are_eight_a_language_each_of_another_picture():
    assert Counter(caption.lang for caption in GOOD) == dict.fromkeys(LANGUAGES, 8)
    assert len({(caption.lang, caption.emoji) for caption in CAPTIONS}) == len(CAPTIONS)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_good_captions_are_normalised_and_in_a_script_of_their_language(lang):
    found: Counter[str] = Counter()
    for caption in GOOD:
        if caption.lang == lang:
            assert caption.text == normalise(caption.text)
            (script,) = scripts(caption.text).keys() - ({"Latn"} if lang == "ko" else set())
            found[script] += 1
    assert found == ({"Cyrl": 6, "Latn": 2} if lang == "sr" else {get_language(lang).scripts[0]: 8})


def test_descriptions_are_thick():
    assert all(25 <= len(caption.en.split()) <= 60 for caption in CAPTIONS)
    assert len({caption.en for caption in CAPTIONS}) == len(CAPTIONS)


def test_bad_captions_are_what_they_are_called():
    assert set(BAD) == {"empty", "untranslated", "loop", "other_language", "stranger"}
    assert not BAD["empty"].text
    assert BAD["untranslated"].text == BAD["untranslated"].en
    assert BAD["loop"].text.count("เนื้อสีขาว") > 10
    assert BAD["other_language"].lang == "sr"
    assert set("ыёй") <= set(BAD["other_language"].text)


# How it is made


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    try:
        return making.fetch_packages(tmp_path_factory.mktemp("packages"))
    except MiniWebError as error:
        if os.environ.get("MELLA_REQUIRE_DEBIAN") == "1":
            raise
        pytest.skip(str(error))


def test_the_mini_web_can_be_made_again_from_its_sources(packages, tmp_path):
    made_about, made = read_warc(making.regenerate(packages, tmp_path)[0])
    about, archive = read_warc(WARC)
    same_pillow = f"Pillow {PIL.__version__}\r\n" in about
    assert list(made) == list(archive)
    for url, got in archive.items():
        other = made[url]
        assert (other.kind, other.status) == (got.kind, got.status)
        if same_pillow or not got.headers["content-type"].startswith("image/"):
            assert other.body == got.body, url
    lines = (tmp_path / making.CAPTIONS_NAME).read_text("utf-8").splitlines()
    for line, other in zip(LINES.read_text("utf-8").splitlines(), lines, strict=True):
        unlike = {} if same_pillow else {"sha256": ""}
        assert json.loads(line) | unlike == json.loads(other) | unlike
    if same_pillow:
        assert made_about == about


def test_making_it_twice_gives_the_same_bytes(packages, tmp_path):
    first, second = (making.regenerate(packages, tmp_path / name) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_alts_are_the_names_of_cldr(packages, candidates):
    common = packages / making.CLDR
    for page in WEB.pages:
        names = read_names(common, page.locale)
        alts = [row["alt"] for row in candidates if row["page_url"] == page.url]
        assert alts[: len(page.emoji)] == [normalise(names[emoji].name) for emoji in page.emoji]


def test_a_missing_package_is_named(tmp_path):
    with pytest.raises(MiniWebError, match=r"does not hold .*NotoColorEmoji\.ttf"):
        making.regenerate(tmp_path, tmp_path / "out")
    with pytest.raises(MiniWebError, match="CLDR has no file"):
        read_names(tmp_path, "sr")


def test_a_font_without_pictures_is_refused():
    with pytest.raises(MiniWebError, match="holds no bitmaps"):
        Artwork(FONTS / "latin.ttf")


@pytest.mark.parametrize(
    ("layout", "src", "url"),
    [
        ("plain", "img/a.jpg", "http://x.example/d/img/a.jpg"),
        ("figures", "/img/a.jpg", "http://x.example/img/a.jpg"),
        ("base", "a.jpg", "http://x.example/media/a.jpg"),
        ("protocol", "//img.x.example/a.jpg", "http://img.x.example/a.jpg"),
        ("plain", "/ш.jpg", "http://x.example/%D1%88.jpg"),
    ],
)
def test_addresses_resolve_as_in_a_browser(layout, src, url):
    page = replace(WEB.pages[0], host="x.example", path="/d/p.html", layout=layout)
    assert address_of(page, src) == url


ANSWERS = st.lists(
    st.builds(
        Answer,
        st.binary(max_size=3000),
        st.just("application/octet-stream"),
        encoding=st.sampled_from(["", "gzip"]),
        transfer=st.sampled_from(["", "chunked"]),
    ),
    max_size=4,
)


@given(ANSWERS)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_the_same_by_warcio_and_by_mella(tmp_path_factory, answers):
    file = tmp_path_factory.mktemp("warc") / "a.warc.gz"
    crawl = [(f"http://x.example/{number}", answer) for number, answer in enumerate(answers)]
    with file.open("wb") as stream:
        write_warc(stream, crawl, (("software", "test"),))
    _, archive = read_warc(file)
    assert [(url, got.body) for url, got in archive.items()] == [(u, a.data) for u, a in crawl]
    for got in archive.values():
        assert read_response(str(file), None, got.offset)[1] == got.body


def test_a_revisit_of_unknown_content_is_refused():
    crawl = [("http://x.example/", Answer(b"new", "text/plain", revisit=True))]
    with pytest.raises(MiniWebError, match="has not met before"):
        write_warc(io.BytesIO(), crawl, ())


def test_a_flaw_that_takes_an_unknown_key_is_refused(tmp_path):
    file = tmp_path / "choices.toml"
    file.write_text(CHOICES.read_text("utf-8").replace('case = "logo"', 'kase = "logo"'), "utf-8")
    with pytest.raises(TypeError, match="kase"):
        read_choices(file)
    assert Flaw("logo", "logo", "a.png", "logo").emoji == ""
