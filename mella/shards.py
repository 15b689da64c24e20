"""Write and read shards: plain WebDataset tars, the same bytes for the same samples.

A shard is a POSIX ustar archive. A sample is three members in a fixed order (`KEY.jpg`, `KEY.txt`,
`KEY.json`), each a 512-byte header and its content padded to 512 bytes; two empty blocks end the
archive. Owner, mode and time are constants, so that equal samples make equal bytes.
Source: IEEE Std 1003.1-1988 (ustar), https://github.com/webdataset/webdataset (naming).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from mella.errors import FormatError
from mella.schema import MEMBERS, METADATA

BLOCK = 512
_END = bytes(2 * BLOCK)
# mode, uid and gid lie between name and size; time, checksum and type after it.
_AFTER_NAME = b"0000644\x000000000\x000000000\x00"
_AFTER_SIZE = b"00000000000\x00"
_AFTER_CHECKSUM = b"0" + bytes(100) + b"ustar\x0000"
_NAME_MAX = 100
_SIZE_MAX = 8**11 - 1


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
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")

    def write(self, image: bytes, metadata: Mapping[str, Any]) -> dict[str, int]:
        """Append a sample and return its `offset`, `nbytes` and `MEMBER_offset`, `MEMBER_size`.

        Args:
            image: The JPEG bytes.
            metadata: The columns of `mella.schema.METADATA`, all of them and no others.

        Raises:
            FormatError: A column is missing or unknown, or the key has a dot or is too long.
        """
        location, blocks = encode_sample(image, metadata, self.nbytes)
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
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._temporary.unlink(missing_ok=True)

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
    if set(metadata) != set(METADATA.names):
        wrong = sorted(set(metadata) ^ set(METADATA.names))
        raise FormatError(
            f"The metadata of a sample has all columns of the schema and no others; "
            f"missing or unknown: {', '.join(wrong)}."
        )
    key = metadata["key"]
    if "." in key or "/" in key:
        raise FormatError(
            f"A key has no dot and no slash (readers split names there), got {key!r}."
        )
    ordered = {name: metadata[name] for name in METADATA.names}
    document = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    contents = (image, metadata["text"].encode(), document.encode())
    location = {"offset": start}
    blocks = bytearray()
    for member, content in zip(MEMBERS, contents, strict=True):
        blocks += _header(f"{key}.{member}", len(content))
        location[f"{member}_offset"] = start + len(blocks)
        location[f"{member}_size"] = len(content)
        blocks += content
        blocks += bytes(-len(blocks) % BLOCK)
    location["nbytes"] = len(blocks)
    return location, bytes(blocks)


def read_shard(path: Path) -> Iterator[Sample]:
    """Yield the samples of a shard in order, checking each against the format.

    Raises:
        FormatError: The tar is cut short or damaged, or its members are not those of a sample; the
            message names the shard and the last whole sample.
    """
    with path.open("rb") as file:
        last = "none"
        members = _members(file, str(path))
        while group := [member for _, member in zip(MEMBERS, members, strict=False)]:
            names = [name for name, _ in group]
            key = names[0].partition(".")[0]
            if names != [f"{key}.{member}" for member in MEMBERS]:
                raise FormatError(
                    f"{path}: after sample {last} expected the members "
                    f"{', '.join(MEMBERS)} of one key, found {', '.join(names)}."
                )
            image, text, document = (content for _, content in group)
            yield Sample(key, image, text.decode(), json.loads(document))
            last = key


def _members(file: BinaryIO, shard: str) -> Iterator[tuple[str, bytes]]:
    last = "none"
    while True:
        header = file.read(BLOCK)
        if header == _END[:BLOCK]:
            return
        if len(header) < BLOCK or header[148:156] != _checksum(header):
            what = "is cut short" if len(header) < BLOCK else "has a damaged header"
            raise FormatError(
                f"{shard}: the tar {what} after member {last}. Fetch or build the shard again."
            )
        name = header[:_NAME_MAX].rstrip(b"\0").decode()
        size = int(header[124:135], 8)
        content = file.read(size + -size % BLOCK)
        if len(content) < size + -size % BLOCK:
            raise FormatError(
                f"{shard}: the tar is cut short inside member {name}. "
                "Fetch or build the shard again."
            )
        yield name, content[:size]
        last = name


def _header(name: str, size: int) -> bytes:
    encoded = name.encode()
    if len(encoded) > _NAME_MAX or size > _SIZE_MAX:
        raise FormatError(
            f"Member {name!r} of {size} bytes does not fit a ustar header "
            f"(names up to {_NAME_MAX} bytes, content up to {_SIZE_MAX})."
        )
    before = encoded.ljust(_NAME_MAX, b"\0") + _AFTER_NAME + b"%011o\0" % size + _AFTER_SIZE
    header = (before + b" " * 8 + _AFTER_CHECKSUM).ljust(BLOCK, b"\0")
    return header[:148] + _checksum(header) + header[156:]


def _checksum(header: bytes) -> bytes:
    return b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 0x20)
