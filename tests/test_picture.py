"""Pictures: what is kept keeps its pixels, what is not has a reason, and no bomb is decoded."""

import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from mella.builders.culture.images.phash import perceptual_hash
from mella.builders.culture.images.picture import (
    ImageRules,
    RejectedImage,
    StoredImage,
    normalise_image,
)
from mella.jpeg import strip_metadata
from pictures import load, picture, save

RULES = ImageRules()
SECRET = b"N 50.0875, home of Jana"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def kept(data, **changes):
    made = normalise_image(data, ImageRules(**changes))
    assert isinstance(made, StoredImage), made
    return made


def reason(data, **changes):
    made = normalise_image(data, ImageRules(**changes))
    assert isinstance(made, RejectedImage), made
    return made.reason


def distance(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


def difference(a, b):
    """Mean absolute difference of two pictures, of 255."""
    return np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)).mean()


# What is kept


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_keeps_its_bytes_without_metadata(mode, progressive):
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = SECRET.decode(), 6
    data = save(
        picture(mode), "JPEG", exif=tags, comment=SECRET, xmp=SECRET, progressive=progressive
    )
    made = kept(data)
    assert made.data == strip_metadata(data)
    assert SECRET not in made.data
    assert load(made.data).tobytes() == load(data).tobytes()
    assert (made.width, made.height, made.original_format) == (240, 180, "jpeg")
    assert load(made.data).getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("kind", "name"),
    [("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tiff"),
     ("AVIF", "avif")],
)  # fmt: skip
def test_other_formats_are_transcoded_once(kind, name):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = save(picture(), kind, **options)
    made = kept(data)
    stored = load(made.data)
    assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", (240, 180))
    assert (made.width, made.height, made.original_format) == (240, 180, name)
    assert stored.layer[0][1:3] == (1, 1) == stored.layer[1][1:3]  # 4:4:4
    # The dots of a palette are hard for a JPEG.
    assert difference(stored, load(data).convert("RGB")) < (3 if kind == "GIF" else 1.5)
    assert kept(data) == made
    assert kept(made.data).data == made.data


