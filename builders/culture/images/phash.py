"""The perceptual hash: 64 bits that change little where a picture looks the same.

After the hash of C. Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions,
2010): the signs of the lowest frequencies of a small picture's DCT-II. It differs in two things:

- Colour counts, in 16 of the bits: many flags, dishes and costumes differ in nothing else.
- Frequencies no stronger than noise leave their bit unset, so that the hash of a flat picture does
  not hang on how it was compressed, and shows by how few of its bits are set that it says little.
"""

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

THUMBNAIL = 32
"""Pixels a side of the small picture."""

GREY_BITS = 48
"""The first bits are of brightness; half of each of the rest are of blue and of red."""

_COLOUR_BITS = 8
_HASH = re.compile("[0-9a-fA-F]{16}")
_FREQUENCIES = 8  # a side
# Twice the standard deviation that noise of two levels (of 255) gives each frequency.
_NOISE = 64.0

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


def perceptual_hash(image: Image.Image) -> str:
    """Return the hash of an upright picture, as 16 hex digits.

    Brightness gives 48 bits, its lowest frequencies without the mean: whether each is above their
    median. The two colour differences (JFIF's Cb and Cr) give 8 each, with the mean: whether it is
    above neutral. Bits stand in the order of the frequencies, the lowest first.
    """
    size = (THUMBNAIL, THUMBNAIL)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BOX)
    planes = np.asarray(image.convert("RGB").convert("YCbCr"), dtype=np.float64) - 128
    waves, rows, columns = _waves()
    strengths = (waves @ planes.transpose(2, 0, 1) @ waves.T)[:, rows, columns]
    grey = strengths[0, 1 : 1 + GREY_BITS]
    colours = strengths[1:, :_COLOUR_BITS]
    bits = np.concatenate([grey > np.median(grey) + _NOISE, *(colours > _NOISE)])
    return np.packbits(bits).tobytes().hex()


def to_numbers(hashes: Sequence[str]) -> Hashes:
    """Return hashes of 16 hex digits as unsigned numbers, shape (len(hashes),).

    Raises:
        ValueError: One is not 16 hex digits.
    """
    if wrong := [one for one in hashes if not _HASH.fullmatch(one)]:
        raise ValueError(f"A perceptual hash is 16 hex digits, got {wrong[0]!r}.")
    return np.frombuffer(bytes.fromhex("".join(hashes)), dtype=">u8").astype(np.uint64)


def to_text(number: int) -> str:
    """Return a hash as 16 hex digits."""
    return f"{number:016x}"


def says_enough(hashes: Hashes, least: int) -> Flags:
    """Return for each hash whether at least `least` of its bits of brightness are set.

    Where a picture has something to tell half of the 48 are, 24; in flat pictures (a word or a
    small sign on white, a gradient, a flag of three stripes) most frequencies are not above noise.
    """
    grey = hashes >> np.uint64(64 - GREY_BITS)
    enough: Flags = np.bitwise_count(grey) >= least
    return enough


@functools.cache
def _waves() -> tuple[Any, Any, Any]:
    """Return the waves of the DCT-II, one in each row, and the place of each frequency in order."""
    at = np.arange(THUMBNAIL) + 0.5
    waves = np.cos(np.pi / THUMBNAIL * np.outer(np.arange(_FREQUENCIES), at))
    row, column = np.divmod(np.arange(_FREQUENCIES**2), _FREQUENCIES)
    order = np.lexsort((row, row**2 + column**2))
    return waves, row[order], column[order]
