"""Decode a stored image as models look at it."""

import io

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.culture.images.picture import turn_upright

_SHORTER = 512  # pixels, at least: more than any model looks at
_LONGER = 8 * _SHORTER  # pixels, at most: what no ratio of sides exceeds


def stored_picture(data: bytes | None) -> Image.Image | None:
    """Return a stored image upright, in RGB, not larger than models need.

    Its shorter side keeps at least 512 pixels, or all that it has; its longer side has at most
    4096. So a batch of pictures has a bound, whatever was stored.

    Returns:
        None if it cannot be decoded.
    """
    try:
        image: Image.Image = JpegImageFile(io.BytesIO(data or b""))
        image.draft(image.mode, (_SHORTER, _SHORTER))
        turn_upright(image)
        image.thumbnail((_LONGER, _LONGER))
        return image.convert("RGB")
    except Exception:  # noqa: BLE001 - decoders raise whatever they stumble over
        return None
