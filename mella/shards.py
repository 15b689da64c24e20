"""Write and read shards: plain WebDataset tars, the same bytes for the same samples.

A shard is a POSIX ustar archive. A sample is three members in a fixed order (`KEY.jpg`, `KEY.txt`,
`KEY.json`), each a 512-byte header and its content padded to 512 bytes; two empty blocks end the
archive. Owner, mode and time are constants, so that equal samples make equal bytes.
Source: IEEE Std 1003.1-1988 (ustar), https://github.com/webdataset/webdataset (naming).
"""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import pyarrow as pa
import xxhash

from mella.errors import FormatError
from mella.schema import MEMBERS, METADATA

BLOCK = 512
_END = bytes(2 * BLOCK)
# mode, uid and gid lie between name and size; time, checksum and type after it.
_AFTER_NAME = b"0000644\x000000000\x000000000\x00"
_AFTER_SIZE = b"\x0000000000000\x00"
_REST = (b"0" + bytes(100) + b"ustar\x0000").ljust(356, b"\0")
_CONSTANT_SUM = sum(_AFTER_NAME + _AFTER_SIZE + b" " * 8 + _REST)
_NAME_MAX = 100
_SIZE_MAX = 8**11 - 1
_OCTAL = re.compile(b"[0-7]{11}")
_KEY = re.compile("[0-9a-z]{1,64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FITS: dict[pa.DataType, Callable[[Any], bool]] = {
    pa.string(): lambda v: isinstance(v, str) and (v.isascii() or not _SURROGATE.search(v)),
    pa.int32(): lambda v: type(v) is int and 0 <= v < 2**31,
    pa.int64(): lambda v: type(v) is int and 0 <= v < 2**63,
    pa.float64(): lambda v: isinstance(v, float) and math.isfinite(v),
}
# Looked up once: a schema makes its names and fields anew each time it is asked.
_NAMES = tuple(METADATA.names)
_COLUMNS = tuple((field.name, field.nullable, _FITS[field.type]) for field in METADATA)
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Sample:
    """One sample as it is stored: the JPEG bytes, the text and the metadata columns."""

    key: str
    image: bytes
    text: str
    metadata: dict[str, Any]


def sample_key(source: str, lang: str, sha256: str, text: str) -> str:
    """Return the key of a sample: 128 bits of its content's hash, 32 hex digits.

    Args:
        source: "culture" or "linguistics".
        lang: ISO 639-1 code.
        sha256: Of the stored image.
        text: The text, NFC.
    """
    content = f"{source}\0{lang}\0{sha256}\0{text}"
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def shard_path(source: str, lang: str, split: str, number: int, count: int) -> str:
    """Return the path of a shard inside its repository."""
    name = f"{source}-{lang}-{split}-{number:05d}-of-{count:05d}.tar"
    return f"{source}/{lang}/{name}"


def index_path(source: str, lang: str, split: str) -> str:
    """Return the path of an index inside its repository."""
    return f"index/{source}/{lang}/{split}.parquet"


class ShardWriter:
    """Writes one shard under a temporary name and puts it in place when it is complete.

    Used as a context manager: leaving it by an exception removes what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nbytes = 0
        self.samples = 0
        self._hash = hashlib.sha256()
        self._keys: set[str] = set()
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")

    def write(self, image: bytes, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Append a sample and return where it lies: `mella.schema.LOCATION` without `shard`.

        Args:
            image: The JPEG bytes.
            metadata: The columns of `mella.schema.METADATA`, all of them and no others.

        Raises:
            FormatError: The metadata does not follow the schema or belongs to another image, the
                key is no key, or the shard has it already.
        """
        location, blocks = encode_sample(image, metadata, self.nbytes)
        if metadata["key"] in self._keys:
            raise FormatError(f"{self.path} already has a sample {metadata['key']}.")
        self._keys.add(metadata["key"])
        self._put(blocks)
        self.samples += 1
        return location

    @property
    def sha256(self) -> str:
        """Hash of what was written so far; of the file once it is closed."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the archive, flush it to the disk and give it its name."""
        self._put(_END)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._file.close()
            self._temporary.unlink(missing_ok=True)  # not there when `close` came to its end

    def _put(self, blocks: bytes) -> None:
        self._file.write(blocks)
        self._hash.update(blocks)
        self.nbytes += len(blocks)


def encode_sample(
    image: bytes, metadata: Mapping[str, Any], start: int = 0
) -> tuple[dict[str, int], bytes]:
    """Return where the parts of a sample lie when it begins at byte `start`, and its tar blocks.

    Raises:
        FormatError: See `ShardWriter.write`.
    """
    if unknown := sorted(set(metadata).difference(_NAMES)):
        raise FormatError(f"The metadata has unknown columns: {', '.join(unknown)}.")
    _check(image, metadata)
    key = metadata["key"]
    document = _to_json({name: metadata[name] for name in _NAMES})
    contents = (image, metadata["text"].encode(), document.encode())
    location = {"offset": start}
    parts: list[bytes] = []
    at = start
    for member, content in zip(MEMBERS, contents, strict=True):
        size = len(content)
        location[f"{member}_offset"] = at + BLOCK
        location[f"{member}_size"] = size
        parts += (_header(f"{key}.{member}", size), content, bytes(-size % BLOCK))
        at += BLOCK + size + -size % BLOCK
    blocks = b"".join(parts)
    location["nbytes"] = len(blocks)
    location["xxh3"] = xxhash.xxh3_64_intdigest(blocks)
    return location, blocks


