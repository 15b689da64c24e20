"""Keep byte ranges of remote shards on a local disk, up to a size, shared by all processes."""

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mella.download import write_whole
from mella.errors import OptionError

_TRAILER = 16
_LEFT_BEHIND = 3600.0
_SHA256 = re.compile("[0-9a-f]{64}")


class RangeCache:
    """Ranges of files in a folder, by the hash of the file; the least recently used go first.

    Any number of processes may share the folder, and be killed: a file that was not written whole
    is told by the hash at its end, and is no more than a miss. So is whatever else goes wrong with
    the disk, with one warning. The folder holds at most `max_bytes`, give or take what is being
    written in this moment.

    Args:
        folder: Made if need be. For this cache alone: what lies in it may be deleted.
        max_bytes: What it may take.
    """

    def __init__(self, folder: str | Path, max_bytes: int) -> None:
        if max_bytes <= 0:
            raise OptionError(f"max_bytes={max_bytes} leaves room for nothing: give it in bytes.")
        self.folder = Path(folder).expanduser().absolute()
        self.max_bytes = max_bytes
        self._warned = False
        self._full = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_warned": False, "_full": False}

    def get(self, sha256: str, start: int, end: int) -> bytes | None:
        """Return the bytes of a range; None: they are not here.

        Args:
            sha256: Of the whole file that the range is of.
            start: First byte.
            end: After its last byte.
        """
        file = self._file(sha256, start, end)
        try:
            with file.open("rb", buffering=0) as opened:  # apart, so that nothing is copied
                data, trailer = opened.read(end - start), opened.read(_TRAILER + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("read", error)
            return None
        if len(data) != end - start or trailer != _trailer(file.name, data):
            with suppress(OSError):
                file.unlink()
            return None
        with suppress(OSError):
            os.utime(file)  # used now
        return data

    def put(self, sha256: str, start: int, end: int, data: bytes) -> None:
        """Keep the bytes of a range, if they are all of it and there is room."""
        size = len(data) + _TRAILER
        if self._full or len(data) != end - start or size > self.max_bytes:
            return
        file = self._file(sha256, start, end)
        try:
            from filelock import Timeout

            try:
                self._make_room(size)
            except Timeout:  # whoever holds the lock has stopped
                return
            write_whole(file, data, _trailer(file.name, data))
        # A file system may have no locks, which is a NotImplementedError.
        except (OSError, NotImplementedError) as error:
            self._full = True
            self._warn("write", error)

    def _file(self, sha256: str, start: int, end: int) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a SHA-256: give its 64 lower-case hex digits.")
        return self.folder / sha256[:2] / f"{sha256}-{start}-{end}"

    def _make_room(self, size: int) -> None:
        """Count a file before it is written, and throw others away if there would be too much.

        The count is kept in a file, so that nobody has to look through the folder each time.
        Whoever is killed after counting leaves it too high: the next look corrects it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        count = self.folder / "count"
        with _locked(self.folder / "lock"):
            total = _number(count)
            if total is None or total + size > self.max_bytes:
                total = self._evict(self.max_bytes - size)
            count.write_text(str(total + size))

    def _evict(self, allowed: int) -> int:
        """Throw files away, the least recently used first; return the bytes of those that stay."""
        found = sorted(_files(self.folder))
        total = sum(size for _, size, _ in found)
        if total <= allowed:
            return total
        # A tenth more than needed, so that the next file does not have to look again.
        allowed = min(allowed, self.max_bytes * 9 // 10)
        now = time.time()
        for used, size, file in found:
            if total <= allowed:
                break
            if file.suffix == ".tmp" and now - used < _LEFT_BEHIND:
                continue  # being written
            with suppress(OSError):
                file.unlink()
                total -= size
        return total

    def _warn(self, what: str, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"The cache in {self.folder} cannot be used ({what}: {error}). Reading goes on "
                "without it.",
                stacklevel=4,
            )


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(file, timeout=30):
        yield


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield when each range was last used, its size and its file."""
    for part in folder.iterdir():
        if part.is_dir():
            for file in part.iterdir():
                with suppress(OSError):  # another process threw it away
                    status = file.stat()
                    yield status.st_mtime, status.st_size, file


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _trailer(name: str, data: bytes) -> bytes:
    import xxhash

    digest = xxhash.xxh3_128(data)
    digest.update(name.encode())
    trailer: bytes = digest.digest()
    return trailer
