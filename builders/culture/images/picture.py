"""Check an image and bring it into the stored form: a JPEG.

What stands in the header is checked before anything is decoded: a small file may promise more
pixels than there is memory. JPEG originals keep the bytes of their image and lose their metadata;
other formats are transcoded once.
"""

import contextlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mella.builders.culture.archives.payload import sniff
from mella.builders.culture.images.banner import MIN_SIDE, may_be_text, text_score
from mella.builders.culture.images.phash import THUMBNAIL, perceptual_hash
from mella.builders.engine.params import check_least
from mella.jpeg import TruncatedJpegError, read_frame, strip_metadata

# Opened by class: `Image.open` would warn by limits of the process, and take a JPEG with a second
# image in it for a sequence of two.
_FORMATS: dict[str, tuple[str, type[ImageFile.ImageFile]]] = {
    "image/avif": ("avif", AvifImageFile),
    "image/bmp": ("bmp", BmpImageFile),
    "image/gif": ("gif", GifImageFile),
    "image/jpeg": ("jpeg", JpegImageFile),
    "image/png": ("png", PngImageFile),
    "image/tiff": ("tiff", TiffImageFile),
    "image/webp": ("webp", WebPImageFile),
}
_SNIFF_BYTES = 2048
_MAX_SCANS = 100  # encoders write about ten; thousands keep a decoder busy for minutes
_USUAL_PROCESSES = (0, 1, 2)  # baseline, extended sequential, progressive
_PROFILES = {"RGB": b"RGB ", "L": b"GRAY"}
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # of TIFF


@dataclass(frozen=True)
class ImageRules:
    """Which images are kept.

    Attributes:
        min_side: Of the shorter side, in pixels.
        max_aspect: Longer side to shorter side.
        max_pixels: More are not decoded. Decoding takes up to 12 bytes for each.
        min_bytes: Of the file.
        max_bytes: Of the file.
        min_deviation: Standard deviation, of 255, that at least one of the colours must have in a
            thumbnail: less is an empty picture.
        max_text_score: How much a picture may look like rendered text and nothing else, from 0 to 1
            (see `banner`): more is a banner. 1 keeps all.
        reject_animated: Whether several frames (or pages) are a reason; else the first is taken.
    """

    min_side: int = 150
    max_aspect: float = 3.0
    max_pixels: int = 89_478_485
    min_bytes: int = 500
    max_bytes: int = 20_000_000
    min_deviation: float = 2.0
    max_text_score: float = 0.75
    reject_animated: bool = True

    def __post_init__(self) -> None:
        check_least(self, {"min_side": 1, "max_aspect": 1, "max_pixels": 1, "min_bytes": 0})
        check_least(self, {"max_bytes": 1, "min_deviation": 0, "max_text_score": 0})


@dataclass(frozen=True)
class StoredImage:
    """An image in the stored form.

    Attributes:
        data: A JPEG, baseline or progressive, grey or colour, without metadata.
        width: Pixels, as stored: an orientation is not applied.
        height: Pixels, as stored.
        original_format: Such as "png". A "jpeg" has its original bytes, except where those were
            CMYK or of a process that few decoders know.
        phash: Perceptual hash of the upright image, 16 hex digits.
        text_score: How much it looks like rendered text and nothing else, from 0 to 1.
    """

    data: bytes
    width: int
    height: int
    original_format: str
    phash: str
    text_score: float


@dataclass(frozen=True)
class RejectedImage:
    """Why an image is not kept, and what is known of it."""

    reason: str
    original_format: str | None = None
    width: int | None = None
    height: int | None = None
    text_score: float | None = None


def normalise_image(data: bytes, rules: ImageRules) -> StoredImage | RejectedImage:
    """Check an image and bring it into the stored form; nothing is raised for bad bytes.

    Args:
        data: A file of any kind; what it is called elsewhere does not matter.
        rules: Which images are kept.
    """
    if not data:
        return RejectedImage("image:empty")
    kind = sniff(data[:_SNIFF_BYTES]) or ""
    if kind not in _FORMATS:
        svg = kind == "image/svg+xml"
        return RejectedImage("image:svg" if svg else "image:not_an_image")
    name, plugin = _FORMATS[kind]
    if not rules.min_bytes <= len(data) <= rules.max_bytes:
        small = len(data) < rules.min_bytes
        return RejectedImage("image:too_few_bytes" if small else "image:too_large", name)
    size: tuple[int, int] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders, about what is judged here
        try:
            header = _read_header(data, name, plugin)
            size = header.size
            made = _unfit(header, rules) or _store(data, name, plugin, rules)
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they stumble over
            made = _fault(error)
    return RejectedImage(made, name, *(size or ())) if isinstance(made, str) else made


