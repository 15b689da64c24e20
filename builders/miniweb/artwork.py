"""Take the pictures of emoji out of Noto Color Emoji and encode them as a web site would.

The font keeps each picture as a PNG of 136 x 128 pixels with an alpha channel. Flags and other
sequences are one picture too: the font joins their characters by its ligatures.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mella.errors import MellaError

MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}

_VARIATION_SELECTOR = "\ufe0f"
_LIGATURES = 4
_SIDE = 144
_QUALITY = 75


class MiniWebError(MellaError, ValueError):
    """A mini-web that can't be made from the sources that were given."""


class Artwork:
    """The pictures of a Noto Color Emoji font with bitmaps (tables CBDT and CBLC)."""

    def __init__(self, font: Path) -> None:
        from fontTools.ttLib import TTFont

        self._font = font
        tables = TTFont(font, lazy=True)
        if "CBDT" not in tables:
            raise MiniWebError(
                f"{font} holds no bitmaps (no table CBDT); needed is the NotoColorEmoji.ttf of "
                "Debian's fonts-noto-color-emoji."
            )
        self._glyphs: dict[int, str] = tables.getBestCmap()
        self._bitmaps = tables["CBDT"].strikeData[0]
        self._sequences = {
            (first, *ligature.Component): ligature.LigGlyph
            for lookup in tables["GSUB"].table.LookupList.Lookup
            if lookup.LookupType == _LIGATURES
            for table in lookup.SubTable
            for first, ligatures in table.ligatures.items()
            for ligature in ligatures
        }

    def png(self, emoji: str) -> bytes:
        """Return the bytes of the picture as they stand in the font.

        Raises:
            MiniWebError: The font has no such picture.
        """
        codes = [ord(character) for character in emoji if character != _VARIATION_SELECTOR]
        glyphs = tuple(self._glyphs.get(code, "") for code in codes)
        name = glyphs[0] if len(glyphs) == 1 else self._sequences.get(glyphs)
        if name not in self._bitmaps:
            raise MiniWebError(f"{self._font} has no picture of {emoji!r} ({codes}).")
        return bytes(self._bitmaps[name].imageData)

    def encode(self, emoji: str, extension: str) -> bytes:
        """Return the picture as a file: "png" and "webp" with alpha, "jpg" and "gif" over white."""
        if extension == "png":
            return self.png(emoji)  # not encoded again: compressors differ between machines
        file = io.BytesIO()
        if extension == "webp":
            self._open(emoji).save(file, "WEBP", quality=90, method=6)
        elif extension == "gif":
            _over_white(self._open(emoji)).quantize(64).save(file, "GIF")
        else:
            _save_jpeg(_over_white(self._open(emoji)), file)
        return file.getvalue()

    def animation(self, emoji: str) -> bytes:
        """Return an animated GIF of the picture that turns."""
        still = _over_white(self._open(emoji))
        frames = [still.rotate(angle, fillcolor="white").quantize(32) for angle in (0, 24, 48)]
        file = io.BytesIO()
        frames[0].save(
            file, "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0, disposal=2
        )
        return file.getvalue()

    def banner(self, emoji: Sequence[str], size: tuple[int, int]) -> bytes:
        """Return a JPEG of `size` with small pictures side by side from the left."""
        width, height = size
        canvas = Image.new("RGB", size, "white")
        for number, one in enumerate(emoji):
            picture = self._open(one).resize((height, height))
            canvas.paste(picture, (number * width // len(emoji), 0), picture)
        file = io.BytesIO()
        _save_jpeg(canvas, file)
        return file.getvalue()

    def _open(self, emoji: str) -> Image.Image:
        return Image.open(io.BytesIO(self.png(emoji))).convert("RGBA")


def _over_white(picture: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", (_SIDE, _SIDE), "white")
    canvas.alpha_composite(picture, ((_SIDE - picture.width) // 2, (_SIDE - picture.height) // 2))
    return canvas.convert("RGB")


def _save_jpeg(image: Image.Image, file: io.BytesIO) -> None:
    image.save(file, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True)