def test_metadata_of_other_formats_does_not_come_along():
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    tags = Image.Exif()
    tags[0x010F] = SECRET.decode()
    gif = picture("P")
    for data in (
        save(picture(), "PNG", pnginfo=text, exif=tags),
        save(picture(), "WEBP", exif=tags.tobytes(), xmp=SECRET),
        save(gif, "GIF", comment=SECRET),
        save(picture(), "TIFF", description=SECRET.decode()),
    ):
        assert SECRET in data
        made = kept(data)
        assert SECRET not in made.data
        assert made.data == strip_metadata(made.data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_orientation_is_applied_when_transcoding(kind):
    tags = Image.Exif()
    tags[0x0112] = 6
    made = kept(save(picture(), kind, exif=tags.tobytes()))
    stored = load(made.data)
    assert stored.size == (made.width, made.height) == (180, 240)
    assert 0x0112 not in stored.getexif()
    assert difference(stored, picture().transpose(Image.Transpose.ROTATE_270)) < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_lies_over_white(kind):
    image = picture("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    expected = Image.new("RGB", image.size, "white")
    expected.paste(image, mask=image.getchannel("A"))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    assert difference(load(kept(save(image, kind, **options)).data), expected) < 1.5


def test_a_transparent_colour_of_a_palette_lies_over_white():
    image = picture("P")
    image.paste(7, (0, 0, 120, 180))
    stored = load(kept(save(image, "GIF", transparency=7)).data)
    assert stored.getpixel((20, 90)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_pixels_is_brought_to_8_bits(mode):
    if mode == "I;16":
        grey = np.asarray(picture("L")).astype(np.uint16)
        image = Image.fromarray(grey * 257)
        expected = picture("L")
    else:
        image = picture(mode)
        expected = None if mode in ("RGBA", "LA") else image.convert("RGB")
    stored = load(kept(save(image, "PNG")).data)
    assert stored.mode in ("L", "RGB")
    if expected is not None:
        assert difference(stored.convert("RGB"), expected.convert("RGB")) < 5


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_an_unknown_range_are_a_reason(mode):
    assert reason(save(picture("L").convert(mode), "TIFF")) == "image:pixel_format"


def test_cmyk_becomes_rgb():
    data = save(picture("CMYK"), "JPEG", quality=95, icc_profile=SRGB)
    made = kept(data)
    stored = load(made.data)
    assert (stored.mode, made.original_format) == ("RGB", "jpeg")
    assert difference(stored, load(data).convert("RGB")) < 1.5


def test_a_profile_is_kept_where_it_fits():
    assert load(kept(save(picture(), "PNG", icc_profile=SRGB)).data).info["icc_profile"] == SRGB
    assert load(kept(save(picture(), "JPEG", icc_profile=SRGB)).data).info["icc_profile"] == SRGB
    grey = kept(save(picture("L"), "PNG", icc_profile=SRGB))
    assert "icc_profile" not in load(grey.data).info


def test_a_second_image_in_a_jpeg_is_no_animation():
    data = save(picture(), "MPO", save_all=True, append_images=[picture(seed=2)])
    assert load(data).n_frames == 2
    made = kept(data)
    assert load(made.data).format == "JPEG"
    assert len(made.data) < 0.7 * len(data)


# What is not


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width, height):
    """A valid PNG of one colour."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_a_bomb_is_not_decoded_and_no_warning_leaks():
    small = bomb(11_000, 9_000)
    assert len(small) < 400_000
    # A header alone shows that the rest is never looked at.
    header = bomb(50_000, 1)[:16] + struct.pack(">II", 50_000, 50_000) + small[24:29]
    promised = header + struct.pack(">I", zlib.crc32(header[12:29])) + small[33:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (small, promised):
            made = normalise_image(data, RULES)
            assert isinstance(made, RejectedImage)
            assert made.reason == "image:too_many_pixels"
        assert (made.width, made.height, made.original_format) == (50_000, 50_000, "png")


def test_the_limits_do_not_depend_on_those_of_the_process(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert kept(save(picture(), "PNG")).width == 240
    assert kept(save(picture(), "JPEG")).width == 240


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_animations_are_rejected_whatever_they_are_called(kind):
    frames = [picture(seed=2), picture(seed=3)]
    data = save(picture(), kind, save_all=True, append_images=frames)
    made = normalise_image(data, RULES)
    assert isinstance(made, RejectedImage)
    assert (made.reason, made.width, made.height) == ("image:animated", 240, 180)
    first = load(kept(data, reject_animated=False).data)
    assert difference(first, picture()) < 10
    assert min(difference(first, frame) for frame in frames) > 20


@pytest.mark.parametrize(
    ("size", "why"),
    [((149, 400), "image:too_small"), ((400, 149), "image:too_small"), ((1, 1), "image:too_small"),
     ((451, 150), "image:aspect"), ((150, 451), "image:aspect")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_limits_of_the_sides(size, why, kind):
    made = normalise_image(save(picture(size=size), kind), ImageRules(min_bytes=0))
    assert isinstance(made, RejectedImage)
    assert (made.reason, made.width, made.height) == (why, *size)


def test_the_limits_are_inclusive():
    assert kept(save(picture(size=(450, 150)), "PNG")).width == 450
    assert kept(save(picture(), "PNG"), max_pixels=240 * 180).width == 240
    assert reason(save(picture(), "PNG"), max_pixels=240 * 180 - 1) == "image:too_many_pixels"
    data = save(picture(), "JPEG")
    assert kept(data, max_bytes=len(data), min_bytes=len(data)).width == 240
    assert reason(data, max_bytes=len(data) - 1) == "image:too_large"
    assert reason(data, min_bytes=len(data) + 1) == "image:too_few_bytes"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "image:empty"),
        (b"<!doctype html><title>404</title>" + b" " * 999, "image:not_an_image"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
            "image:svg",
        ),
        (b"\0" * 9999, "image:not_an_image"),
    ],
)
def test_what_is_no_image_is_a_reason(data, why):
    assert reason(data) == why


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + bytes(9999),
        b"\x89PNG\r\n\x1a\n" + b"a" * 9999,
        b"GIF89a" + b"\xff" * 9999,
        b"RIFF\xff\xff\0\0WEBPVP8 " + b"a" * 9999,
        b"II*\0" + b"\xff" * 9999,
    ],
)
def test_what_only_begins_like_an_image_is_a_reason(data):
    # Decoders differ in whether a length beyond the end of the file is a cut or a fault.
    assert reason(data) in ("image:corrupt", "image:truncated")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_is_noticed_and_raises_nothing(kind, share):
    data = save(picture(), kind)
    made = normalise_image(data[: int(share * len(data))], RULES)
    allowed = {"image:truncated"} if kind in ("JPEG", "PNG", "GIF", "BMP") else set()
    assert isinstance(made, RejectedImage)
    assert made.reason in allowed or (
        kind in ("TIFF", "WEBP") and made.reason in ("image:truncated", "image:corrupt")
    )


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_bytes_is_cut(progressive):
    data = save(picture(), "JPEG", progressive=progressive)
    for lost in (1, 2, 3, 500):
        made = normalise_image(data[:-lost], RULES)
        assert isinstance(made, RejectedImage)
        assert (made.reason, made.width, made.height) == ("image:truncated", 240, 180)


def test_a_jpeg_of_countless_scans_is_not_decoded():
    data = save(picture(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    made = normalise_image(data[:-2] + data[last:-2] * 200 + b"\xff\xd9", RULES)
    assert isinstance(made, RejectedImage)
    assert made.reason == "image:too_many_scans"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_empty_picture_is_rejected(kind):
    nearly = np.full((200, 200, 3), 90, np.uint8)
    nearly[::7, ::5] = 96
    for image in (Image.new("RGB", (200, 200), "red"), Image.fromarray(nearly)):
        assert reason(save(image, kind), min_bytes=0) == "image:uniform"
    halves = Image.new("RGB", (200, 200), "red")
    halves.paste("blue", (0, 0, 100, 200))
    assert kept(save(halves, kind), min_bytes=0).width == 200


def test_one_colour_over_transparency_is_judged_as_seen():
    image = Image.new("RGBA", (200, 200), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (50, 50, 100, 100))
    assert reason(save(image, "PNG"), min_bytes=0) == "image:uniform"


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=5),
    length=st.floats(0.2, 1),
)
def test_damage_never_raises(kind, changes, length):
    data = save(picture(), kind)
    for share, new in changes:
        at = int(share * len(data))
        data = data[:at] + new + data[at + len(new) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = normalise_image(data[: int(length * len(data))], RULES)
    if isinstance(made, StoredImage):
        assert load(made.data).size == (made.width, made.height)
    else:
        assert made.reason.startswith("image:")


def tiff(width, height, tile, data):
    """A grey TIFF, deflated, of one square tile."""
    long, short, one = 4, 3, 1
    tags = [(256, short, width), (257, short, height), (258, short, 8), (259, short, 8),
            (262, short, one), (277, short, one), (322, long, tile), (323, long, tile),
            (324, long, 8), (325, long, len(data))]  # fmt: skip
    values = {short: "<HHIHxx", long: "<HHII"}
    entries = b"".join(struct.pack(values[kind], tag, kind, 1, v) for tag, kind, v in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def test_a_tile_counts_as_it_is_decoded():
    pixels = np.asarray(picture("L", (512, 512))).tobytes()
    assert kept(tiff(200, 200, 512, zlib.compress(pixels))).width == 200
    assert reason(tiff(200, 200, 30_000, zlib.compress(pixels))) == "image:too_many_pixels"


def test_a_jpeg_with_a_second_frame_header_is_not_decoded():
    data = save(picture(), "JPEG")
    at = data.index(b"\xff\xc0")
    header = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
    larger = header[:5] + struct.pack(">HH", 65_500, 65_500) + header[9:]
    assert reason(data[:at] + header + larger + data[at + len(header) :]) == "image:corrupt"


MEASURE = """
import pathlib, resource, sys
from mella.builders.culture.images.phash import perceptual_hash
from mella.builders.culture.images.picture import ImageRules, normalise_image
normalise_image(pathlib.Path(sys.argv[2]).read_bytes(), ImageRules())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = normalise_image(pathlib.Path(sys.argv[1]).read_bytes(), ImageRules())
print(made.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_cost_no_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)  # one bit for each pixel
    pixels = zlib.compress(bytes(30_000 * (1 + 30_000 // 8)), 9)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    bombs = {
        "png": b"\x89PNG\r\n\x1a\n" + png,
        "tiff": tiff(200, 200, 12_000, zlib.compress(bytes(12_000**2), 9)),
    }
    (tmp_path / "warm").write_bytes(save(picture(), "PNG"))
    for name, data in bombs.items():
        assert len(data) < 900_000
        (tmp_path / name).write_bytes(data)
        command = [sys.executable, "-c", MEASURE, str(tmp_path / name), str(tmp_path / "warm")]
        told, grown = subprocess.run(command, check=True, capture_output=True).stdout.split()
        assert told == b"image:too_many_pixels"
        assert int(grown) < 20_000 * (1024 if sys.platform == "darwin" else 1)


# The perceptual hash


def test_the_hash_is_of_the_upright_picture():
    tags = Image.Exif()
    tags[0x0112] = 8
    turned = picture().transpose(Image.Transpose.ROTATE_270)
    data = save(turned, "JPEG", exif=tags, quality=95)
    assert difference(ImageOps.exif_transpose(load(data)), picture()) < 5
    assert distance(kept(data).phash, perceptual_hash(picture())) <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_the_hash_does_not_hang_on_the_format(kind):
    assert distance(kept(save(picture(), kind)).phash, perceptual_hash(picture())) <= 4
