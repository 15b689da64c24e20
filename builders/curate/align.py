"""Score how well the text of a sample fits its image, by a model of both."""

from typing import Any

import numpy as np
import pyarrow as pa

from mella.builders.curate.dual_encoder import (
    DualEncoder,
    Encoder,
    EncoderParams,
    find_encoder,
    load_encoder,
)
from mella.builders.curate.stored_picture import stored_picture
from mella.builders.engine.step import REASON, SideReader, Step, no_values

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
    scores = params.backend != "none"
    return Step(
        name="align",
        version=1,
        fn=_score if scores else _nothing,
        reads=READS if scores else READS_OF_NONE,
        writes=WRITES,
        params=find_encoder(params),  # now, and not after a day of fetching
        setup=_load if scores else None,
    )


def _load(encoder: Encoder, _: SideReader | None) -> DualEncoder:
    return load_encoder(encoder)


def _nothing(table: pa.Table, _encoder: Encoder, _: None) -> pa.Table:
    return no_values(table, WRITES)


def _score(table: pa.Table, encoder: Encoder, model: DualEncoder) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for batch in table.to_batches(encoder.params.batch):  # no more pictures are decoded at once
        rows += _of_batch(batch.to_pylist(), model)
    return pa.Table.from_pylist(rows, schema=WRITES)


def _of_batch(rows: list[dict[str, Any]], model: DualEncoder) -> list[dict[str, Any]]:
    pictures = [stored_picture(row["image"]) for row in rows]
    good = [at for at, one in enumerate(pictures) if one is not None]
    scored: list[dict[str, Any]] = [{REASON.name: "align:unreadable"} for _ in rows]
    if good:
        images = model.images([one for one in pictures if one is not None])
        texts, cut = model.texts([rows[at]["text"] or "" for at in good])
        cosines = np.sum(images * texts, axis=1)
        for at, cosine, lost in zip(good, cosines, cut, strict=True):
            scored[at] = {
                "alignment_score": round(float(cosine), _DIGITS),
                "alignment_tokens_cut": lost,
            }
    return scored
