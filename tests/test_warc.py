"""WARC framing: after any damage the rest is read, and each damage is told."""

import gzip

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mella.builders.culture.archives.records import RecordsParams
from web_archives import PAGE, PNG, kept, pages, read, rejected


@pytest.fixture
def rows(tmp_path):
    def rows_of(data, params=None):
        path = tmp_path / "archive.warc.gz"
        path.write_bytes(data)
        return read(path, params)

    return rows_of


def test_one_gzip_member_around_all_gives_pages_and_says_that_images_cannot_be_found(rows):
    archive = pages(2, gz=False).add("http://a.example/i", PNG, [("Content-Type", "image/png")])
    found = rows(gzip.compress(archive.bytes))
    assert kept(found) == ["0", "1"]
    assert rejected(found) == [(0, "record:not_seekable")]


def test_gzip_blocks_cut_anywhere_are_one_stream(rows):
    data = pages(5, gz=False).bytes
    blocks = [gzip.compress(data[i : i + 1001]) for i in range(0, len(data), 1001)]
    assert kept(rows(b"".join(blocks))) == list("01234")


@pytest.mark.parametrize("gz", [True, False])
class TestDamage:
    """In a file of five records, what is not damaged is kept, and each damage is one row."""

    def test_cut_inside_a_record(self, rows, gz):
        archive = pages(5, gz=gz)
        start, end = archive.offsets[3:]
        for cut in (start + 10, (start + end) // 2, end - 40):
            found = rows(archive.bytes[:cut])
            assert kept(found) == list("012")
            assert rejected(found) == [(start, "record:truncated")]

    def test_garbage_before_between_and_behind(self, rows, gz):
        archive = pages(5, gz=gz)
        garbage = b"\0 no record \x1f\x8b\x08 WARC/1.0\r\n\r\n" * 9
        data, third = archive.bytes, archive.offsets[2]
        found = rows(data[:third] + garbage + data[third:] + garbage)
        assert kept(found) == list("01234")
        places = [third, len(data) + len(garbage)]
        assert rejected(found) == [(place, "record:malformed") for place in places]
        found = rows(garbage + data)
        assert kept(found) == list("01234")
        assert len(rejected(found)) == 1

    def test_a_crash_and_a_new_start_in_the_same_file(self, rows, gz):
        archive = pages(5, gz=gz)
        start, end = archive.offsets[3:]
        found = rows(archive.bytes[: (start + end) // 2] + archive.bytes)
        assert kept(found) == list("01201234")
        ((place, reason),) = rejected(found)
        assert place == start
        assert reason in ("record:damaged", "record:malformed")

    def test_a_header_that_lies_about_the_length(self, rows, gz):
        archive = pages(1, gz=False)
        record = archive.bytes
        length = record[record.index(b"\r\n\r\n") - 8 :][:8].split()[-1]
        for lie in (b"9" * len(length), b"7", b"-5", b"9" * 30):
            broken = record.replace(b"Content-Length: " + length, b"Content-Length: " + lie, 1)
            assert broken != record
            parts = [record, broken, record]
            found = rows(b"".join(map(gzip.compress, parts) if gz else parts))
            assert kept(found) == ["0", "0"]
            assert len(rejected(found)) == 1

    def test_any_bytes_at_the_end_change_nothing_before(self, rows, gz):
        data = pages(2, gz=gz).bytes
        for tail in (b"\r\n" * 9, b"WARC/1.0", b"\x1f\x8b", b"\x1f", b"\0" * 70_000):
            assert kept(rows(data + tail)) == ["0", "1"]


def test_flipped_bits_in_a_gzip_member_are_caught(rows):
    archive = pages(5)
    for place in range(archive.offsets[2] + 20, archive.offsets[3] - 1, 37):
        data = bytearray(archive.bytes)
        data[place] ^= 0x10
        found = rows(bytes(data))
        assert kept(found) == list("0134")
        assert rejected(found)[0] == (archive.offsets[2], "record:damaged")


def test_a_lost_checksum_at_the_end_is_told(rows):
    archive = pages(2)
    found = rows(archive.bytes[:-3])
    assert kept(found) == ["0", "1"]
    assert rejected(found) == [(archive.offsets[1], "archive:truncated")]


def test_damage_has_a_limit(rows):
    good, bad = pages(1, gz=False).bytes, b"WARC/1.0\r\nWARC-Type: x\r\n\r\n"
    found = rows(good + bad * 50 + good, RecordsParams(max_damage=10))
    assert kept(found) == ["0"]
    assert [reason for _, reason in rejected(found)][-1] == "archive:too_damaged"
    assert len(rejected(found)) == 11


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "archive:empty"),
        (b"\r\n" * 9, "archive:empty"),
        (gzip.compress(b""), "archive:empty"),
        (b"hello\n" * 99, "archive:not_warc"),
        (gzip.compress(b"hello\n" * 99), "archive:not_warc"),
        (b"\x1f\x8b\x08" + b"\xff" * 99, "archive:unreadable"),
        (b"filedesc://a.arc 0.0.0.0 2000 text/plain 76\n", "archive:arc_unsupported"),
        (gzip.compress(b"filedesc://a.arc 0.0.0.0 20 text/plain 7\n"), "archive:arc_unsupported"),
        (b"\x28\xb5\x2f\xfd" + b"\0" * 99, "archive:zstd_unsupported"),
        (b"PK\x03\x04" + b"\0" * 99, "archive:broken_zip"),
    ],
)
def test_a_file_that_is_something_else_is_one_row(rows, data, reason):
    assert rejected(rows(data)) == [(0, reason)]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**20), st.integers(0, 400))
@example(b"\x04", 3, 0)  # a gzip header that claims the members behind it
def test_no_damage_raises_and_none_is_silent(tmp_path_factory, noise, place, removed):
    path = tmp_path_factory.mktemp("fuzz") / "a.warc.gz"
    data = PAGES_GZ
    place %= len(data)
    path.write_bytes(data[:place] + noise + data[place + removed :])
    found = read(path)
    assert len(kept(found)) >= 1
    whole = [row["body"] for row in found if row["reason"] is None]
    if len(whole) < 4 and not (removed and place + removed >= len(data) and place in STARTS):
        assert rejected(found)
    assert set(whole) <= {PAGE + b"<p>%d</p>" % i * 200 for i in range(4)}


_four = pages(4)
PAGES_GZ, STARTS = _four.bytes, set(_four.offsets)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_an_archive_of_something(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "a.warc"
    path.write_bytes(data)
    assert rejected(read(path))
