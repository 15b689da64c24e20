"""Read single samples of shards on this machine: by offset, checked against their hash."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import xxhash

from mella.errors import FormatError, RepositoryError

_OPEN = 64
"""Shards held open at once."""


def check_blocks(
    blocks: bytes | memoryview, nbytes: int, xxh3: int, shard: str, key: Callable[[], str]
) -> None:
    """Raise FormatError unless these are the bytes of a sample that the index promises.

    Args:
        blocks: The bytes that were read.
        nbytes: How many the index promises.
        xxh3: Their XXH3 (64 bits, seed 0).
        shard: Named in the error.
        key: Says which sample it is, for the error.
    """
    if len(blocks) == nbytes and xxhash.xxh3_64_intdigest(blocks) == xxh3:
        return
    what = "is cut short" if len(blocks) < nbytes else "has other bytes than the index says"
    raise FormatError(f"{shard} {what} at sample {key()}. Fetch or build the shard again.")


class LocalShards:
    """Shards on this machine, opened once and read from any number of threads and processes.

    A forked process may go on with the open files: reads name their place and move no pointer. A
    pickled copy opens its own.
    """

    def __init__(self) -> None:
        self._open = lru_cache(maxsize=_OPEN)(_File)

    def __reduce__(self) -> tuple[Any, ...]:
        return LocalShards, ()

    def read(self, path: str, offset: int, nbytes: int, xxh3: int, key: Callable[[], str]) -> bytes:
        """Return the blocks of a sample.

        Args:
            path: Of the shard.
            offset: Of the sample, in bytes.
            nbytes: Of the sample, headers included.
            xxh3: Of these bytes.
            key: Says which sample it is, for errors.

        Raises:
            RepositoryError: The shard is missing or cannot be read.
            FormatError: It is cut short, or has other bytes.
        """
        try:
            blocks = self._open(path).read(nbytes, offset)
            if xxhash.xxh3_64_intdigest(blocks) == xxh3:
                return blocks
            # Another file may have taken its place since it was opened.
            self._open.cache_clear()
            blocks = self._open(path).read(nbytes, offset)
        except FileNotFoundError as error:
            raise RepositoryError(
                f"There is no {path} any more. Load the data again, or build it again."
            ) from error
        except OSError as error:
            raise RepositoryError(f"Cannot read {path}: {error}.") from error
        check_blocks(blocks, nbytes, xxh3, path, key)
        return blocks


class _File:
    """An open file that is closed with the last reference to it, so never while it is read."""

    def __init__(self, path: str) -> None:
        self._number = -1  # where the next line raises
        self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, nbytes: int, offset: int) -> bytes:
        return os.pread(self._number, nbytes, offset)

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)
