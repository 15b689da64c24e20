"""Download a whole file once: resumed after a break, checked, safe for several processes."""

import hashlib
import io
import os
import uuid
from collections.abc import Callable
from pathlib import Path

from mella.errors import FormatError
from mella.manifest import Entry

_STEP = 8 << 20


def cache_folder() -> Path:
    """Return where downloads are kept: $MELLA_CACHE, else `~/.cache/mella`."""
    named = os.environ.get("MELLA_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "mella"


def download(
    entry: Entry,
    read_range: Callable[[str, int, int], bytes],
    progress: Callable[[int], None] | None = None,
    *,
    folder: Path | None = None,
) -> Path:
    """Return where a file lies, after downloading what is not there yet.

    A file is kept under its hash, so it is downloaded once whatever repositories have it. What
    came before a break stays beside it, in a `.part` file, and is not asked for again. Of several
    processes one downloads, and the others wait for it.

    Args:
        entry: The file.
        read_range: Returns the bytes of (path, start, end).
        progress: Told how many more bytes there are, first those of an earlier try.
        folder: To keep it in. Default: `cache_folder()`.

    Raises:
        FormatError: What came is not the file that the manifest names; it is thrown away.
    """
    from filelock import FileLock

    kept = (folder or cache_folder()) / "files" / entry.sha256[:2] / entry.sha256
    if _whole(kept, entry):
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f"{kept.name}.part")
    with FileLock(f"{kept}.lock"):
        if _whole(kept, entry):  # another process has just brought it
            return kept
        _fill(part, entry, read_range, progress)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = part.stat().st_size
        if (size, digest) != (entry.bytes, entry.sha256):
            part.unlink()
            raise FormatError(
                f"{entry.path} is not the file that the manifest names: {size} bytes of "
                f"{entry.bytes} came, or it has another hash. Try again, or build it again."
            )
        part.replace(kept)
    return kept


def write_whole(file: Path, *parts: bytes) -> None:
    """Write a file from its parts, so that no other process, and nobody after a kill, finds less.

    It is not flushed to the disk: after a power failure it may be damaged.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    # Names begin with a dot and end so: what a killed process leaves is told from a file.
    unfinished = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with unfinished.open("wb", buffering=0) as opened:
            for part in parts:
                _write(opened, part)
        unfinished.replace(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write(file: io.FileIO, part: bytes) -> None:
    left = memoryview(part)
    while left:  # a write may take a part only, as on a disk that is nearly full
        left = left[file.write(left) :]


def _whole(file: Path, entry: Entry) -> bool:
    # Its hash was checked before it got this name.
    try:
        return file.stat().st_size == entry.bytes
    except FileNotFoundError:
        return False


def _fill(
    part: Path,
    entry: Entry,
    read_range: Callable[[str, int, int], bytes],
    progress: Callable[[int], None] | None,
) -> None:
    """Add to a part what it lacks; less where the file ends sooner."""
    tell = progress or (lambda _: None)
    with part.open("ab") as file:
        size = file.tell()
        if size > entry.bytes:  # it is of something else
            file.truncate(0)
            size = 0
        tell(size)
        while size < entry.bytes:
            wanted = min(size + _STEP, entry.bytes)
            came = read_range(entry.path, size, wanted)
            file.write(came)
            size += len(came)
            tell(len(came))
            if size < wanted:
                return
        file.flush()
        os.fsync(file.fileno())
