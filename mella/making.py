"""Make samples of the bytes that were read: decoded, as views show them, or skipped by name."""

import json
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from mella.errors import MellaError
from mella.fetch import Read, decoded
from mella.repository import Repository
from mella.shards import split_sample
from mella.views import View

if TYPE_CHECKING:
    from mella.decode import Decoding


class Skipped(NamedTuple):
    """A sample that could not be read, with `on_error="skip"`."""

    key: str
    cell: str
    reason: str


def sample_maker(
    repository: Repository,
    columns: Sequence[str],
    *,
    decoding: "Decoding | None",
    view: View | None,
    skip: bool,
) -> Callable[[Read], Any]:
    """Return what makes a sample of its blocks.

    Args:
        repository: Which it is read from.
        columns: Of the metadata, beside the image.
        decoding: How the image is decoded; None: it stays bytes.
        view: What the sample is shown as; None: a dict of the columns.
        skip: Whether a sample that cannot be read becomes a `Skipped`; else its error is raised.
    """
    decode = _decoder(decoding)

    def make(found: Read) -> Any:
        take, blocks = found
        try:
            if isinstance(blocks, MellaError):
                raise blocks
            image, _, document = split_sample(blocks)
            pixels = bytes(image) if decode is None else decoded(decode, image, take, repository)
        except MellaError as error:
            if skip:
                return Skipped(take.key(), take.cell.name, str(error))
            raise
        metadata = json.loads(str(document, "utf-8"))
        sample = {"image": pixels, **{name: metadata[name] for name in columns}}
        return sample if view is None else view(sample)

    return make


# Imported where it is needed: raw bytes need no Pillow.
def checked_decoding(
    decode: "bool | Decoding", size: int | Sequence[int] | None, output: str
) -> "Decoding":
    """Return how to decode, when all that it takes is there."""
    from mella.decode import Decoding, make_decoder

    if not isinstance(decode, Decoding):
        decode = Decoding(size=_plain(size), output=output)
    make_decoder(decode)
    return decode


def _plain(size: Any) -> Any:
    """Return a size as `Decoding` has it, of a list (as YAML has it) or NumPy's integers."""
    if isinstance(size, list | tuple):
        return tuple(map(_plain, size))
    return int(size) if isinstance(size, Integral) and not isinstance(size, bool) else size


def _decoder(decoding: "Decoding | None") -> Callable[[Any], Any] | None:
    if decoding is None:
        return None
    from mella.decode import make_decoder

    return make_decoder(decoding)
