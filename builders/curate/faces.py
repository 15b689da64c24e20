"""Find the faces in a picture, and make them unrecognisable.

The detector is NudeNet 3 (320n), a YOLOv8 network with two classes of faces among its eighteen. It
sees the picture at 320 pixels: a face of less than about a twelfth of the longer side is missed.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.culture.images.picture import encode_jpeg, turn_upright
from mella.builders.curate.onnx_models import PackedModel

NUDENET = PackedModel(
    package="nudenet",
    file="320n.onnx",
    sha256="c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
    install="'mella[faces]'",
)

FACE_BOXES = pa.field(
    "face_boxes",
    pa.list_(
        pa.struct(
            [pa.field(name, pa.float64()) for name in ("left", "top", "right", "bottom", "score")]
        )
    ),
)
"""Where faces are, as shares of the width and height of the upright image; null: not looked for."""

_SIDE = 320
# Processors add up floats in different orders; beyond this the numbers say nothing.
_DIGITS = 4
_FACE_CLASSES = [4 + 1, 4 + 12]  # female, male; the first four numbers are the box
_SAME_FACE = 0.45  # intersection over union of two boxes
# Pixels across a face that are left: too few to know anybody by, and no filter brings more back.
_LEFT = 6

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """A face: edges as shares (0 to 1) of the upright picture's width and height, and how sure."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


class FaceDetector:
    """Finds faces."""

    def __init__(self, min_score: float) -> None:
        """Load the model.

        Args:
            min_score: Fainter faces, from 0 to 1, are left out.

        Raises:
            MissingPackageError: A package is not installed.
            ModelError: The package holds another model.
        """
        self._session = NUDENET.open()
        self._min_score = min_score

    def find(self, image: Image.Image) -> list[Face]:
        """Return the faces of an upright RGB picture, the surest first."""
        longer = max(image.size)
        width, height = (max(1, round(side * _SIDE / longer)) for side in image.size)
        square = np.zeros((_SIDE, _SIDE, 3), dtype=np.float32)
        small = image.resize((width, height), Image.Resampling.BILINEAR)
        square[:height, :width] = np.asarray(small, dtype=np.float32) / 255
        made = self._session.run(np.ascontiguousarray(square.transpose(2, 0, 1)[None]))[0].T
        scores = made[:, _FACE_CLASSES].max(axis=1)
        sure = scores >= self._min_score
        middle, half = made[sure, :2], made[sure, 2:4] / 2
        boxes = np.concatenate([middle - half, middle + half], axis=1)
        boxes = (boxes / np.array([width, height] * 2, dtype=np.float32)).clip(0, 1)
        return [
            Face(*_edges(box), score=round(score, _DIGITS))
            for box, score in _distinct(boxes, scores[sure])
        ]


def _edges(box: Boxes) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(edge), _DIGITS) for edge in box)
    return left, top, right, bottom


def _distinct(boxes: Boxes, scores: Boxes) -> list[tuple[Boxes, float]]:
    """Return the boxes but those that lie over a surer one, the surest first."""
    kept: list[tuple[Boxes, float]] = []
    # Of equal scores the first: a stable order.
    for place in np.argsort(-scores, kind="stable"):
        if all(_overlap(boxes[place], box) <= _SAME_FACE for box, _ in kept):
            kept.append((boxes[place], float(scores[place])))
    return kept


def _overlap(a: Boxes, b: Boxes) -> float:
    """Return the intersection of two boxes over their union."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(sides.clip(min=0).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / union if union > 0 else 0.0


def to_rows(faces: Iterable[Face]) -> list[dict[str, Any]]:
    """Return faces as values of the column `face_boxes`."""
    return [asdict(face) for face in faces]


def blur_faces(data: bytes, faces: Sequence[Face], margin: float) -> tuple[bytes, tuple[int, int]]:
    """Blur faces in a stored JPEG, which is decoded, turned upright and encoded again.

    Args:
        data: A JPEG in the stored form.
        faces: At least one.
        margin: How much of a face's width and height is blurred beyond it, on each side.

    Returns:
        The new JPEG and its width and height. Equal input gives equal bytes (with the same Pillow).
    """
    image: Image.Image = JpegImageFile(io.BytesIO(data))
    turn_upright(image)
    for face in faces:
        box = _pixels(face, image.size, margin)
        part = image.crop(box)
        width, height = part.size
        shorter = min(width, height)
        few = (max(1, _LEFT * width // shorter), max(1, _LEFT * height // shorter))
        mosaic = part.resize(few, Image.Resampling.BOX)
        image.paste(mosaic.resize(part.size, Image.Resampling.BICUBIC), box)
    return encode_jpeg(image), image.size


def _pixels(face: Face, size: tuple[int, int], margin: float) -> tuple[int, int, int, int]:
    """Return the box of a face with its margin: at least a pixel, inside the picture."""
    width, height = size
    beyond_x = margin * (face.right - face.left)
    beyond_y = margin * (face.bottom - face.top)
    left = min(width - 1, max(0, int((face.left - beyond_x) * width)))
    top = min(height - 1, max(0, int((face.top - beyond_y) * height)))
    right = max(left + 1, min(width, round((face.right + beyond_x) * width)))
    bottom = max(top + 1, min(height, round((face.bottom + beyond_y) * height)))
    return left, top, right, bottom
