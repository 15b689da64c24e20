"""Images to move about: JPEGs whose content does not matter."""

import io

import numpy as np
from PIL import Image


def noise_images() -> list[bytes]:
    """Return 16 different JPEGs of 400 x 300 pixels, about 50 KB each."""
    noise = np.random.default_rng(0)
    images = []
    for _ in range(16):
        file = io.BytesIO()
        small = Image.fromarray(noise.integers(0, 255, (60, 80, 3), dtype=np.uint8))
        small.resize((400, 300)).save(file, "JPEG", quality=95)
        images.append(file.getvalue())
    return images
