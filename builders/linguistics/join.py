"""Bring captions and images together by the hash of the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from mella.builders.engine.step import REASON, Step
from mella.builders.linguistics.entries import ABOUT_IMAGE, CAPTION, ENTRIES, PLACE

READS = pa.schema([field for field in ENTRIES if field.name not in (REASON.name, "split")])
PAIRS = pa.schema(
    [
        pa.field("id", pa.string()),  # of the caption; of the image where there is none
        pa.field("file_sha256", pa.string()),
        *PLACE,
        *ABOUT_IMAGE,
        *CAPTION,
        REASON,
    ]
)
"""An image and a caption of it, or one of them with the reason why it is alone."""

# Images are read and packed in parts of this size.
_PART_ROWS = 512

Row = dict[str, Any]


@dataclass(frozen=True)
class JoinParams:
    """Nothing to choose."""


def join_step(params: JoinParams) -> Step:
    """Return the step that makes a row of each caption with its image.

    An image without a caption gets `join:no_caption`, a caption without an image `join:no_image`,
    and a further file with the same bytes `join:repeated_image`: one that a release knows counts
    before others. An image may have several captions in a language; which of them is best is for
    later steps, that know which are good.
    """
    return Step(
        name="join",
        version=1,
        fn=_join,
        reads=READS,
        writes=PAIRS,
        params=params,
        by="file_sha256",
        expands=True,
        unit="pairs",
        part_rows=_PART_ROWS,
    )


def _join(table: pa.Table, _: JoinParams, __: Any) -> Iterator[pa.Table]:
    # Rows come in the order of the inputs, and keep it.
    rows = sorted(table.to_pylist(), key=lambda row: row["file_sha256"])
    for _image, same in groupby(rows, key=lambda row: row["file_sha256"]):
        group = list(same)
        images = [row for row in group if row["kind"] == "image"]
        images.sort(key=lambda image: image["image_url"] is None)
        captions = [row for row in group if row["kind"] == "caption"]
        yield pa.Table.from_pylist([*_pairs(images, captions)], schema=PAIRS)


def _pairs(images: list[Row], captions: list[Row]) -> Iterator[Row]:
    for caption in captions:
        pair = {name: caption[name] for name in ("id", "file_sha256", *CAPTION.names)}
        if not images:
            yield {**pair, "reason": "join:no_image"}
            continue
        pair |= {name: images[0][name] for name in (*PLACE.names, *ABOUT_IMAGE.names)}
        yield pair
    for number, image in enumerate(images):
        if number or not captions:
            alone = {name: image[name] for name in PAIRS.names if name != REASON.name}
            yield {**alone, "reason": "join:repeated_image" if number else "join:no_caption"}