def split_sample(blocks: bytes | memoryview) -> list[bytes | memoryview]:
    """Return the contents of the members of a sample, in the order of `mella.schema.MEMBERS`.

    Args:
        blocks: The `nbytes` bytes of a sample, whose `xxh3` was found to be that of the index:
            they are what `encode_sample` made, and are not checked again.

    Returns:
        Slices of `blocks`: the JPEG, the text and the metadata as JSON, both in UTF-8.
    """
    contents = []
    at = 0
    for _ in MEMBERS:
        start = at + BLOCK
        end = start + int(bytes(blocks[at + 124 : at + 135]), 8)
        contents.append(blocks[start:end])
        at = end + -end % BLOCK
    return contents


def read_shard(path: Path) -> Iterator[Sample]:
    """Yield the samples of a shard in order, checking each against the format.

    Raises:
        FormatError: The tar is cut short or damaged, its members are not those of a sample, or the
            metadata does not belong to the image and text; the message names the shard and the
            last whole sample.
    """
    last = "none"
    with path.open("rb") as file:
        members = _members(file)
        while True:
            try:
                sample = _next_sample(members)
            except FormatError as error:
                raise FormatError(
                    f"{path}: {error} Last whole sample: {last}. Fetch or build the shard again."
                ) from error
            if sample is None:
                return
            yield sample
            last = sample.key


def _next_sample(members: Iterator[tuple[str, bytes]]) -> Sample | None:
    group = list(islice(members, len(MEMBERS)))
    if not group:
        return None
    names = [name for name, _ in group]
    key = names[0].partition(".")[0]
    if names != [f"{key}.{member}" for member in MEMBERS]:
        raise FormatError(
            f"Expected the members {', '.join(MEMBERS)} of one key, found {', '.join(names)}."
        )
    image, text, document = (content for _, content in group)
    try:
        sample = Sample(key, image, text.decode(), json.loads(document))
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"The text or metadata of sample {key} is unreadable: {error}."
        ) from error
    if not isinstance(sample.metadata, dict):
        raise FormatError(f"The metadata of sample {key} is not a JSON object.")
    _check(image, sample.metadata)
    if (sample.metadata["key"], sample.metadata["text"]) != (key, sample.text):
        raise FormatError(f"The metadata of sample {key} has another key or text than its members.")
    return sample


def _check(image: bytes, metadata: Mapping[str, Any]) -> None:
    """Raise FormatError unless the metadata follows the schema and belongs to the image."""
    if missing := [name for name in _NAMES if name not in metadata]:
        raise FormatError(f"The metadata lacks the columns {', '.join(missing)}.")
    key = metadata["key"]
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        raise FormatError(
            f"A key has 1 to 64 lower-case letters and digits (readers split names at a dot), "
            f"got {key!r}."
        )
    for name, nullable, fits in _COLUMNS:
        value = metadata[name]
        if not (value is None and nullable) and not fits(value):
            field = METADATA.field(name)
            raise FormatError(
                f"Column {field.name!r} of sample {key} is a {field.type} (valid Unicode, finite "
                f"numbers from 0){' or None' if field.nullable else ''}, got {value!r}."
            )
    if not unicodedata.is_normalized("NFC", metadata["text"]):
        raise FormatError(f"The text of sample {key} is not in Unicode normal form C.")
    real = {"bytes": len(image), "sha256": hashlib.sha256(image).hexdigest()}
    for name, value in real.items():
        if metadata[name] != value:
            raise FormatError(
                f"Sample {key} has {name}={metadata[name]!r}, but that of its image is {value!r}."
            )


def _members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a tar whose headers are just those that `_header` writes."""
    end = os.fstat(file.fileno()).st_size
    last = "none"
    while (header := file.read(BLOCK)) != _END[:BLOCK]:
        if len(header) < BLOCK:
            raise FormatError(f"The tar is cut short after member {last}.")
        name, size = _parse_header(header, last)
        padding = bytes(-size % BLOCK)
        if file.tell() + size + len(padding) > end:
            raise FormatError(f"The tar is cut short inside member {name}.")
        content = file.read(size)
        if file.read(len(padding)) != padding:
            raise FormatError(f"Member {name} is damaged: it is not padded with zeros.")
        yield name, content
        last = name
    if file.read() != _END[BLOCK:]:
        raise FormatError(f"The tar does not end in two empty blocks after member {last}.")


def _parse_header(header: bytes, last: str) -> tuple[str, int]:
    size = header[124:135]
    try:
        name = header[:_NAME_MAX].rstrip(b"\0").decode()
        if _OCTAL.fullmatch(size) and header == _header(name, int(size, 8)):
            return name, int(size, 8)
    except UnicodeDecodeError:
        pass
    raise FormatError(
        f"The header after member {last} is damaged or was written by another program."
    )


def _header(name: str, size: int) -> bytes:
    encoded = name.encode()
    if len(encoded) > _NAME_MAX or size > _SIZE_MAX:
        raise FormatError(
            f"Member {name!r} of {size} bytes does not fit a ustar header "
            f"(names up to {_NAME_MAX} bytes, content up to {_SIZE_MAX})."
        )
    octal = b"%011o" % size
    # The sum of all bytes, those of the checksum itself counted as spaces.
    checksum = b"%06o\0 " % (sum(encoded) + sum(octal) + _CONSTANT_SUM)
    return b"".join(
        (encoded.ljust(_NAME_MAX, b"\0"), _AFTER_NAME, octal, _AFTER_SIZE, checksum, _REST)
    )
