import io
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from mella.decode import Decoding, ImageError, MissingPackageError, SizeError, make_decoder
from mella.errors import MellaError, UnknownNameError

BOTH = pytest.mark.parametrize("fast", [False, True], ids=["pillow", "fast"])


def photo(width, height, seed=0):
    """Draw what photos have: soft shades, hard edges, fine texture and a little noise."""
    random = np.random.default_rng(seed)
    shades = random.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(shades).resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        x, y = random.integers(0, width), random.integers(0, height)
        radius = random.integers(2, max(3, min(width, height) // 6))
        colour = tuple(random.integers(0, 255, 3).tolist())
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    texture = random.normal(0, 20, (height // 3 + 1, width // 3 + 1)).repeat(3, 0).repeat(3, 1)
    noise = random.normal(0, 3, (height, width, 3))
    pixels = np.asarray(image) + texture[:height, :width, None] + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encode(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **{"quality": 90, **options})
    return file.getvalue()


def decode(data, **options):
    return make_decoder(Decoding(**options))(data)


def exact(data, size, resample=Image.Resampling.BICUBIC):
    """Decode in full and resize in floating point: what every path has to come near to."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)
    bands = [Image.fromarray(pixels[..., i]).resize(size, resample) for i in range(3)]
    return np.stack([np.asarray(band) for band in bands], axis=-1).clip(0, 255)


def differences(ours, theirs):
    return np.abs(np.asarray(ours, np.float32) - np.asarray(theirs, np.float32))


@BOTH
@pytest.mark.parametrize(
    ("stored", "size", "expected"),
    [
        ((640, 480), None, (640, 480)),
        ((640, 480), 240, (320, 240)),
        ((480, 640), 240, (240, 320)),
        ((1000, 667), 448, (672, 448)),
        ((300, 200), 448, (300, 200)),
        ((300, 200), 200, (300, 200)),
        ((900, 2), 1, (450, 1)),
        ((300, 200), (224, 224), (224, 224)),
        ((30, 20), (224, 100), (224, 100)),
        ((2, 900), (64, 64), (64, 64)),
        ((1, 1), (7, 5), (7, 5)),
    ],
)
def test_result_has_the_size_asked_for(fast, stored, size, expected):
    assert decode(encode(photo(*stored)), size=size, fast=fast).size == expected


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.one_of(st.integers(1, 100), st.tuples(st.integers(1, 100), st.integers(1, 100))),
    crop=st.booleans(),
    fast=st.booleans(),
)
@example(width=5, height=119, size=(1, 29), crop=True, fast=False)  # 119 - 29 * (119 / 29) < 0
def test_any_image_becomes_any_size(width, height, size, crop, fast):
    data = encode(Image.new("RGB", (width, height), (200, 100, 50)))
    crop = crop and isinstance(size, tuple)
    result = decode(data, size=size, crop=crop, fast=fast)
    if isinstance(size, tuple):
        assert result.size == size
    else:
        short = min(size, width, height)
        assert min(result.size) == short
        assert abs(max(result.size) - max(width, height) * short / min(width, height)) <= 0.5
    # A plain picture stays plain up to its edges.
    assert differences(result, (200, 100, 50)).max() <= 3


@BOTH
@pytest.mark.parametrize("size", [(60, 60), (120, 60), (60, 120)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_crop_cuts_both_sides_evenly_instead_of_distorting(fast, size, orientation):
    image = photo(400, 300)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = ImageOps.fit(upright, size, Image.Resampling.BICUBIC)
    result = decode(data, size=size, crop=True, fast=fast)
    assert differences(result, expected).mean() < 3
    squashed = decode(data, size=size, fast=fast)
    assert differences(squashed, expected).mean() > 10


@BOTH
@pytest.mark.parametrize("size", [None, 40, (50, 30)])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied_before_the_size(fast, orientation, size):
    image = photo(160, 120)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = decode(encode(upright, quality=100, subsampling=0), size=size, fast=fast)
    result = decode(data, size=size, fast=fast)
    assert result.size == expected.size
    assert differences(result, expected).mean() < 2
    # Whoever applies the orientation again changes nothing.
    assert ImageOps.exif_transpose(result).tobytes() == result.tobytes()


def test_nonsense_in_exif_does_not_lose_the_picture():
    data = encode(photo(64, 48), exif=b"Exif\0\0" + b"nonsense" * 4)
    assert decode(data, size=24).size == (32, 24)


@BOTH
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
        ("CMYK", {"subsampling": 2}),
        ("RGB", {"keep_rgb": True}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 2, "progressive": True}),
    ],
)
def test_every_colour_space_becomes_rgb(fast, mode, options):
    data = encode(photo(96, 64).convert(mode), **options)
    full = decode(data, fast=fast)
    assert full.mode == "RGB"
    assert full.tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    small = decode(data, size=50, fast=fast)
    assert small.mode == "RGB"
    assert differences(small, exact(data, small.size)).mean() < 1


@pytest.mark.parametrize(
    ("stored", "size"),
    [
        ((640, 480), 448),
        ((800, 600), 448),
        ((600, 800), (448, 448)),
        ((640, 480), (800, 800)),
        ((1003, 667), 224),
        ((1003, 667), 50),
    ],
)
def test_fast_and_pillow_agree_within_the_stated_tolerance(stored, size):
    data = encode(photo(*stored))
    apart = differences(decode(data, size=size, fast=True), decode(data, size=size, fast=False))
    assert apart.mean() < 0.3
    assert np.percentile(apart, 99.9) <= 2
    assert apart.max() <= 16


@BOTH
@pytest.mark.parametrize(("stored", "size"), [((640, 480), 448), ((1000, 667), 448)])
def test_a_small_reduction_is_exact_up_to_rounding(fast, stored, size):
    data = encode(photo(*stored))
    result = decode(data, size=size, fast=fast)
    apart = differences(result, exact(data, result.size))
    assert apart.mean() < 0.4
    assert np.percentile(apart, 99.9) < 2


@BOTH
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("side", [50, 75, 99, 112, 133, 200, 266])
def test_scaled_decoding_is_about_as_near_to_bicubic_as_bilinear_is(fast, side, subsampling):
    # No multiples of 2, 4 or 8: at the right and the bottom something is left over.
    data = encode(photo(1003, 667), subsampling=subsampling)
    result = decode(data, size=side, fast=fast)
    bicubic = exact(data, result.size)
    bilinear = exact(data, result.size, Image.Resampling.BILINEAR)
    apart = differences(result, bicubic)
    assert apart.mean() < 1.6 * differences(bilinear, bicubic).mean()
    # No part is shifted against the others.
    right, bottom = apart[:, -side // 4 :].mean(), apart[-side // 4 :].mean()
    assert max(right, bottom) < 1.5 * apart.mean()


def test_fine_stripes_become_grey_not_a_pattern():
    stripes = np.zeros((600, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    data = encode(Image.fromarray(stripes), quality=98, subsampling=0)
    for side in (290, 224, 150, 70):
        assert differences(decode(data, size=side), 127).max() < 30


@BOTH
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("size", [None, 20])
def test_a_file_cut_short_anywhere_is_an_error(fast, options, size):
    data = encode(photo(96, 80), **options)
    decoder = make_decoder(Decoding(size=size, fast=fast))
    decoder(data)
    for end in range(0, len(data), 17):
        with pytest.raises(ImageError):
            decoder(data[:end])
    for missing in (1, 2, 3):
        with pytest.raises(ImageError, match="truncated"):
            decoder(data[:-missing])


@BOTH
def test_damage_is_an_image_or_an_image_error_never_another(fast):
    data = encode(photo(96, 80))
    random = np.random.default_rng(0)
    decoder = make_decoder(Decoding(size=20, fast=fast))
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(data)
        for at in random.integers(2, 650, 3):
            damaged[at] = random.integers(0, 256)
        try:
            decoder(bytes(damaged))
            outcomes.add("image")
        except ImageError as error:
            outcomes.add("address" if "object at" in str(error) else "error")
    assert outcomes == {"image", "error"}


@pytest.mark.parametrize("name", ["PNG", "GIF", "WEBP"])
def test_another_format_is_named_as_no_jpeg(name):
    file = io.BytesIO()
    photo(32, 32).save(file, name)
    with pytest.raises(ImageError, match="Not a JPEG"):
        decode(file.getvalue())


def test_a_bomb_is_an_error_before_it_is_decoded_and_without_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 80)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encode(photo(80, 60))).size == (80, 60)
        with pytest.raises(ImageError, match="80 x 61 pixels is larger than the limit of 4800"):
            decode(encode(photo(80, 61)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(encode(photo(80, 61))).size == (80, 61)


@BOTH
@pytest.mark.parametrize("size", [None, 30])
def test_outputs_hold_the_same_pixels(fast, size):
    data = encode(photo(80, 60))
    picture = decode(data, size=size, fast=fast)
    array = decode(data, size=size, fast=fast, output="numpy")
    tensor = decode(data, size=size, fast=fast, output="torch")
    width, height = picture.size
    assert (array.shape, array.dtype) == ((height, width, 3), np.uint8)
    assert (tuple(tensor.shape), tensor.dtype) == ((3, height, width), torch.uint8)
    assert tensor.is_contiguous()
    assert array.tobytes() == picture.tobytes()
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), array)
    array[:] = 0  # can be written to


def test_a_memoryview_is_decoded_as_bytes_are():
    data = encode(photo(80, 60))
    around = memoryview(b"xx" + data + b"yy")
    assert decode(around[2:-2], size=30).tobytes() == decode(data, size=30).tobytes()


@BOTH
def test_threads_share_a_decoder(fast):
    images = [encode(photo(200 + 8 * i, 160, seed=i)) for i in range(8)] * 5
    decoder = make_decoder(Decoding(size=64, output="numpy", fast=fast))
    expected = [decoder(data).tobytes() for data in images]
    with ThreadPoolExecutor(8) as threads:
        assert [array.tobytes() for array in threads.map(decoder, images)] == expected


def test_options_can_be_pickled():
    options = Decoding(size=(32, 24), crop=True, output="numpy", fast=False)
    assert pickle.loads(pickle.dumps(options)) == options


@pytest.mark.parametrize("size", [0, -1, True, 2.5, "448", [448, 448], (448,), (0, 1), (1, 2, 3)])
def test_a_size_that_makes_no_sense_is_an_error_at_once(size):
    with pytest.raises(SizeError, match="neither a number of pixels"):
        make_decoder(Decoding(size=size))


@pytest.mark.parametrize("size", [None, 448])
def test_crop_needs_a_shape(size):
    with pytest.raises(SizeError, match="crop=True needs a size"):
        make_decoder(Decoding(size=size, crop=True))


def test_an_unknown_output_is_an_error_that_lists_the_known():
    with pytest.raises(UnknownNameError, match=r"'nunpy'.*'numpy'.*Known: numpy, pil, torch"):
        make_decoder(Decoding(output="nunpy"))


def test_without_the_extra_pillow_resizes(monkeypatch):
    data = encode(photo(160, 120))
    expected = decode(data, size=50, fast=False).tobytes()
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    assert decode(data, size=50).tobytes() == expected
    with pytest.raises(MissingPackageError, match=r"pip install 'mella\[fast\]'") as caught:
        make_decoder(Decoding(fast=True))
    assert isinstance(caught.value, MellaError)
    assert isinstance(caught.value, ImportError)


def test_with_the_extra_it_is_used_by_itself():
    data = encode(photo(160, 120))
    by_itself, fast, pillow = (decode(data, size=50, fast=fast) for fast in (None, True, False))
    assert by_itself.tobytes() == fast.tobytes()
    assert fast.tobytes() != pillow.tobytes()


def test_an_untried_pillow_is_left_to_itself(monkeypatch):
    data = encode(photo(160, 120))
    expected = decode(data, size=50, fast=False).tobytes()
    monkeypatch.setattr("PIL.__version__", "99.1.0")
    assert decode(data, size=50).tobytes() == expected
    with pytest.raises(MissingPackageError, match=r"this is 99\.1\.0"):
        make_decoder(Decoding(fast=True))


def test_torch_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError, match="pip install torch"):
        make_decoder(Decoding(output="torch"))


def test_the_module_and_the_other_outputs_import_nothing_heavy():
    program = """
import sys, mella.decode as d
assert not {"PIL", "numpy", "torch", "cykooz_resizer"} & set(sys.modules)
d.make_decoder(d.Decoding(size=4, output="numpy"))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
