"""A read-only fsspec file system of the images in local shards.

`mella-shard://OFFSET-NBYTES-XXH3/PATH/OF/SHARD.tar/KEY.jpg` names the image of one sample: OFFSET
and NBYTES say where the sample lies in the shard, XXH3 is the hash of these bytes, which are
checked. Data sets refer to images by such names, so that `datasets`, and every other program that
opens files through fsspec, reads them in place. fsspec finds it by the entry point `mella-shard`.
"""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from mella.blocks import LocalShards
from mella.plan import Cell
from mella.shards import split_sample

SCHEME = "mella-shard"
_NAME = re.compile(r"(?:mella-shard://)?(\d+)-(\d+)-(\d+)(/.+)/([^/]+)\.jpg", re.ASCII)


class Place(NamedTuple):
    """Where a sample lies, see `mella.blocks.LocalShards.read`, and which it is."""

    path: str
    offset: int
    nbytes: int
    xxh3: int
    key: str


def image_urls(cell: Cell, shards: Sequence[Path]) -> pa.Array:
    """Return the name of the image of each sample of a cell.

    Args:
        cell: The samples.
        shards: Where those of `cell.shards` lie on this machine.
    """
    quoted = pa.array([quote(path.absolute().as_posix()) for path in shards], pa.string())
    numbers = [pa.array(part).cast(pa.string()) for part in (cell.offset, cell.nbytes, cell.xxh3)]
    places = pc.binary_join_element_wise(*numbers, "-")
    names = pc.binary_join_element_wise(quoted.take(pa.array(cell.shard)), cell.key, "/")
    return pc.binary_join_element_wise(f"{SCHEME}://", places, names, ".jpg", "")


def parse_url(url: str) -> Place:
    """Return what the name of an image says.

    Raises:
        FileNotFoundError: It is no such name.
    """
    match = _NAME.fullmatch(url)
    if match is None:
        raise FileNotFoundError(f"{url} does not name an image in a shard.")
    offset, nbytes, xxh3, path, key = match.groups()
    return Place(unquote(path), int(offset), int(nbytes), int(xxh3), key)


class ShardFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Opens the images in local shards. See the module."""

    protocol = SCHEME

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._shards = LocalShards()

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return an image, or a part of it.

        Raises:
            FileNotFoundError: `path` names no image in a shard, or the shard is gone.
            FormatError: The shard is damaged.
        """
        shard, offset, nbytes, xxh3, key = parse_url(path)
        blocks = self._shards.read(shard, offset, nbytes, xxh3, lambda: key)
        image = split_sample(blocks)[0]
        return bytes(image[start:end])

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the size of an image."""
        return {"name": path, "size": len(self.cat_file(path)), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode != "rb":
            raise OSError(f"Shards are only read; mode {mode!r} is not possible.")
        return io.BytesIO(self.cat_file(path))
