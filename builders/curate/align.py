"""Score how well the text of a sample fits its image, by a model of both."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.culture.images.picture import turn_upright
from mella.builders.curate.dual_encoder import DualEncoder, EncoderParams
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema([pa.field("image", pa.large_binary()), pa.field("text", pa.string())])
WRITES = pa.schema(
    [
        pa.field("alignment_score", pa.float64()),
        pa.field("alignment_tokens_cut", pa.int32()),
        REASON,
    ]
)

_DIGITS = 4


def align_step(params: EncoderParams) -> Step:
    """Return the step that scores the fit of image and text.

    `alignment_score` is the cosine of their vectors, -1 to 1, of four digits: what depends on the
    number of threads lies behind these. `alignment_tokens_cut` is how many tokens of the text the
    model did not see, for it takes no more. Both are null without a model. Which scores are good
    depends on the model and the language: cut them by a quantile, in [cuts].

    It rejects only what cannot be decoded: `align:unreadable`.
    """
    return Step(
        name="align",
        version=1,
        fn=_score,
        reads=READS,
        writes=WRITES,
        params=params,
        setup=load_encoder,
    )


def load_encoder(params: EncoderParams, _: SideReader | None = None) -> DualEncoder | None:
    """Load the model; None where there is none."""
    return None if params.backend == "none" else DualEncoder(params)


def picture(data: bytes | None) -> Image.Image | None:
    """Return a stored image upright, in RGB; None if it cannot be decoded."""
    try:
        image = JpegImageFile(io.BytesIO(data or b""))
        turn_upright(image)
        return image.convert("RGB")
    except Exception:  # noqa: BLE001 - decoders raise whatever they stumble over
        return None


def _score(table: pa.Table, params: EncoderParams, encoder: DualEncoder | None) -> pa.Table:
    if encoder is None:
        nothing = [pa.nulls(table.num_rows, field.type) for field in WRITES]
        return pa.table(nothing, schema=WRITES)
    rows: list[dict[str, Any]] = []
    for batch in table.to_batches(params.batch):  # no more pictures are decoded at once
        rows += _of_batch(batch.to_pylist(), encoder)
    return pa.Table.from_pylist(rows, schema=WRITES)


def _of_batch(rows: list[dict[str, Any]], encoder: DualEncoder) -> list[dict[str, Any]]:
    pictures = [picture(row["image"]) for row in rows]
    good = [at for at, one in enumerate(pictures) if one is not None]
    scored: list[dict[str, Any]] = [{REASON.name: "align:unreadable"} for _ in rows]
    if good:
        images = encoder.images([one for one in pictures if one is not None])
        texts, cut = encoder.texts([rows[at]["text"] or "" for at in good])
        cosines = np.sum(images * texts, axis=1)
        for at, cosine, lost in zip(good, cosines, cut, strict=True):
            scored[at] = {
                "alignment_score": round(float(cosine), _DIGITS),
                "alignment_tokens_cut": lost,
            }
    return scored
