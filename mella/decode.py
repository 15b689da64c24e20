"""Decode the JPEG of a sample to an RGB picture of the size and kind that a model wants.

    decode = make_decoder(Decoding(size=448, output="numpy"))
    pixels = decode(jpeg)  # (height, width, 3), uint8

Pillow decodes; where it pays, to half of the size or less. The extra `fast` brings another resizer
with the same antialiased filter: bicubic, as the image processors of vision-language models use.
Both release the interpreter lock, so that threads decode side by side.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from mella.errors import MellaError, unknown_name
from mella.jpeg import JpegError, dimensions

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]  # width, height
Box = tuple[float, float, float, float]  # left, top, right, bottom
Resize = Callable[["Image", Size, Box], "Image"]

OUTPUTS = ("pil", "numpy", "torch")

# A JPEG is decoded to 1/2, 1/4 or 1/8 where the picture then still has this many times the pixels
# of the result, in width and in height. At 1.25 the result is as near to that of a full decode as
# bilinear is to bicubic (docs/decoding.md); less would show.
_SCALED_MARGIN = 1.25
# The resizer of `fast` reads the memory of Pillow's images: newer layouts have to be tried first.
_FAST_PILLOW = range(11, 14)
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that swap width and height
# What Pillow raises for broken files, besides OSError.
_BROKEN = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error)


class ImageError(MellaError, ValueError):
    """An image that cannot be decoded: broken, cut short, not a JPEG, or too large."""


class SizeError(MellaError, ValueError):
    """An image size that cannot be asked for."""


class MissingPackageError(MellaError, ImportError):
    """A package of an extra that is asked for and not there."""


@dataclass(frozen=True)
class Decoding:
    """How to decode images; `make_decoder` makes a decoder of it. Can be pickled.

    Attributes:
        size: None: as stored. A number: the short side has at most so many pixels; the aspect
            ratio stays, and smaller images stay as they are. (width, height): exactly this size;
            smaller images are enlarged.
        crop: With (width, height): cut off what the aspect ratio of the size leaves over, evenly
            on both sides, instead of distorting.
        output: "pil": a `PIL.Image.Image` of mode RGB; "numpy": a writable array of shape
            (height, width, 3); "torch": a contiguous tensor of shape (3, height, width). The
            values are uint8, 0 to 255.
        fast: True: resize with the extra `fast`; False: with Pillow alone; None: with the extra
            where it is installed.
    """

    size: int | Size | None = None
    crop: bool = False
    output: str = "pil"
    fast: bool | None = None


def make_decoder(options: Decoding) -> Callable[[bytes | memoryview], Any]:
    """Return a function from the bytes of a JPEG to a picture, safe to call from many threads.

    An EXIF orientation is applied, before the size is. Grey and CMYK become RGB. Colour profiles
    are not applied. The function raises `ImageError` for bytes that it cannot decode, among them
    those with more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.

    Raises:
        SizeError: `size` or `crop` makes no sense.
        UnknownNameError: `output` is none of `OUTPUTS`.
        MissingPackageError: `fast` or PyTorch is asked for and not installed.
    """
    _check_size(options)
    resize = _find_resize(fast=options.fast)
    convert = _find_convert(options.output)

    def decode(data: bytes | memoryview) -> Any:
        return convert(_decode(bytes(data), options, resize))

    return decode


def _check_size(options: Decoding) -> None:
    size = options.size
    sides = size if isinstance(size, tuple) else (size, size)
    if size is not None and not (len(sides) == 2 and all(map(_is_side, sides))):
        raise SizeError(
            f"Image size {size!r} is neither a number of pixels, such as 448, nor a pair of them "
            "(width, height), such as (448, 336)."
        )
    if options.crop and not isinstance(size, tuple):
        raise SizeError(f"crop=True needs a size (width, height) to crop to, not {size!r}.")


def _is_side(side: object) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and side >= 1


def _decode(data: bytes, options: Decoding, resize: Resize) -> "Image":
    """Return the picture in RGB, upright, of the size asked for, without metadata."""
    stored = _check_pixels(data)
    image = _open(data)
    orientation = _read_orientation(image)
    target, box = _fit(stored, options, turned=orientation in _TURNED)
    scale = _choose_scale(target, box)
    _load(image, (stored[0] // scale, stored[1] // scale))
    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != target:
        # The box ends within the last pixel where the stored size is no multiple of the scale.
        left, top, right, bottom = (side / scale for side in box)
        image = resize(image, target, (left, top, right, bottom))
    image = _turn_upright(image, orientation)
    image.info = {}  # with the orientation in it, the next reader would turn the picture again
    return image


def _check_pixels(data: bytes) -> Size:
    """Return the stored size, read before Pillow sees the bytes: it warns at half of its limit."""
    from PIL import Image

    try:
        width, height = dimensions(data)
    except JpegError as error:
        raise ImageError(str(error)) from error
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ImageError(
            f"An image of {width} x {height} pixels is larger than the limit of {limit} pixels. "
            "PIL.Image.MAX_IMAGE_PIXELS sets the limit."
        )
    return width, height


def _open(data: bytes) -> "Image":
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(BytesIO(data), formats=("JPEG",))
    except UnidentifiedImageError:  # its message names an object in memory
        raise ImageError("An image that cannot be decoded: a JPEG with a broken header.") from None
    except _BROKEN as error:
        raise _broken(error) from error


def _load(image: "Image", at_least: Size) -> None:
    """Decode the pixels: to the smallest of 1/1, 1/2, 1/4 and 1/8 that is not below `at_least`."""
    try:
        image.draft(None, at_least)
        image.load()
    except _BROKEN as error:
        raise _broken(error) from error


def _broken(error: Exception) -> ImageError:
    return ImageError(f"An image that cannot be decoded: {str(error).rstrip('.')}.")


def _read_orientation(image: "Image") -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:  # nonsense in EXIF says nothing against the picture
        return 1
    return orientation if orientation in range(1, 9) else 1


def _turn_upright(image: "Image", orientation: int) -> "Image":
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image if orientation == 1 else image.transpose(turns[orientation])


def _fit(stored: Size, options: Decoding, *, turned: bool) -> tuple[Size, Box]:
    """Return the size of the result, and which part of the stored picture it shows.

    Both lie as the picture is stored: it is made small first, and turned upright then.
    """
    (width, height), size = stored, options.size
    everything = (0.0, 0.0, float(width), float(height))
    if size is None:
        return stored, everything
    if isinstance(size, int):
        short = min(stored)
        if size >= short:
            return stored, everything
        return (round(width * size / short), round(height * size / short)), everything
    target = (size[1], size[0]) if turned else size
    if not options.crop:
        return target, everything
    pixels = min(width / target[0], height / target[1])  # stored ones, for one of the result
    # Rounding errors must not leave the picture.
    left = max(0.0, (width - target[0] * pixels) / 2)
    top = max(0.0, (height - target[1] * pixels) / 2)
    return target, (left, top, width - left, height - top)


def _choose_scale(target: Size, box: Box) -> int:
    """Return by how much to divide the size when decoding: 1, 2, 4 or 8."""
    ratio = min((box[2] - box[0]) / target[0], (box[3] - box[1]) / target[1])
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or ratio >= scale * _SCALED_MARGIN)


def _find_resize(*, fast: bool | None) -> Resize:
    if fast is False:
        return _resize_with_pillow
    problem = _fast_problem()
    if problem is None:
        return _make_fast_resize()
    if fast:
        raise MissingPackageError(problem)
    return _resize_with_pillow


def _fast_problem() -> str | None:
    """Return why the extra `fast` cannot be used, or None."""
    import PIL

    try:
        import cykooz_resizer  # noqa: F401
    except ImportError:
        return "fast=True needs the package cykooz-resizer: pip install 'mella[fast]'"
    if int(PIL.__version__.split(".")[0]) not in _FAST_PILLOW:
        return (
            f"fast=True was tried with Pillow {_FAST_PILLOW[0]} to {_FAST_PILLOW[-1]}, and this is "
            f"{PIL.__version__}: pip install 'mella[fast]', or leave fast out."
        )
    return None


def _resize_with_pillow(image: "Image", target: Size, box: Box) -> "Image":
    from PIL.Image import Resampling

    return image.resize(target, Resampling.BICUBIC, box)


def _make_fast_resize() -> Resize:
    from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
    from PIL import Image

    bicubic = ResizeAlg.convolution(FilterType.catmull_rom)  # Pillow's bicubic by its name

    def resize(image: Image.Image, target: Size, box: Box) -> Image.Image:
        left, top, right, bottom = box
        options = ResizeOptions(bicubic, crop_box=CropBox(left, top, right - left, bottom - top))
        result = Image.new("RGB", target, None)
        # A new resizer costs nothing; threads that share one wait for each other.
        Resizer().resize_pil(image, result, options)
        return result

    return resize


def _find_convert(output: str) -> Callable[["Image"], Any]:
    if output == "pil":
        return _same
    if output == "numpy":
        return _to_numpy
    if output == "torch":
        return _make_to_torch()
    raise unknown_name("output", output, OUTPUTS)


def _same(image: "Image") -> "Image":
    return image


def _to_numpy(image: "Image") -> Any:
    import numpy as np

    return np.array(image)  # a copy, as what `asarray` gives cannot be written to


def _make_to_torch() -> Callable[["Image"], Any]:
    try:
        import torch
    except ImportError:
        raise MissingPackageError('output="torch" needs PyTorch: pip install torch') from None
    import numpy as np

    def to_torch(image: "Image") -> Any:
        # One channel after the other is faster than to permute, and makes stacking fast.
        pixels = np.empty((3, image.height, image.width), np.uint8)
        for channel, band in zip(pixels, image.split(), strict=True):
            channel[...] = np.asarray(band)
        return torch.from_numpy(pixels)

    return to_torch
