"""Archive files: the bytes of a WARC file, whether it lies alone or inside a WACZ (zip)."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from mella.errors import MellaError

ZIP_START = b"PK\x03\x04"
# What `zipfile` raises on broken, encrypted or exotic files, and what inflating raises.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error,
    EOFError, KeyError, NotImplementedError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


class SourceError(MellaError, OSError):
    """An archive that cannot be opened or read."""


@dataclass(frozen=True)
class Source:
    """The bytes of a file, or of a window of it; read forwards wherever possible."""

    file: BinaryIO
    base: int
    size: int

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; fewer at the end.

        Raises:
            OSError: The file cannot be read; a `SourceError` where what it holds is broken.
        """
        try:
            self.file.seek(self.base + offset)
            return self.file.read(max(0, min(size, self.size - offset)))
        except _ZIP_ERRORS as error:
            raise SourceError(f"Broken compressed data before byte {offset}: {error}.") from error


@contextmanager
def open_source(path: str, member: str | None = None) -> Iterator[Source]:
    """Open a file, or a member of a zip file, as a source.

    A member that is stored is read from the zip file directly. One that is compressed can be
    read too, but each step back starts it anew.

    Raises:
        OSError: The file cannot be opened; a `SourceError` where the zip file is broken or does
            not have the member.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))  # noqa: PTH123 - a path that was given
        if member is None:
            source = Source(file, 0, file.seek(0, 2))
        else:
            try:
                source = _open_member(file, member, stack)
            except _ZIP_ERRORS as error:
                raise SourceError(f"Cannot open {member!r} in {path}: {error}.") from error
        yield source


def warc_members(source: Source) -> list[str] | None:
    """List the WARC files in a zip file, in its order; None where it is broken."""
    try:
        with zipfile.ZipFile(source.file) as archive:
            names = [info.filename for info in archive.infolist()]
    except (OSError, *_ZIP_ERRORS):
        return None
    return [name for name in names if name.lower().endswith((".warc", ".warc.gz"))]


def _open_member(file: BinaryIO, member: str, stack: ExitStack) -> Source:
    archive = stack.enter_context(zipfile.ZipFile(file))
    info = archive.getinfo(member)
    inflated = stack.enter_context(archive.open(info))
    if info.compress_type != zipfile.ZIP_STORED:
        return Source(cast("BinaryIO", inflated), 0, info.file_size)
    # The local header has its own lengths of name and extra field.
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return Source(file, info.header_offset + 30 + name + extra, info.file_size)
