"""Score how much a picture looks like rendered text and nothing else: a banner, a title, a notice.

Such pictures pass for images with a good text, for their `alt` says what is written in them. Four
things tell them, in any script, and none is read: most of the picture is one flat colour; what is
drawn on it is of thin strokes, with neither solid shapes nor shades between; it stands in lines a
few strokes high; and each line has many strokes side by side. The score is that of the trait which
fits least.

A trait fits from 0 to 1, in a straight line between two bounds. The bounds were set on banners in
the eight languages, against photographs, screenshots, emoji, drawings and posters. Lists of words
on a flat ground, as menus of programs are, count as text.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

MIN_SIDE = 150
"""Pixels of the shorter side that strokes are looked for in, at least."""

_LEVELS = 9  # of 256, around the commonest: noise of compression stays within
_LEAST_FLAT, _FLAT = 0.5, 0.6  # share of the picture that is of these levels
_GLANCE = 64  # pixels of the shorter side that flatness shows in
_FAINT, _SHADE, _CONTRAST = 32, 16, 0.4
_LEAST_INK = 40  # pixels
# Longer strokes, as shares of the picture, are rules and frames.
_LINE_ACROSS, _LINE_DOWN = 0.3, 0.5
_THICK = 3  # strokes wide: a solid shape
_TOUCHED = 0.004  # share of a row that has ink: less is dirt

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def may_be_text(image: Image.Image) -> bool:
    """Whether so much of a picture is flat that it may be text; a scaled-down one is enough.

    It is far cheaper than the closer look, which most photographs do not need.
    """
    histogram = _histogram(np.asarray(_reduced(image, _GLANCE).convert("L")))
    return _flat_share(histogram) > _LEAST_FLAT


def text_score(image: Image.Image) -> float:
    """Return how much an RGB or grey picture looks like text and nothing else, from 0 to 1.

    Args:
        image: Upright, its shorter side `MIN_SIDE` or more: in a smaller one strokes run together.
    """
    small = _reduced(image, MIN_SIDE).convert("RGB")
    levels = np.asarray(small.convert("L"))
    histogram = _histogram(levels)
    flat = _rising(_flat_share(histogram), _LEAST_FLAT, _FLAT)
    if not flat:
        return 0.0
    ink, shades = _ink(np.asarray(small, dtype=np.int16), levels, _commonest(histogram))
    count = np.count_nonzero(ink)
    if count < _LEAST_INK:
        return 0.0
    height, width = ink.shape
    stroke = float(count) / max(_count_runs(ink), _count_runs(ink.T))
    thick = max(4, round(_THICK * stroke))
    solid = np.count_nonzero(_in_runs(ink, thick) & _in_runs(ink.T, thick).T) / count
    rules = _in_runs(ink, max(12, int(_LINE_ACROSS * width)))
    rules |= _in_runs(ink.T, max(12, int(_LINE_DOWN * height))).T
    words = ink & ~rules
    touched = words.mean(axis=1) > _TOUCHED
    line = _mean_run(touched) / stroke
    across = _count_runs(words[touched]) / max(1, int(np.count_nonzero(touched)))
    traits = (
        flat,
        _falling(stroke, 9, 15),
        _falling(solid, 0.06, 0.16),
        _falling(shades / count, 1.0, 1.6),
        _rising(line, 2, 3),
        _falling(line, 11, 16),
        _rising(across, 4, 7),
    )
    return round(float(min(traits)), 3)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """Return a picture made smaller by a whole factor, its shorter side not less than `side`."""
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _rising(value: float, none: float, full: float) -> float:
    return min(1.0, max(0.0, (value - none) / (full - none)))


def _falling(value: float, full: float, none: float) -> float:
    return 1.0 - _rising(value, full, none)


def _histogram(levels: npt.NDArray[np.uint8]) -> Numbers:
    counts: Numbers = np.bincount(levels.ravel(), minlength=256)
    return counts


def _near(histogram: Numbers) -> Numbers:
    """Return for each level how many pixels are within `_LEVELS // 2` of it."""
    near: Numbers = np.convolve(histogram, np.ones(_LEVELS, dtype=np.int64), "same")
    return near


def _flat_share(histogram: Numbers) -> float:
    return float(_near(histogram).max() / histogram.sum())


def _commonest(histogram: Numbers) -> int:
    return int(_near(histogram).argmax())


def _ink(
    colours: npt.NDArray[np.int16], levels: npt.NDArray[np.uint8], ground: int
) -> tuple[Mask, int]:
    """Return where a picture stands out from its ground, and how many pixels do so a little.

    Args:
        colours: Shape (height, width, 3).
        levels: Brightness, shape (height, width).
        ground: The commonest brightness.
    """
    on_ground = np.abs(levels.astype(np.int16) - ground) <= _LEVELS // 2
    colour = np.median(colours[on_ground], axis=0).astype(np.int16)
    distance = np.abs(colours - colour).max(axis=2)
    clear = distance[distance > _FAINT]
    contrast = np.percentile(clear, 90) if clear.size else 0
    ink = distance > max(_FAINT, _CONTRAST * contrast)
    return ink, int(np.count_nonzero((distance > _SHADE) & ~ink))


def _count_runs(mask: Mask) -> int:
    """Return in how many pieces the rows of a mask are."""
    begins = np.count_nonzero(mask[:, 1:] & ~mask[:, :-1])
    return int(begins + np.count_nonzero(mask[:, 0]))


def _in_runs(mask: Mask, least: int) -> Mask:
    """Return what of a mask lies in runs along its rows, of `least` pixels or more."""
    height, width = mask.shape
    steps = np.zeros((height, width + 2), dtype=np.int8)
    steps[:, 1:-1] = mask
    changes = np.diff(steps.ravel())
    starts, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    long = ends - starts >= least
    marks = np.zeros(height * (width + 2), dtype=np.int32)
    marks[starts[long] + 1] = 1
    marks[ends[long] + 1] = -1  # the last pixel of a row is never ink: no end meets a start
    runs: Mask = np.cumsum(marks).reshape(height, width + 2)[:, 1:-1] > 0
    return runs


def _mean_run(touched: npt.NDArray[np.bool_]) -> float:
    """Return the mean length of the runs of touched rows, each row with one vote."""
    changes = np.diff(np.concatenate([[False], touched, [False]]).astype(np.int8))
    lengths = np.flatnonzero(changes == -1) - np.flatnonzero(changes == 1)
    return float(np.average(lengths, weights=lengths)) if len(lengths) else 0.0
