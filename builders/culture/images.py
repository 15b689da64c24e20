"""Get each candidate's image, check it, and bring it into the stored form: a JPEG.

What stands in the header is checked before anything is decoded: a small file may promise more
pixels than there is memory. JPEG originals keep the bytes of their image and lose their metadata;
other formats are transcoded once.
"""

import functools
import hashlib
import io
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageFile, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.fetch import Fetched, Fetcher, FetchParams, agent_of
from mella.builders.culture.payload import PayloadError, sniff
from mella.builders.culture.records import read_payload
from mella.builders.engine.step import REASON, SideReader, Step
from mella.errors import MellaError
from mella.jpeg import TruncatedJpegError, read_frame, strip_metadata

READS = pa.schema([pa.field("image_url", pa.string())])
WRITES = pa.schema(
    [
        pa.field("image", pa.large_binary()),  # as stored; null where it is rejected
        pa.field("sha256", pa.string()),  # of the stored image
        pa.field("original_sha256", pa.string()),  # of the bytes that were found
        pa.field("width", pa.int32()),  # as stored: an orientation is not applied
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),  # of the stored image
        pa.field("original_format", pa.string()),  # jpeg, png, webp, gif, avif, bmp, tiff
        pa.field("image_origin", pa.string()),  # archive, http
        pa.field("phash", pa.string()),
        REASON,
    ]
)
"""The columns of an image."""

# Opened by class: `Image.open` would ask global limits, and take a JPEG with a second image in it
# for a sequence of two.
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
_READ_BYTES = 64_000_000
_THUMBNAIL = 32  # pixels a side
_HASH = 8  # frequencies a side
_MAX_SCANS = 100  # encoders write about ten; thousands keep a decoder busy for minutes
_USUAL_PROCESSES = (0, 1, 2)  # baseline, extended sequential, progressive
_PROFILES = {"RGB": b"RGB ", "L": b"GRAY"}

Place = tuple[str, str | None, int]
"""Where an archive holds an image: path, member, offset."""


class ImagesError(MellaError, ValueError):
    """Parameters with which no image can be got."""


@dataclass(frozen=True)
class ImageParams:
    """Which images are kept.

    Attributes:
        min_side: Of the shorter side, in pixels.
        max_aspect: Longer side to shorter side.
        max_pixels: More are not decoded.
        min_bytes: Of the file.
        max_bytes: Of the file.
        min_deviation: Standard deviation, of 255, that at least one of the colours must have in a
            thumbnail: less is an empty picture.
        reject_animated: Whether several frames (or pages) are a reason; else the first is taken.
        fetch: Whether what no archive holds is fetched over HTTP.
        fetch_params: How; `max_bytes` is taken from here.
    """

    min_side: int = 150
    max_aspect: float = 3.0
    max_pixels: int = 89_478_485
    min_bytes: int = 500
    max_bytes: int = 20_000_000
    min_deviation: float = 2.0
    reject_animated: bool = True
    fetch: bool = False
    fetch_params: FetchParams = field(default_factory=FetchParams)


@dataclass(frozen=True)
class StoredImage:
    """An image in the stored form.

    Attributes:
        data: A JPEG, baseline or progressive, grey or colour, without metadata.
        width: Pixels, as stored: an orientation is not applied.
        height: Pixels, as stored.
        original_format: Such as "png"; "jpeg": the image has its original bytes.
        phash: Perceptual hash of the upright image, 16 hex digits.
    """

    data: bytes
    width: int
    height: int
    original_format: str
    phash: str


@dataclass(frozen=True)
class RejectedImage:
    """Why an image is not kept, and what is known of it."""

    reason: str
    original_format: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Sources:
    """Where images come from: archives first, then the web."""

    places: dict[str, Place]
    fetcher: Fetcher | None


def images_step(params: ImageParams, side: Step | None) -> Step:
    """Return the step that gets, checks and stores the image of each candidate.

    Args:
        params: Which images are kept.
        side: The step "records", whose archives hold the images; None where all are fetched.

    Raises:
        ImagesError: There is neither an archive nor leave to fetch.
        FetchError: Fetching lacks a contact.
    """
    if params.fetch:
        agent_of(params.fetch_params)
    elif side is None:
        raise ImagesError(
            "images_step(side=None) with ImageParams(fetch=False) would find no image: pass the "
            "records step as `side`, or set `fetch=True`."
        )
    return Step(
        name="images",
        version=1,
        fn=_get_images,
        reads=READS,
        writes=WRITES,
        params=params,
        setup=open_sources,
        side=side,
    )


