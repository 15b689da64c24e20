"""Pictures for the tests, and their files."""

import io

import numpy as np
from PIL import Image


def picture(mode="RGB", size=(240, 180), seed=1):
    """Some smooth shapes, different in each quarter, as photographs are."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (5, 6, 4), np.uint8)
    smooth = Image.fromarray(low, "RGBA").resize(size, Image.Resampling.BICUBIC)
    if mode in ("RGBA", "LA"):
        return smooth.convert(mode)
    return smooth.convert("RGB").convert(mode)


def save(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def load(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
