"""Reject the texts that a site repeats: the words of its template, not of a picture.

An `alt` such as "Foto k článku" is a good sentence, and only the site as a whole shows that it says
nothing: it stands beside every image. What counts is on how many images and on how many pages a
text is, with letter case, punctuation and numbers set aside ("Snímek 12 z galerie").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [pa.field(name, pa.string()) for name in ("domain", "page_url", "image_url", "text")]
)
WRITES = pa.schema([REASON])

_SITE_WIDE = "repetition:site_wide"
_NOT_WORDS = r"[^\p{L}\p{M}\p{Nd}]+"
_NUMBERS = r"\p{Nd}+"

Use = tuple[str | None, str | None]
"""A domain and a text on it, compared without letter case and punctuation."""


@dataclass(frozen=True)
class RepetitionParams:
    """How often a site may use a text.

    A picture that many pages show counts once as an image. Where a site is a host of many sites (a
    platform for blogs), raise these.

    Attributes:
        max_images: Different images of a domain that may have the same text.
        max_pages: Different pages of a domain that may have the same text.
        max_numbered: Different images of a domain whose texts may differ in their numbers alone; a
            text without a number is not counted here.
    """

    max_images: int = 5
    max_pages: int = 10
    max_numbered: int = 10

    def __post_init__(self) -> None:
        check_least(self, {"max_images": 1, "max_pages": 1, "max_numbered": 1})


def repetition_step(params: RepetitionParams) -> Step:
    """Return the step that rejects the texts that are all over a site."""
    return Step(
        name="repetition",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=params,
        by="domain",
    )


def _mark(table: pa.Table, params: RepetitionParams, _: Any) -> pa.Table:
    texts = pc.replace_substring_regex(pc.utf8_lower(table["text"]), _NOT_WORDS, " ")
    texts = pc.utf8_trim_whitespace(texts)
    numberless = pc.replace_substring_regex(texts, _NUMBERS, "0").to_pylist()
    texts, domains = texts.to_pylist(), table["domain"].to_pylist()
    uses = [*zip(domains, texts, strict=True)]
    numbered_uses = [*zip(domains, numberless, strict=True)]
    images = _distinct(uses, table["image_url"])
    pages = _distinct(uses, table["page_url"])
    numbered = _distinct(numbered_uses, table["image_url"])
    reasons = [
        _SITE_WIDE
        if use[1] is not None
        and (
            len(images[use]) > params.max_images
            or len(pages[use]) > params.max_pages
            or ("0" in same[1] and len(numbered[same]) > params.max_numbered)
        )
        else None
        for use, same in zip(uses, numbered_uses, strict=True)
    ]
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _distinct(uses: Iterable[Use], values: pa.ChunkedArray) -> dict[Use, set[str | None]]:
    """Return the different values that go with each use of a text."""
    found: dict[Use, set[str | None]] = {}
    for use, value in zip(uses, values.to_pylist(), strict=True):
        found.setdefault(use, set()).add(value)
    return found
