"""`load_mella`: the samples of one or more languages as a Hugging Face data set."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mella.errors import MellaError, OptionError, check_among
from mella.fetch import Fetching, Segment, Take, decoded, read
from mella.order import apportion
from mella.plan import (
    Cell,
    check_names,
    checked_where,
    chosen_columns,
    find_cells,
    metadata_rows,
    plan_cell,
)
from mella.repository import Repository, open_repository
from mella.schema import METADATA
from mella.shards import split_sample

if TYPE_CHECKING:
    import datasets
    import pyarrow.compute as pc

    from mella.cache import RangeCache

_PIECE_BYTES = 8 << 20
_FEW, _MANY = 24, 840
"""Pieces come in multiples of these: of numbers that most numbers of ranks divide."""
_ROWS_OF_FEW = 8 * _FEW
# One piece after another: each in several requests at once.
_FETCHING = Fetching(connections=4, request_bytes=2 << 20, gap=256 << 10)


def load_mella(
    lang: str | Iterable[str],
    source: str = "both",
    *,
    split: str = "train",
    repo: str | Path | None = None,
    revision: str | None = None,
    streaming: bool = True,
    where: "pc.Expression | str | None" = None,
    columns: Sequence[str] | None = None,
    decode: bool = True,
    on_error: str = "raise",
    cache: "RangeCache | None" = None,
) -> "datasets.IterableDataset | datasets.Dataset":
    """Load image-text pairs, in the order of source, language, shard and place in the shard.

    For training at more than one rank, for mixing by weight and for exact resuming with shuffling,
    see `MellaStream`.

    Args:
        lang: A language code ("th"), several, or "all": every one that the repository has.
        source: "culture" (native alt-text), "linguistics" (thick translated captions) or "both".
        split: "train", "validation" or "test".
        repo: A folder, an fsspec URL (`s3://...`, `https://...`) or a Hub id ("org/name").
            Default: $MELLA_REPO, else the small sample embedded in the package.
        revision: Branch, tag or commit of a Hub repository; pinned to a commit when opened.
        streaming: True: an `IterableDataset` that reads byte ranges as it goes. Its `num_shards`
            are pieces of about 8 MB, of which each rank and each worker reads its own; with 24, or
            from 7 GB on 840, or a multiple of these, they divide evenly by most numbers of ranks.
            False: a `Dataset`: whole shards are fetched once, and rows are read from them when they
            are asked for, by number or by key.
        where: Keep only these samples; applied to the index before any image byte is read. A string
            such as "width >= 300 and script == 'Latn'", or a pyarrow expression.
        columns: Keep only these columns (they come in the order of `mella.plan.COLUMNS`); without
            "image" no shard is read.
        decode: True: "image" is a `PIL.Image`. False: `{"bytes": JPEG bytes, "path": name}`.
        on_error: "raise", or "skip": samples that are damaged are left out, and named in a warning.
            For streaming. With `decode`, "skip" decodes each image once more, to know: the images
            themselves are decoded by `datasets`, whose errors name no sample.
        cache: Keeps what was fetched on a disk. For streaming; the other has its own.

    Returns:
        Rows with `image`, `text` and the columns of `mella.schema.METADATA`.

    Raises:
        UnknownNameError: Unknown language, source, split, column or option; lists the known ones.
        WhereError: `where` is not a filter of the columns of the index.
        RepositoryError: No repository there, or it holds nothing of what was asked for.
        FormatError: Its files are damaged. A sample's bytes that are not those that the index
            promises: while iterating; names the shard and the key.
    """
    import datasets

    wanted = check_names(lang, source, split)
    chosen = chosen_columns(columns)
    check_among("on_error", on_error, ("raise", "skip"))
    if not streaming and (on_error != "raise" or cache is not None):
        raise OptionError(
            "on_error= and cache= are for streaming: with streaming=False shards are fetched whole "
            "into a cache of their own, and a damaged sample raises where it is asked for."
        )
    expression = checked_where(where)
    repository = open_repository(repo, revision, cache=cache)
    entries = find_cells(repository, wanted)
    if not streaming:
        from mella.dataset import map_style

        return map_style(
            repository, entries, where=expression, columns=chosen, decode=decode, split=split
        )
    cells = [plan_cell(repository, entry, where=expression, columns=chosen) for entry in entries]
    return datasets.IterableDataset.from_generator(
        _read_pieces,
        features=_features(chosen, decode=decode),
        gen_kwargs={
            "pieces": cut(repository, cells, chosen, skip=on_error == "skip", decode=decode)
        },
        split=datasets.NamedSplit(split),
    )


@dataclass(frozen=True)
class Piece:
    """A run of samples of a cell, to be read in order.

    Attributes:
        repository: Where they are.
        cell: What was chosen there.
        start: The first row.
        stop: The row behind the last.
        columns: To yield.
        skip: Leave out what is damaged.
        decode: Images will be decoded: with `skip`, those that cannot be are damaged.
    """

    repository: Repository
    cell: Cell
    start: int
    stop: int
    columns: tuple[str, ...]
    skip: bool
    decode: bool

    def takes(self) -> Iterator[Take]:
        """Yield the samples; a segment for each shard."""
        cell = self.cell
        rows = np.arange(self.start, self.stop)
        shards = cell.shard[rows]
        for shard in np.unique(shards).tolist():
            segment = Segment(cell, rows[shards == shard])
            for row in segment.rows.tolist():
                offset, nbytes = int(cell.offset[row]), int(cell.nbytes[row])
                yield Take(cell, row, shard, offset, nbytes, int(cell.xxh3[row]), segment)


def cut(
    repository: Repository,
    cells: Sequence[Cell],
    columns: tuple[str, ...],
    *,
    skip: bool,
    decode: bool,
) -> list[Piece]:
    """Cut cells into pieces of nearly the same number of bytes, as many as divide well."""
    rows = sum(map(len, cells))
    count = max(1, -(-sum(int(cell.nbytes.sum()) for cell in cells) // _PIECE_BYTES))
    if rows >= _ROWS_OF_FEW:
        unit = _FEW if count < _MANY else _MANY
        count = -(-count // unit) * unit
    full = [cell for cell in cells if len(cell)]
    return [
        Piece(repository, cell, start, stop, columns, skip, decode)
        for cell, number in zip(full, _pieces_of(full, count), strict=True)
        for start, stop in _runs(cell, number)
    ]


def _pieces_of(cells: Sequence[Cell], count: int) -> list[int]:
    """Divide `count` pieces among cells by bytes: one each at least, and no more than rows."""
    if not cells:
        return []
    sizes = [int(cell.nbytes.sum()) for cell in cells]
    shares = apportion(max(0, count - len(cells)), sizes)
    pieces = [min(1 + share, len(cell)) for share, cell in zip(shares, cells, strict=True)]
    for number, cell in enumerate(cells):
        pieces[number] += min(len(cell) - pieces[number], max(0, count - sum(pieces)))
    return pieces


def _runs(cell: Cell, count: int) -> Iterator[tuple[int, int]]:
    """Cut the rows of a cell into `count` runs of about the same number of bytes."""
    count = min(count, len(cell))
    ends = np.cumsum(cell.nbytes)
    targets = [int(ends[-1]) * number // count for number in range(1, count)]  # of any size
    cuts = np.searchsorted(ends, targets)
    # Each run has a row at least, whatever their sizes.
    cuts = np.maximum.accumulate(cuts - np.arange(count - 1)) + np.arange(count - 1)
    cuts = np.clip(cuts, np.arange(1, count), len(cell) - np.arange(count - 1, 0, -1))
    yield from pairwise([0, *cuts.tolist(), len(cell)])


def _read_pieces(pieces: list[Piece]) -> Iterator[dict[str, Any]]:
    for piece in pieces:
        if "image" in piece.columns:
            yield from _read_piece(piece)
        else:
            yield from metadata_rows(piece.cell, np.arange(piece.start, piece.stop))


def _read_piece(piece: Piece) -> Iterator[dict[str, Any]]:
    names = [name for name in piece.columns if name != "image"]
    check = _decoder() if piece.skip and piece.decode else None
    for take, blocks in read(piece.repository, piece.takes(), _FETCHING):
        try:
            if isinstance(blocks, MellaError):
                raise blocks
            image, _, document = split_sample(blocks)
            if check is not None:
                decoded(check, image, take, piece.repository)
        except MellaError as error:
            if not piece.skip:
                raise
            warnings.warn(
                f"Sample {take.key()} of {take.cell.name} is left out: {error}", stacklevel=1
            )
            continue
        metadata = json.loads(str(document, "utf-8"))
        yield {
            "image": {"bytes": bytes(image), "path": f"{take.key()}.jpg"},
            **{name: metadata[name] for name in names},
        }


def _decoder() -> Callable[[bytes | memoryview], Any]:
    from mella.decode import Decoding, make_decoder

    return make_decoder(Decoding())


def _features(columns: tuple[str, ...], *, decode: bool) -> "datasets.Features":
    import datasets

    types = {field.name: datasets.Value(str(field.type)) for field in METADATA}
    types["image"] = datasets.Image(decode=decode)
    return datasets.Features({name: types[name] for name in columns})