@dataclass(frozen=True)
class _Header:
    size: tuple[int, int]
    decoded: int  # pixels that are decoded at once
    animated: bool = False  # several frames or pages


def _read_header(data: bytes, name: str, plugin: type[ImageFile.ImageFile]) -> _Header:
    """Return what the beginning of an image promises; nothing is decoded."""
    if name == "jpeg":
        frame = read_frame(data)
        return _Header((frame.width, frame.height), frame.width * frame.height)
    image = plugin(io.BytesIO(data))
    decoded = image.width * image.height
    if isinstance(image, TiffImageFile):
        # A tile is decoded whole, however little of it lies in the picture.
        tags = image.tag_v2
        decoded = max(decoded, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_LENGTH, 0))
    return _Header(image.size, decoded, getattr(image, "is_animated", False))


def _unfit(header: _Header, rules: ImageRules) -> str | None:
    """Return the reason why an image is not even decoded."""
    short, long = sorted(header.size)
    if header.decoded > rules.max_pixels:
        return "image:too_many_pixels"
    if short < rules.min_side:
        return "image:too_small"
    if long > rules.max_aspect * short:
        return "image:aspect"
    return "image:animated" if header.animated and rules.reject_animated else None


def _store(
    data: bytes, name: str, plugin: type[ImageFile.ImageFile], rules: ImageRules
) -> StoredImage | RejectedImage | str:
    """Return the stored form, or the reason why there is none."""
    keeps_bytes = False
    if name == "jpeg":
        frame = read_frame(data)
        data = strip_metadata(data)
        if data.count(b"\xff\xda") > _MAX_SCANS:
            return "image:too_many_scans"
        keeps_bytes = frame.components in (1, 3) and frame.process in _USUAL_PROCESSES
    image: Image.Image = plugin(io.BytesIO(data))
    size = image.size
    if name == "jpeg" and size != (frame.width, frame.height):
        return "image:corrupt"  # of two frame headers that differ, only one was judged
    if keeps_bytes:
        # All compressed data are read, but only as many pixels made as are looked at.
        image.draft(image.mode, (2 * THUMBNAIL, 2 * THUMBNAIL))
    turn_upright(image)
    if not keeps_bytes:
        flat = _flatten(image)
        if flat is None:
            return "image:pixel_format"
        image, size = flat, flat.size
    thumbnail = _thumbnail(image)
    if max(np.asarray(thumbnail).std(axis=(0, 1))) < rules.min_deviation:
        return "image:uniform"
    score = _text_score(image, data if keeps_bytes else None)
    if score > rules.max_text_score:
        return RejectedImage("image:text_only", name, *size, score)
    stored = data if keeps_bytes else encode_jpeg(image)
    return StoredImage(stored, *size, name, perceptual_hash(thumbnail), score)


def _text_score(image: Image.Image, data: bytes | None) -> float:
    """Return the score of a picture; `data` is the JPEG that it was decoded from, in part."""
    if not may_be_text(image):
        return 0.0
    if data is not None:
        image = JpegImageFile(io.BytesIO(data))
        image.draft(image.mode, (MIN_SIDE, MIN_SIDE))
        turn_upright(image)
    return text_score(image)


def turn_upright(image: Image.Image) -> None:
    """Decode a picture, and turn it as its EXIF says."""
    image.load()
    with contextlib.suppress(Exception):  # broken EXIF does not spoil a picture
        ImageOps.exif_transpose(image, in_place=True)


def _flatten(image: Image.Image) -> Image.Image | None:
    """Return a picture in grey or RGB, 8 bits, over white; None for pixels of unknown range."""
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I;16"):
        flat = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        return None
    elif image.has_transparency_data:
        colours = image if image.mode == "RGBA" else image.convert("RGBA")
        flat = Image.new("RGB", colours.size, "white")
        flat.paste(colours, mask=colours)
    else:
        flat = image.convert("L" if image.mode in ("1", "L") else "RGB")
    # Of what stands beside the pixels only a profile that fits them is carried over.
    flat.info = {"icc_profile": profile} if profile[16:20] == _PROFILES[flat.mode] else {}
    return flat


def encode_jpeg(image: Image.Image) -> bytes:
    """Return a grey or RGB picture as a JPEG in the stored form: quality 95, 4:4:4, its profile."""
    file = io.BytesIO()
    profile = image.info.get("icc_profile")
    image.save(file, "JPEG", quality=95, subsampling=0, icc_profile=profile)
    return file.getvalue()


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return small.convert("RGB")


def _fault(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "image:too_many_pixels"
    # Pillow has one kind of error for all faults, and tells this one by its words only.
    cut = isinstance(error, TruncatedJpegError) or "truncated" in str(error).lower()
    return "image:truncated" if cut else "image:corrupt"
