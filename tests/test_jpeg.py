"""JPEG segments: metadata goes, pixels and the bytes that code them stay."""

import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from mella.errors import MellaError
from mella.jpeg import JpegError, TruncatedJpegError, dimensions, read_frame, strip_metadata

XMP = b"http://ns.adobe.com/xap/1.0/\0"
PLACE = b"N 50.0875, home of Jana"
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(mode="RGB", size=(67, 41)):
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], len(mode)), np.uint8)
    return Image.frombytes(mode, size, noise.tobytes())


def jpeg(mode="RGB", size=(67, 41), **options):
    file = io.BytesIO()
    picture(mode, size).save(file, "JPEG", **options)
    return file.getvalue()


def exif(orientation=None):
    tags = Image.Exif()
    tags[0x010F] = "Maker of cameras"
    if orientation:
        tags[0x0112] = orientation
    tags.get_ifd(0x8825).update({1: "N", 2: (50.0, 5.0, 15.0), 29: "2024:01:02"})
    return tags.tobytes()


def pixels(data):
    image = Image.open(io.BytesIO(data))
    return image.mode, image.tobytes()


def segment(marker, payload):
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def insert(data, *segments):
    return data[:2] + b"".join(segments) + data[2:]


def walk(data):
    """List (marker, payload) of the segments before the first scan, independently of mella."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


PLAIN = jpeg()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 2])
def test_metadata_goes_and_the_compressed_data_stay(mode, progressive, restart):
    options = {"progressive": progressive, "restart_marker_blocks": restart, "quality": 92}
    data = jpeg(
        mode, exif=exif(), xmp=PLACE, comment=PLACE, icc_profile=ICC, dpi=(300, 300), **options
    )
    photoshop = segment(0xED, b"Photoshop 3.0\0" + PLACE)
    data = insert(data, photoshop, segment(0xE3, PLACE), segment(0xE2, b"MPF\0" + PLACE))
    clean = strip_metadata(data)

    assert pixels(clean) == pixels(data)
    assert clean[clean.index(b"\xff\xda") :] == data[data.index(b"\xff\xda") :]
    for trace in (PLACE, XMP, b"Exif", b"Maker", b"2024:01:02", b"Photoshop", b"MPF"):
        assert trace in data
        assert trace not in clean
    assert Image.open(io.BytesIO(clean)).info["icc_profile"] == ICC
    assert Image.open(io.BytesIO(clean)).info.get("dpi") == (300, 300)
    assert len(Image.open(io.BytesIO(clean)).getexif()) == 0


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("order", ["II", "MM"])
def test_orientation_is_all_that_is_left_of_exif(orientation, order):
    tags = Image.Exif()
    tags.load(b"Exif\0\0" + {"II": b"II*\0\x08\0\0\0\0\0", "MM": b"MM\0*\0\0\0\x08\0\0"}[order])
    tags[0x010F], tags[0x0112] = "Maker of cameras", orientation
    data = jpeg(exif=tags.tobytes())
    assert order.encode() in data[:64]
    clean = strip_metadata(data)

    assert dict(Image.open(io.BytesIO(clean)).getexif()) == {0x0112: orientation}
    assert len([1 for marker, _ in walk(clean) if marker == 0xE1]) == 1
    before, after = (ImageOps.exif_transpose(Image.open(io.BytesIO(d))) for d in (data, clean))
    assert before.tobytes() == after.tobytes()


def test_the_upright_orientation_needs_no_exif():
    assert strip_metadata(jpeg(exif=exif(1))) == strip_metadata(PLAIN)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_is_dropped(value):
    assert b"Exif" not in strip_metadata(jpeg(exif=exif(value)))


def test_thumbnails_are_dropped():
    thumbnail = b"JFIF\0\x01\x02\x01\0\x48\0\x48\x02\x01" + b"\xaa\xbb\xcc" * 2
    data = b"\xff\xd8" + segment(0xE0, thumbnail) + segment(0xE0, b"JFXX\0\x10" + PLACE)
    data += PLAIN[2:][len(segment(0xE0, walk(PLAIN)[0][1])) :]
    clean = strip_metadata(data)
    assert walk(clean)[0] == (0xE0, thumbnail[:12] + b"\0\0")
    assert PLACE not in clean
    assert pixels(clean) == pixels(data)


def test_a_second_image_and_what_follows_the_end_are_dropped():
    for tail in (PLAIN, PLACE, b"\0" * 9, b"\xff"):
        assert strip_metadata(PLAIN + tail) == strip_metadata(PLAIN)


def test_the_colour_transform_of_adobe_stays():
    data = jpeg(keep_rgb=True)
    assert 0xEE in dict(walk(data))
    longer = data.replace(segment(0xEE, dict(walk(data))[0xEE]), b"")
    longer = insert(longer, segment(0xEE, dict(walk(data))[0xEE] + PLACE))
    clean = strip_metadata(longer)
    assert pixels(clean) == pixels(data) != pixels(strip_metadata(PLAIN))
    assert PLACE not in clean


def test_comments_between_the_scans_are_dropped():
    data = jpeg(progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    table = data.rindex(b"\xff\xc4", 0, second)
    noisy = data[:table] + b"\xff\xff" + segment(0xFE, PLACE)[1:] + data[table:]
    clean = strip_metadata(noisy)
    assert PLACE not in clean
    assert pixels(clean) == pixels(data)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("mode", "components"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_the_frame_is_read_as_pillow_reads_it(mode, components, progressive):
    data = insert(jpeg(mode, progressive=progressive), segment(0xE1, b"Exif\0\0" + PLAIN))
    frame = read_frame(data)
    assert dimensions(data) == (frame.width, frame.height) == Image.open(io.BytesIO(data)).size
    assert (frame.components, frame.precision) == (components, 8)
    assert frame.process == (2 if progressive else 0)
    assert dimensions(data[: data.rindex(b"\xff\xda") + 20]) == (67, 41)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"GIF89a" + PLAIN, b"<html>", PLAIN[1:], b"\xff\xd8\xff\xd9"]
)
def test_what_is_no_jpeg_is_refused(data):
    for read in (strip_metadata, dimensions):
        with pytest.raises(JpegError) as caught:
            read(data)
        assert isinstance(caught.value, MellaError)


def test_tables_without_an_image_are_refused():
    tables = b"\xff\xd8" + segment(0xDB, b"\0" + bytes(64)) + b"\xff\xd9"
    with pytest.raises(JpegError, match="no image"):
        strip_metadata(tables)
    with pytest.raises(JpegError, match="no image"):
        dimensions(tables)


def test_a_frame_without_height_is_refused():
    at = PLAIN.index(b"\xff\xc0") + 5
    with pytest.raises(JpegError, match="67 x 0"):
        dimensions(PLAIN[:at] + b"\0\0" + PLAIN[at + 2 :])


@given(st.integers(3, len(PLAIN) - 1))
@example(len(PLAIN) - 1)
@example(len(PLAIN) - 2)
def test_every_cut_is_noticed(length):
    with pytest.raises(TruncatedJpegError, match=f"{length} bytes"):
        strip_metadata(PLAIN[:length])


segments = st.builds(
    segment,
    st.one_of(st.integers(0xE0, 0xEF), st.just(0xFE)),
    st.builds(
        bytes.__add__,
        st.sampled_from([b"", b"JFIF\0", b"JFXX\0", b"Exif\0\0", XMP, b"MPF\0", b"Adob"]),
        st.binary(max_size=40),
    ),
)


@given(st.lists(segments, max_size=6), st.integers(0, 3), st.binary(max_size=9))
def test_any_metadata_goes_and_cleaning_again_changes_nothing(added, fill, tail):
    data = insert(PLAIN, *(b"\xff" * fill + part for part in added)) + tail
    clean = strip_metadata(data)
    assert strip_metadata(clean) == clean
    assert clean.endswith(strip_metadata(PLAIN)[20:])
    assert {marker for marker, _ in walk(clean)} <= {0xE0, 0xE1, 0xDB, 0xC0, 0xC4}
    assert all(len(p) == 14 for marker, p in walk(clean) if marker == 0xE0)
    assert all(len(p) == 32 for marker, p in walk(clean) if marker == 0xE1)
    assert Image.open(io.BytesIO(clean)).tobytes() == Image.open(io.BytesIO(PLAIN)).tobytes()


@given(st.lists(st.tuples(st.integers(2, len(PLAIN) - 1), st.binary(max_size=3)), max_size=4))
def test_damage_raises_one_kind_of_error_or_leaves_a_fixed_point(changes):
    data = PLAIN
    for at, new in changes:
        data = data[:at] + new + data[at + 2 :]
    try:
        clean = strip_metadata(data)
    except JpegError:
        return
    assert strip_metadata(clean) == clean


@given(st.binary(max_size=60))
def test_any_bytes_behind_a_start_raise_nothing_else(tail):
    for read in (strip_metadata, dimensions):
        try:
            read(b"\xff\xd8\xff" + tail)
        except JpegError as error:
            assert str(error)  # noqa: PT017


def test_long_runs_of_fill_bytes_take_linear_time():
    # In a scan of nothing but 0xFF, a pattern that backs up would never end.
    scan = PLAIN.index(b"\xff\xda") + 14
    data = PLAIN[:scan] + b"\xff" * 2_000_000 + b"\0\xff\xd9"
    assert strip_metadata(data).endswith(b"\xff\0\xff\xd9")
