"""Records: what each archived response becomes, in every kind of archive."""

import gzip
import zipfile
import zlib
from pathlib import Path

import brotli
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.builders.culture.archives.payload import PayloadError
from mella.builders.culture.archives.records import (
    RECORDS,
    RecordsParams,
    read_response,
    records_step,
)
from mella.builders.culture.signals import signals_of
from mella.builders.engine.step import canonical
from web_archives import HTML, PAGE, PNG, Archive, kept, pages, picture, read, rejected, wacz


@pytest.fixture
def rows(tmp_path):
    def rows_of(data, params=None):
        path = tmp_path / "archive.warc.gz"
        path.write_bytes(data)
        return read(path, params)

    return rows_of


@pytest.mark.parametrize("gz", [True, False])
def test_a_page_with_all_that_is_known_of_it(rows, gz):
    (row,) = rows(Archive(gz=gz).add("http://a.example/x").bytes)
    path = row.pop("path")
    assert Path(path).exists()
    assert row == {
        "kind": "page",
        "url": "http://a.example/x",
        "media_type": "text/html",
        "charset": "utf-8",
        "content_language": "ru",
        "signals": [],
        "name": "in",
        "member": None,
        "offset": 0,
        "collected_at": "2024-01-02T03:04:05Z",
        "body": PAGE,
        "reason": None,
    }


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_an_image_is_known_by_its_bytes_and_read_again_by_its_offset(rows, gz, kind):
    image = picture(kind)
    archive = pages(1, gz=gz)
    archive.add("http://a.example/i", image, [("Content-Type", "text/html")])
    _, row = rows(archive.bytes)
    assert (row["kind"], row["body"], row["reason"]) == ("image", None, None)
    assert row["offset"] == archive.offsets[1]
    assert read_response(row["path"], row["member"], row["offset"])[1] == image


def test_what_is_no_page_and_no_image_says_why(rows):
    archive = Archive()
    archive.add("http://a.example/404", status="404 Not Found")
    archive.add("http://a.example/206", PNG, [("Content-Type", "image/png")], "206 Partial")
    archive.add("http://a.example/css", b"a{}", [("Content-Type", "Text/CSS; charset=x")])
    archive.add("http://a.example/odd", b"\0\1", [("Content-Type", "no type at all")])
    archive.add("http://a.example/svg", b"<?xml version='1.0'?>\n<svg/>", [])
    archive.add("http://a.example/fake", b"not a picture", [("Content-Type", "image/png")])
    archive.add("http://a.example/empty", b"")
    archive.add("urn:text:x", b"x", [("Content-Type", "text/plain")], kind="resource")
    archive.add("http://a.example/text", b"x", [("Content-Type", "text/plain")], kind="conversion")
    archive.add("http://a.example/req", b"GET / HTTP/1.1\r\n\r\n", kind="request")
    assert [row["reason"] for row in rows(archive.bytes)] == [
        "http_status:404",
        "http_status:206",
        "media_type:text/css",
        "media_type:unknown",
        "record:svg",
        "record:not_an_image",
        "record:empty",
        "record:scheme",
        "record:conversion",
    ]


def test_html_is_recognised_without_a_declaration(rows):
    archive = Archive()
    archive.add("http://a.example/a", b"\xef\xbb\xbf\n<!-- x --><!DOCTYPE HTML><p>", [])
    archive.add("http://a.example/b", b"<?xml version='1.0'?><html >", [])
    archive.add("http://a.example/c", PAGE, [("Content-Type", "text/html")], kind="resource")
    assert [row["kind"] for row in rows(archive.bytes)] == ["page"] * 3


def test_every_line_of_the_headers_that_are_signals_is_kept(rows):
    lines = [("X-Robots-Tag", "noai"), ("TDM-Reservation", "1"), ("x-robots-tag", "mella: none")]
    archive = Archive().add("http://a.example/p", PAGE, HTML + lines)
    archive.add("http://a.example/i", PNG, [("Content-Type", "image/png"), *lines])
    archive.add("http://a.example/404", PAGE, HTML + lines, "404 Not Found")
    archive.add("http://a.example/none", PAGE, HTML)
    found = rows(archive.bytes)
    signals = [
        {"where": "header", "name": "x-robots-tag", "value": "noai"},
        {"where": "header", "name": "x-robots-tag", "value": "mella: none"},
        {"where": "header", "name": "tdm-reservation", "value": "1"},
    ]
    assert [row["signals"] for row in found] == [signals] * 3 + [[]]
    headers, image = read_response(found[1]["path"], None, found[1]["offset"])
    assert (signals_of(headers), image) == (signals, PNG)
    assert headers["content-type"] == "image/png"


