"""Check the numbers that a recipe sets, where they are set."""

from collections.abc import Mapping
from typing import Any


def check_least(params: Any, least: Mapping[str, float]) -> None:
    """Check that fields of a dataclass are not less than they may be; for `__post_init__`.

    Raises:
        ValueError: One is; the message says what it may be.
    """
    for name, allowed in least.items():
        value = getattr(params, name)
        if not value >= allowed:
            raise ValueError(f"{name} = {value!r} must be {allowed} or more.")
