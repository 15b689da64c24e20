"""List what a build starts from: the images of the pool, and the captions of a table.

Each image and each caption becomes one row; `join` brings them together by the hash of the image.
An image is listed by where its bytes lie, and read only when a caption that is good wants it.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella.builders.engine.step import REASON, Step
from mella.errors import MellaError
from mella.index import read_index
from mella.repository import FolderStorage, Repository

READS = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("name", pa.string()),
        pa.field("kind", pa.string()),  # release, folder, captions
    ]
)

PLACE = pa.schema(
    [
        pa.field("path", pa.string()),  # of the file that holds the image
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int64()),
    ]
)
"""Where the bytes of an image lie."""

ABOUT_IMAGE = pa.schema(
    [
        pa.field("image_url", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("license", pa.string()),
        pa.field("collected_at", pa.string()),
        pa.field("original_format", pa.string()),  # before it was stored in the release
    ]
)
"""What is known of an image; all null for one from a folder."""

CAPTION = pa.schema(
    [
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("text_en", pa.string()),
        pa.field("captioner", pa.string()),
        pa.field("translator", pa.string()),
    ]
)
"""A caption: in a high-resource language, and translated."""

ENTRIES = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # image, caption, input
        pa.field("id", pa.string(), nullable=False),  # name of the input, and place in it
        pa.field("file_sha256", pa.string()),  # of the image file, as the table names it
        pa.field("split", pa.string()),  # of an image, in the release that it is from
        *PLACE,
        *ABOUT_IMAGE,
        *CAPTION,
        REASON,
    ]
)
"""An image of the pool, a caption, or an input that could not be read."""

_TABLE_ROWS = 4096
_REQUIRED = ("sha256", "lang", "text")
_COLUMNS = ("sha256", *CAPTION.names)
_SHA256 = re.compile("[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")

Row = dict[str, Any]


@dataclass(frozen=True)
class EntriesParams:
    """Which captions are wanted.

    Attributes:
        languages: Codes; captions in others get `captions:language_not_wanted`.
    """

    languages: tuple[str, ...]


def entries_step(params: EntriesParams) -> Step:
    """Return the step that lists releases, folders of images and tables of captions.

    Reasons: `pool:taken_down`, `pool:unreadable`, `captions:malformed`,
    `captions:language_not_wanted`, and `input:...` for an input that could not be read to its end.
    """
    return Step(
        name="entries",
        version=1,
        fn=_list_all,
        reads=READS,
        writes=ENTRIES,
        params=params,
        expands=True,
        unit="entries",
    )


def _list_all(table: pa.Table, params: EntriesParams, _: Any) -> Iterator[pa.Table]:
    readers = {"release": _release, "folder": _folder, "captions": _captions}
    for given in table.to_pylist():
        blank = dict.fromkeys(ENTRIES.names)
        rows = ({**blank, **row} for row in _named(given, readers[given["kind"]], params))
        while some := list(islice(rows, _TABLE_ROWS)):
            yield pa.Table.from_pylist(some, schema=ENTRIES)


def _named(given: Row, read: Any, params: EntriesParams) -> Iterator[Row]:
    """Yield the rows of an input; a fault that ends the reading becomes the last one."""
    try:
        for place, row in read(Path(given["path"]), params):
            yield {**row, "id": f"{given['name']}:{place}"}
    except (OSError, MellaError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = f"input:{type(error).__name__}"
        yield {"kind": "input", "id": f"{given['name']}: {error}", "reason": reason}


def _release(folder: Path, _: EntriesParams) -> Iterator[tuple[str, Row]]:
    """Yield the images of the culture samples of a repository."""
    repository = Repository(FolderStorage(folder))
    taken_down = set(repository.tombstones.to_pylist())
    for entry in repository.manifest.indexes:
        if entry.source != "culture":
            continue
        index = read_index(repository.index_file(entry), f"{folder}/{entry.path}")
        for batch in index.to_batches(_TABLE_ROWS):
            for sample in batch.to_pylist():
                yield sample["key"], _released(sample, folder, entry.split, taken_down)


def _released(sample: Row, folder: Path, split: str, taken_down: set[str]) -> Row:
    return {
        **{name: sample[name] for name in ABOUT_IMAGE.names},
        "kind": "image",
        "file_sha256": sample["sha256"],
        "split": split,
        "path": str(folder / sample["shard"]),
        "offset": sample["jpg_offset"],
        "size": sample["jpg_size"],
        "reason": "pool:taken_down" if sample["key"] in taken_down else None,
    }


def _folder(folder: Path, _: EntriesParams) -> Iterator[tuple[str, Row]]:
    """Yield the files below a folder; whether they are images is judged when they are wanted."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        row: Row = {"kind": "image", "offset": 0}
        try:
            with file.open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
                size = os.fstat(data.fileno()).st_size
            row |= {"path": str(file), "file_sha256": digest, "size": size}
        except OSError:
            row["reason"] = "pool:unreadable"
        if not _is_text(str(file)):  # a name that is not UTF-8
            row = {"kind": "image", "reason": "pool:unreadable"}
        yield file.relative_to(folder).as_posix().encode(errors="replace").decode(), row


def _captions(file: Path, params: EntriesParams) -> Iterator[tuple[str, Row]]:
    read = _parquet_rows if file.suffix == ".parquet" else _json_rows
    for number, row in read(file):
        yield str(number), _caption(row, params)


def _parquet_rows(file: Path) -> Iterator[tuple[int, Any]]:
    with pq.ParquetFile(file) as table:
        columns = [name for name in _COLUMNS if name in table.schema_arrow.names]
        batches = table.iter_batches(_TABLE_ROWS, columns=columns)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)


def _json_rows(file: Path) -> Iterator[tuple[int, Any]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _caption(row: Any, params: EntriesParams) -> Row:
    values: Row = {name: row.get(name) for name in _COLUMNS} if isinstance(row, dict) else {}
    whole = all(values.get(name) is not None for name in _REQUIRED) and all(
        value is None or _is_text(value) for value in values.values()
    )
    image = values.pop("sha256").lower() if whole else ""
    if not _SHA256.fullmatch(image):
        return {"kind": "caption", "reason": "captions:malformed"}
    wanted = values["lang"] in params.languages
    reason = None if wanted else "captions:language_not_wanted"
    return {"kind": "caption", "file_sha256": image, **values, "reason": reason}


def _is_text(value: Any) -> bool:
    """Whether a value is a text that can be stored: one without halves of characters."""
    return isinstance(value, str) and not _SURROGATE.search(value)