def test_resources_are_read_again_too(rows):
    archive = Archive().add(
        "http://a.example/i", PNG, [("Content-Type", "image/png")], kind="resource"
    )
    (row,) = rows(archive.bytes)
    assert read_response(row["path"], None, row["offset"])[1] == PNG


def test_angle_brackets_around_addresses_are_dropped(rows):
    data = Archive(gz=False).add("http://a.example/x").bytes
    data = data.replace(b"URI: http://a.example/x", b"URI: <http://a.example/x>")
    assert kept(rows(data)) == ["x"]


def test_only_broken_records_are_lost_to_their_encoding(rows):
    chunked = b"%x;ext=1\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE)
    deflated = zlib.compress(PAGE)
    bodies = {
        "gzip": (gzip.compress(PAGE), "gzip", ""),
        "deflate": (deflated, "deflate", ""),
        "raw": (deflated[2:-4], "deflate", ""),
        "br": (brotli.compress(PAGE), "br", ""),
        "chunked": (chunked, "", "chunked"),
        "both": (b"%x\r\n%s\r\n0\r\n\r\n" % (len(deflated), deflated), "deflate", "chunked"),
        "undone": (PAGE, "gzip", "chunked"),
        "undone-br": (PAGE, "br", ""),
        "cut": (gzip.compress(PAGE)[:-12], "gzip", ""),
        "cut-chunk": (chunked[:-20], "", "chunked"),
        "strange": (b"\1\2\3", "sdch", ""),
    }
    archive = Archive()
    for name, (body, content, transfer) in bodies.items():
        encodings = [("Content-Encoding", content), ("Transfer-Encoding", transfer)]
        archive.add(f"http://a.example/{name}", body, HTML + [e for e in encodings if e[1]])
    found = rows(archive.bytes)
    assert kept(found) == list(bodies)[:8]
    assert {row["body"] for row in found[:8]} == {PAGE}
    assert {reason for _, reason in rejected(found)} == {"record:undecodable"}


def test_a_page_that_inflates_without_end_is_cut_off(rows):
    bomb = gzip.compress(b"<html>" + b"\0" * 50_000_000)
    archive = Archive().add("http://a.example/b", bomb, [*HTML, ("Content-Encoding", "gzip")])
    archive.add("http://a.example/ok")
    found = rows(archive.bytes, RecordsParams(max_page_bytes=1_000_000))
    assert rejected(found) == [(0, "record:too_big")]
    assert kept(found) == ["ok"]


def test_a_page_over_the_limit_is_rejected_and_one_at_the_limit_kept(rows):
    limit = 300_000
    archive = Archive()
    for size in (limit, limit + 1, limit * 3):
        archive.add(f"http://a.example/{size}", b"<html>".ljust(size))
    found = rows(archive.bytes, RecordsParams(max_page_bytes=limit))
    assert kept(found) == [str(limit)]
    assert [reason for _, reason in rejected(found)] == ["record:too_big"] * 2


def test_large_images_are_listed_whatever_their_size(rows):
    image = PNG + b"x" * 200_000
    found = rows(
        Archive().add("http://a.example/i", image, [("Content-Type", "image/png")]).bytes,
        RecordsParams(max_page_bytes=1000),
    )
    assert read_response(found[0]["path"], None, 0)[1] == image


def test_a_revisited_image_is_read_from_its_original(rows):
    archive = Archive()
    archive.add("http://a.example/i", PNG, [("Content-Type", "image/png")])
    refers = {"WARC_Refers_To_Target_URI": "http://a.example/i", "WARC_Profile": "x"}
    archive.add(
        "http://b.example/again", b"", kind="revisit", WARC_Payload_Digest="sha1:X", **refers
    )
    archive.add("http://b.example/lost", b"", kind="revisit", WARC_Profile="x")
    found = rows(archive.bytes)
    assert kept(found) == ["i", "again"]
    assert [reason for _, reason in rejected(found)] == ["record:revisit"]
    assert read_response(found[1]["path"], None, found[1]["offset"])[1] == PNG


def test_a_file_that_is_not_there_does_not_stop_the_others(tmp_path):
    (tmp_path / "a").write_bytes(pages(1).bytes)
    table = pa.table(
        {"path": [str(tmp_path / name) for name in ("no", "a", "")], "name": list("xyz")}
    )
    found = pa.concat_tables(records_step(RecordsParams()).apply(table, None)).to_pylist()
    assert [(row["name"], row["reason"]) for row in found] == [
        ("x", "archive:unreadable"),
        ("y", None),
        ("z", "archive:unreadable"),
    ]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("gz", [True, False])
