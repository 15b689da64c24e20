"""Give each sample a category: by the terms in its text, or by what a model sees in its image."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mella.builders.curate.categories.lexicon import lexicon
from mella.builders.curate.categories.taxonomy import TAXONOMY, categories, digest_of
from mella.builders.curate.dual_encoder import (
    DualEncoder,
    Encoder,
    EncoderParams,
    Vectors,
    find_encoder,
    load_encoder,
)
from mella.builders.curate.stored_picture import stored_picture
from mella.builders.engine.step import SideReader, Step, no_values
from mella.errors import MellaError

BY_TEXT = pa.schema([pa.field("text", pa.string()), pa.field("lang", pa.string())])
BY_IMAGE = pa.schema([pa.field("image", pa.large_binary())])
WRITES = pa.schema(
    [
        pa.field("category", pa.string()),
        pa.field("category_score", pa.float64()),
        pa.field("category_origin", pa.string()),  # "text" or "image"
    ]
)

_BACKENDS = ("none", "lexical", "image")
_DIGITS = 4


class CategoriseError(MellaError, ValueError):
    """Categories by image are asked for, but there is no model."""


@dataclass(frozen=True)
class CategoriseParams:
    """Where categories come from.

    Attributes:
        backend: "lexical": the terms in the text; "image": the model of [align]; "none": nowhere.
        encoder: The model of [align].
    """

    backend: Literal["none", "lexical", "image"] = "lexical"
    encoder: EncoderParams = field(default_factory=EncoderParams)

    def __post_init__(self) -> None:
        if self.backend not in _BACKENDS:
            raise ValueError(f"backend = {self.backend!r} must be one of {', '.join(_BACKENDS)}.")


@dataclass(frozen=True)
class _Keyed:
    """What categories depend on: other terms, classes or models are another key."""

    encoder: Encoder
    digest: str


@dataclass(frozen=True)
class ZeroShot:
    """A model, and what its texts say of each class: (classes, width)."""

    encoder: DualEncoder
    classes: Vectors


def categorise_step(params: CategoriseParams) -> Step:
    """Return the step that names a category of the taxonomy (docs/categories.md).

    By text, `category_score` is the share of what the text says that is in the class; by image, the
    probability that the model gives it among all classes. The two cannot be compared:
    `category_origin` tells which it is. All three are null where nothing is known. No row is
    rejected.

    Raises:
        CategoriseError: Categories come from the image, but there is no model.
        EncoderError: A package or the folder of the model is not there.
    """
    if params.backend == "image" and params.encoder.backend == "none":
        raise CategoriseError(
            '[categorise] backend = "image" takes the model of [align], which has none: set its '
            "backend and model, or take categories from the text."
        )
    by_image = params.backend == "image"
    # Now, and not after a day of fetching; where no model is asked, none is in the key.
    encoder = find_encoder(params.encoder if by_image else EncoderParams())
    files = {"none": (), "lexical": ("terms", TAXONOMY), "image": (TAXONOMY,)}[params.backend]
    return Step(
        name="categorise",
        version=1,
        fn={"none": _nothing, "lexical": _by_text, "image": _by_image}[params.backend],
        reads=BY_IMAGE if by_image else BY_TEXT,
        writes=WRITES,
        params=_Keyed(encoder, digest_of(*files)),
        setup=_load if by_image else None,
    )


def _load(keyed: _Keyed, _: SideReader | None) -> ZeroShot:
    model = load_encoder(keyed.encoder)
    means = [model.texts(one.prompts)[0].mean(axis=0) for one in categories().values()]
    stacked = np.stack(means)
    return ZeroShot(model, stacked / np.linalg.norm(stacked, axis=1, keepdims=True))


def _nothing(table: pa.Table, _keyed: _Keyed, _: Any) -> pa.Table:
    return no_values(table, WRITES)


def _by_text(table: pa.Table, _keyed: _Keyed, _: Any) -> pa.Table:
    rows = []
    for text, lang in zip(table["text"].to_pylist(), table["lang"].to_pylist(), strict=True):
        terms = lexicon(lang) if lang else None
        found = terms.find(text or "") if terms else None
        rows.append(_row(found.category, found.score, "text") if found else {})
    return pa.Table.from_pylist(rows, schema=WRITES)


def _by_image(table: pa.Table, keyed: _Keyed, model: ZeroShot) -> pa.Table:
    names = list(categories())
    rows: list[dict[str, Any]] = []
    for batch in table.to_batches(keyed.encoder.params.batch):
        pictures = [stored_picture(data) for data in batch["image"].to_pylist()]
        good = [one for one in pictures if one is not None]
        shares = iter(_shares(model, good) if good else np.zeros((0, len(names)), np.float32))
        for one in pictures:
            if one is None:
                rows.append({})
                continue
            share = next(shares)
            best = int(share.argmax())
            rows.append(_row(names[best], round(float(share[best]), _DIGITS), "image"))
    return pa.Table.from_pylist(rows, schema=WRITES)


def _shares(model: ZeroShot, images: list[Any]) -> Vectors:
    """Return the probability of each class for each image: a softmax over all of them."""
    logits = model.encoder.scale * (model.encoder.images(images) @ model.classes.T)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Vectors = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _row(category: str | None, score: float | None, origin: str) -> dict[str, Any]:
    if category is None:
        return {}
    return {"category": category, "category_score": score, "category_origin": origin}
