"""Read the images that good captions want, and bring those from folders into the stored form."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella.builders.culture.images.picture import ImageRules, StoredImage, normalise_image
from mella.builders.engine.step import REASON, Step
from mella.builders.linguistics.entries import PLACE

READS = pa.schema(
    [*PLACE, pa.field("file_sha256", pa.string()), pa.field("original_format", pa.string())]
)
WRITES = pa.schema(
    [
        pa.field("image", pa.large_binary()),
        pa.field("sha256", pa.string()),  # of the stored image
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("original_format", pa.string()),  # before it was stored, here or in the release
        pa.field("phash", pa.string()),
        REASON,
    ]
)


@dataclass(frozen=True)
class PoolParams:
    """Which images are kept.

    Attributes:
        rules: Which are kept.
    """

    rules: ImageRules = field(default_factory=ImageRules)


def images_step(params: PoolParams) -> Step:
    """Return the step that reads, checks and stores the image of each pair.

    Reasons: `image:unreadable`, `image:changed` (since it was listed), and those of
    `mella.builders.culture.images.picture`.
    """
    return Step(
        name="images",
        version=3,
        fn=_read_all,
        reads=READS,
        writes=WRITES,
        params=params,
    )


def _read_all(table: pa.Table, params: PoolParams, _: Any) -> pa.Table:
    rows: dict[str, dict[str, Any]] = {}
    wanted = table.to_pylist()
    for row in wanted:
        if row["file_sha256"] not in rows:
            rows[row["file_sha256"]] = _read(row, params)
    return pa.Table.from_pylist([rows[row["file_sha256"]] for row in wanted], schema=WRITES)


def _read(row: dict[str, Any], params: PoolParams) -> dict[str, Any]:
    try:
        with Path(row["path"]).open("rb") as file:
            file.seek(row["offset"])
            data = file.read(row["size"])
    except OSError:
        return {"reason": "image:unreadable"}
    if hashlib.sha256(data).hexdigest() != row["file_sha256"]:
        return {"reason": "image:changed"}
    image = normalise_image(data, params.rules)
    if not isinstance(image, StoredImage):
        return asdict(image)
    return {
        "image": image.data,
        "sha256": hashlib.sha256(image.data).hexdigest(),
        "width": image.width,
        "height": image.height,
        "bytes": len(image.data),
        "original_format": row["original_format"] or image.original_format,
        "phash": image.phash,
    }
