"""Choose train, validation or test for each row: by hash, so it is stable as the data grow."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from mella.builders.engine.step import REASON, Step

WRITES = pa.schema([pa.field("split", pa.string()), REASON])

_STRICTEST_FIRST = ("test", "validation", "train")


@dataclass(frozen=True)
class SplitParams:
    """How much is held out.

    Attributes:
        validation: Share of the domains, 0 to 1.
        test: Share of the domains, 0 to 1.
        salt: Another one makes another split. All sources of a repository share one.
    """

    validation: float = 0.01
    test: float = 0.02
    salt: str = "mella"

    def __post_init__(self) -> None:
        # Written so that it fails for "not a number" too.
        if not (min(self.validation, self.test) >= 0 and self.validation + self.test <= 1):
            raise ValueError(
                f"validation={self.validation} and test={self.test} must be shares of the whole: "
                "0 or more each, 1 at most together."
            )


def split_of(group: str, params: SplitParams) -> str:
    """Return the split of a group (a domain, or an image that has none)."""
    digest = hashlib.sha256(f"{params.salt}\0{group}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < params.test:
        return "test"
    return "validation" if place < params.test + params.validation else "train"


def strictest(splits: Iterable[str]) -> str:
    """Return the one of several splits in which an image may be that is in all of them."""
    return min(splits, key=_STRICTEST_FIRST.index)


def split_step(params: SplitParams, *, by: str = "sha256") -> Step:
    """Return the step that splits by domain, and never has one image in two splits.

    Where an image stands on domains of different splits, in whatever language, only the rows of the
    strictest are kept; the others get `split:image_in_test` or `split:image_in_validation`.

    Args:
        params: How much is held out.
        by: The column whose equal values are one image: `sha256`; or `cluster`, where images that
            look alike were found. An image is in one cluster only.
    """
    names = dict.fromkeys((by, "sha256", "domain"))
    return Step(
        name="split",
        version=2,
        fn=partial(_split, by=by),
        reads=pa.schema([pa.field(name, pa.string()) for name in names]),
        writes=WRITES,
        params=params,
        by=by,
    )


def _split(table: pa.Table, params: SplitParams, _: Any, *, by: str) -> pa.Table:
    images, domains = table["sha256"].to_pylist(), table["domain"].to_pylist()
    groups = table[by].to_pylist()
    splits = [
        split_of(domain or image, params) for image, domain in zip(images, domains, strict=True)
    ]
    of_group: dict[str, str] = {}
    for group, split in zip(groups, splits, strict=True):
        of_group[group] = strictest((of_group.get(group, split), split))
    reasons = [
        None if of_group[group] == split else f"split:image_in_{of_group[group]}"
        for group, split in zip(groups, splits, strict=True)
    ]
    return pa.table([splits, pa.array(reasons, pa.string())], schema=WRITES)