def open_sources(params: ImageParams, side: SideReader | None) -> Sources:
    """Index the images of the archives by URL; the first of several with one URL counts."""
    places: dict[str, Place] = {}
    columns = ["kind", "url", "path", "member", "offset"]
    for table in side.read(columns) if side else ():
        names: dict[str | None, str] = {}  # one string for each archive, not for each image
        for kind, url, path, member, offset in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            if kind == "image":
                member_name = None if member is None else names.setdefault(member, member)
                place = (names.setdefault(path, path), member_name, offset)
                places.setdefault(_normal(url), place)
    fetch_params = replace(params.fetch_params, max_bytes=params.max_bytes)
    return Sources(places, Fetcher(fetch_params) if params.fetch else None)


def normalise_image(data: bytes, params: ImageParams) -> StoredImage | RejectedImage:
    """Check an image and bring it into the stored form; nothing is raised for bad bytes.

    Args:
        data: A file of any kind; what it is called elsewhere does not matter.
        params: Which images are kept.
    """
    if not data:
        return RejectedImage("image:empty")
    kind = sniff(data[:_SNIFF_BYTES]) or ""
    if kind not in _FORMATS:
        svg = kind == "image/svg+xml"
        return RejectedImage("image:svg" if svg else "image:not_an_image")
    name, plugin = _FORMATS[kind]
    if not params.min_bytes <= len(data) <= params.max_bytes:
        small = len(data) < params.min_bytes
        return RejectedImage("image:too_few_bytes" if small else "image:too_large", name)
    size: tuple[int, int] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders, about what is judged here
        try:
            size, frames = _read_header(data, name, plugin)
            made = _unfit(size, frames, params) or _store(data, name, plugin, params)
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they stumble over
            made = _fault(error)
    return RejectedImage(made, name, *(size or ())) if isinstance(made, str) else made


def perceptual_hash(image: Image.Image) -> str:
    """Return 64 bits, as 16 hex digits, that change little where a picture looks the same.

    The signs, around their median, of the lowest 8 x 8 frequencies of a grey thumbnail's DCT-II;
    row by row, from the lowest. Similar pictures differ in few bits.
    """
    size = (_THUMBNAIL, _THUMBNAIL)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BOX)
    grey = np.asarray(image.convert("L"), dtype=np.float64)
    waves = _waves()
    low = waves @ grey @ waves.T
    bits = (low > np.median(low)).flatten()
    return np.packbits(bits).tobytes().hex()


def _get_images(table: pa.Table, params: ImageParams, sources: Sources) -> pa.Table:
    urls = table["image_url"].to_pylist()
    places = {url: sources.places.get(_normal(url)) for url in urls if url is not None}
    rows: dict[str | None, dict[str, Any]] = {None: {"reason": "image:not_found"}}
    found = [(place, url) for url, place in places.items() if place is not None]
    for place, url in sorted(found, key=lambda item: (item[0][0], item[0][1] or "", item[0][2])):
        rows[url] = _from_archive(place, params)
    missing = [url for url, place in places.items() if place is None]
    if sources.fetcher is not None:
        use = functools.partial(_from_web, params=params)
        rows.update(zip(missing, sources.fetcher.map(missing, use), strict=True))
    else:
        rows.update(dict.fromkeys(missing, rows[None]))
    columns = [
        pa.array([rows[url].get(column.name) for url in urls], column.type) for column in WRITES
    ]
    return pa.table(columns, schema=WRITES)


def _from_archive(place: Place, params: ImageParams) -> dict[str, Any]:
    try:
        data = read_payload(*place, max_bytes=max(_READ_BYTES, params.max_bytes))
    except PayloadError:
        return {"image_origin": "archive", "reason": "image:unreadable"}
    return _row(data, "archive", params)


def _from_web(fetched: Fetched, params: ImageParams) -> dict[str, Any]:
    if fetched.body is None:
        return {"image_origin": "http", "reason": f"image:{fetched.reason}"}
    return _row(fetched.body, "http", params)