def test_a_wacz_of_two_archives(rows, compression, gz):
    images = Archive(gz=gz).add("http://a.example/p")
    images.add("http://a.example/i", PNG, [("Content-Type", "image/png")])
    again = {"WARC_Refers_To_Target_URI": "http://a.example/i", "WARC_Profile": "x"}
    more = pages(2, gz=gz).add("http://a.example/j", b"", kind="revisit", **again)
    members = {"archive/a.warc.gz": images.bytes, "archive/b.warc": more.bytes}
    found = rows(wacz(members, compression))
    assert kept(found) == ["p", "i", "0", "1", "j"]
    assert [row["member"][8] for row in found] == list("aabba")
    for row in found:
        if row["kind"] == "image":
            assert read_response(row["path"], row["member"], row["offset"])[1] == PNG


def test_a_wacz_with_one_broken_archive_gives_the_other(rows):
    archive = pages(3)
    members = {"archive/a.warc.gz": archive.bytes[:-99], "archive/b.warc.gz": archive.bytes}
    found = rows(wacz(members))
    assert kept(found) == ["0", "1", "0", "1", "2"]
    assert rejected(found) == [(archive.offsets[2], "record:truncated")]


def test_a_deflated_archive_that_is_broken_is_told(rows):
    data = wacz({"archive/a.warc": pages(3, gz=False).bytes}, zipfile.ZIP_DEFLATED)
    middle = data.index(b"a.warc") + 300
    found = rows(data[:middle] + bytes(50) + data[middle + 50 :])
    assert rejected(found)[-1][1] == "archive:unreadable"


def test_a_cut_wacz_is_searched_for_records(rows):
    archive = Archive().add("http://a.example/p")
    archive.add("http://a.example/i", PNG, [("Content-Type", "image/png")])
    found = rows(wacz({"archive/a.warc.gz": archive.bytes})[:-60])
    assert kept(found) == ["p", "i"]
    assert found[0]["reason"] == "archive:broken_zip"
    assert read_response(found[2]["path"], None, found[2]["offset"])[1] == PNG


ZIPPED = wacz({"archive/a.warc": pages(2, gz=False).bytes}, zipfile.ZIP_DEFLATED)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(ZIPPED) - 1), st.binary(min_size=1, max_size=9))
def test_no_damage_to_a_zip_raises_or_is_silent(tmp_path_factory, place, noise):
    path = tmp_path_factory.mktemp("zip") / "a.wacz"
    path.write_bytes(ZIPPED[:place] + noise + ZIPPED[place + len(noise) :])
    found = read(path)
    assert kept(found) == ["0", "1"] or rejected(found)


def test_a_zip_without_archives_is_told(rows):
    assert rejected(rows(wacz({"pages/pages.jsonl": "{}"}))) == [(0, "archive:no_warc_inside")]


def test_reading_a_payload_where_there_is_none_explains_itself(tmp_path):
    path = tmp_path / "a.warc.gz"
    archive = pages(2)
    path.write_bytes(archive.bytes)
    with pytest.raises(PayloadError, match="Has the archive changed"):
        read_response(str(path), None, 7)
    with pytest.raises(PayloadError, match="Cannot open"):
        read_response(str(tmp_path / "gone"), None, 0)
    with pytest.raises(PayloadError, match=r"Cannot open .*zip"):
        read_response(str(path), "archive/a.warc.gz", 0)
    with pytest.raises(PayloadError, match="larger than 100 bytes"):
        read_response(str(path), None, archive.offsets[1], max_bytes=100)


def test_tables_are_of_bounded_size(tmp_path):
    path = tmp_path / "a.warc.gz"
    path.write_bytes(pages(600).bytes)
    table = pa.table({"path": [str(path)], "name": ["in"]})
    step = records_step(RecordsParams())
    assert [part.num_rows for part in step.apply(table, None)] == [256, 256, 88]
    assert step.writes == RECORDS
    assert canonical(step.params) == {
        "class": "RecordsParams",
        "max_page_bytes": 10_000_000,
        "max_damage": 1000,
    }


def test_the_whole_output_does_not_depend_on_the_place_of_the_file(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(pages(3).bytes)
    first, second = (read(tmp_path / name) for name in ("one", "two"))
    for row in first + second:
        del row["path"]
    assert [row["offset"] for row in first] != [0, 0, 0]
    # Record ids are random, so are the lengths of their gzip members: offsets may differ.
    for row in first + second:
        del row["offset"]
    assert first == second
