"""Score how well the text of a sample fits its image, by a model of both."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mella.builders.culture.images.picture import turn_upright
from mella.builders.curate.dual_encoder import (
    DualEncoder,
    EncoderKey,
    EncoderLoader,
    EncoderParams,
    check_encoder,
    encoder_key,
)
from mella.builders.engine.step import REASON, Step

READS = pa.schema([pa.field("image", pa.large_binary()), pa.field("text", pa.string())])
READS_OF_NONE = pa.schema([pa.field("text", pa.string())])  # images are most of what there is
WRITES = pa.schema(
    [
        pa.field("alignment_score", pa.float64()),
        pa.field("alignment_tokens_cut", pa.int32()),
        REASON,
    ]
)

_DIGITS = 4
_SHORTER = 512  # pixels, at least: more than any model looks at
_LONGER = 8 * _SHORTER  # pixels, at most: what no ratio of sides exceeds


def align_step(params: EncoderParams) -> Step:
    """Return the step that scores the fit of image and text.

    `alignment_score` is the cosine of their vectors, -1 to 1, of four digits: what depends on the
    number of threads lies behind these. `alignment_tokens_cut` is how many tokens of the text the
    model did not see, for it takes no more. Both are null without a model. Which scores are good
    depends on the model and the language: cut them by a quantile, in [cuts].

    It rejects only what cannot be decoded: `align:unreadable`.

    Raises:
        EncoderError: A package or the folder of the model is not there.
    """
    check_encoder(params)  # now, and not after a day of fetching
    scores = params.backend != "none"
    return Step(
        name="align",
        version=1,
        fn=_score if scores else _nothing,
        reads=READS if scores else READS_OF_NONE,
        writes=WRITES,
        params=encoder_key(params),
        setup=EncoderLoader(params) if scores else None,
    )


def picture(data: bytes | None) -> Image.Image | None:
    """Return a stored image as models look at it: upright, in RGB, not larger than they need.

    Its shorter side keeps at least 512 pixels, or all that it has; its longer side has at most
    4096. So a batch of pictures has a bound, whatever was stored.

    Returns:
        None if it cannot be decoded.
    """
    try:
        image: Image.Image = JpegImageFile(io.BytesIO(data or b""))
        image.draft(image.mode, (_SHORTER, _SHORTER))
        turn_upright(image)
        image.thumbnail((_LONGER, _LONGER))
        return image.convert("RGB")
    except Exception:  # noqa: BLE001 - decoders raise whatever they stumble over
        return None


def _nothing(table: pa.Table, _key: EncoderKey, _: None) -> pa.Table:
    return pa.table([pa.nulls(table.num_rows, field.type) for field in WRITES], schema=WRITES)


def _score(table: pa.Table, _key: EncoderKey, encoder: DualEncoder) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for batch in table.to_batches(encoder.batch):  # no more pictures are decoded at once
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