def _row(data: bytes, origin: str, params: ImageParams) -> dict[str, Any]:
    image = normalise_image(data, params)
    row = {
        "original_sha256": hashlib.sha256(data).hexdigest(),
        "width": image.width,
        "height": image.height,
        "original_format": image.original_format,
        "image_origin": origin,
    }
    if isinstance(image, RejectedImage):
        return {**row, "reason": image.reason}
    sha256 = hashlib.sha256(image.data).hexdigest()
    size = len(image.data)
    return {**row, "image": image.data, "sha256": sha256, "bytes": size, "phash": image.phash}


def _read_header(
    data: bytes, name: str, plugin: type[ImageFile.ImageFile]
) -> tuple[tuple[int, int], int]:
    """Return width and height, and 2 where there are several frames; nothing is decoded."""
    if name == "jpeg":
        frame = read_frame(data)
        return (frame.width, frame.height), 1
    image = plugin(io.BytesIO(data))
    return image.size, 2 if getattr(image, "is_animated", False) else 1


def _unfit(size: tuple[int, int], frames: int, params: ImageParams) -> str | None:
    """Return the reason why an image is not even decoded."""
    short, long = sorted(size)
    if short * long > params.max_pixels:
        return "image:too_many_pixels"
    if short < params.min_side:
        return "image:too_small"
    if long > params.max_aspect * short:
        return "image:aspect"
    return "image:animated" if frames > 1 and params.reject_animated else None


def _store(
    data: bytes, name: str, plugin: type[ImageFile.ImageFile], params: ImageParams
) -> StoredImage | str:
    """Return the stored form, or the reason why there is none."""
    keeps_bytes = False
    if name == "jpeg":
        frame = read_frame(data)
        data = strip_metadata(data)
        if data.count(b"\xff\xda") > _MAX_SCANS:
            return "image:too_many_scans"
        keeps_bytes = frame.components in (1, 3) and frame.process in _USUAL_PROCESSES
    image: Image.Image = plugin(io.BytesIO(data))
    if keeps_bytes:
        # All compressed data are read, but only as many pixels made as are looked at.
        size = image.size
        image.draft(image.mode, (2 * _THUMBNAIL, 2 * _THUMBNAIL))
        image = _upright(image)
    else:
        flat = _flatten(_upright(image))
        if flat is None:
            return "image:pixel_format"
        image, size = flat, flat.size
    thumbnail = _thumbnail(image)
    if max(np.asarray(thumbnail).std(axis=(0, 1))) < params.min_deviation:
        return "image:uniform"
    stored = data if keeps_bytes else _encode(image)
    return StoredImage(stored, *size, name, perceptual_hash(thumbnail))


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - broken EXIF does not spoil a picture
        return image


def _flatten(image: Image.Image) -> Image.Image | None:
    """Return a picture in grey or RGB, 8 bits, over white; None for pixels of unknown range."""
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I;16"):
        flat = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        return None
    elif image.has_transparency_data:
        colours = image.convert("RGBA")
        flat = Image.new("RGBA", colours.size, "white")
        flat.alpha_composite(colours)
        flat = flat.convert("RGB")
    else:
        flat = image.convert("L" if image.mode in ("1", "L") else "RGB")
    # Of what stands beside the pixels only a profile that fits them is carried over.
    flat.info = {"icc_profile": profile} if profile[16:20] == _PROFILES[flat.mode] else {}
    return flat


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    profile = image.info.get("icc_profile")
    image.save(file, "JPEG", quality=95, subsampling=0, icc_profile=profile)
    return file.getvalue()


def _thumbnail(image: Image.Image) -> Image.Image:
    small = image.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return small.convert("RGB")


@functools.cache
def _waves() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the lowest frequencies of the DCT-II, one in each row."""
    at = np.arange(_THUMBNAIL) + 0.5
    return np.cos(np.pi / _THUMBNAIL * np.outer(np.arange(_HASH), at))


def _fault(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "image:too_many_pixels"
    # Pillow has one kind of error for all faults, and tells this one by its words only.
    cut = isinstance(error, TruncatedJpegError) or "truncated" in str(error).lower()
    return "image:truncated" if cut else "image:corrupt"


def _normal(url: str) -> str:
    """Return a URL as candidates have it, so that equal ones meet."""
    return resolve_url(url, url)[0] or url.partition("#")[0]
