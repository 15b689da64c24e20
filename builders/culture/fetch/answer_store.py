"""Keep answers on disk, so that a fetch that was interrupted does not ask for them again.

A file holds the answers of one host, each appended whole: a frame (`_FRAME`: sizes and a checksum),
what is known of it in JSON, and the body. What was cut off while it was written is dropped when the
file is next opened. An answer that is fetched again is appended again; the last one counts. Files
may be deleted whenever nothing is being fetched.
"""

import fcntl
import hashlib
import json
import logging
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from mella.builders.culture.fetch.fetched import Fetched
from mella.builders.culture.fetch.params import FetchParams, product_of
from mella.builders.culture.fetch.target import host_of

_FRAME = struct.Struct(">4sIII")  # magic, bytes of the JSON, bytes of the body, their CRC-32
_MAGIC = b"ans1"
_MAX_ABOUT = 1 << 20
_HOSTS_OPEN = 4096
# What a later request may answer otherwise, though it is the client that is told to be at fault.
_PASSING = (
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS,
)  # fmt: skip
_log = logging.getLogger(__name__)


class AnswerStore:
    """The answers under a folder that were got under the same rules."""

    def __init__(self, params: FetchParams) -> None:
        """Use the folder `params.store`; nothing is read or written yet.

        What was fetched as another agent, without robots.txt, or from private addresses, stays
        apart.
        """
        rules = [product_of(params), params.respect_robots, params.allow_private]
        self._folder = Path(params.store) / _digest(json.dumps(rules))[:16]
        self._fresh_s = params.store_fresh_s
        self._places: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._broken = False

    def get(self, url: str) -> Fetched | None:
        """Return the last answer for a URL, however old; None where there is none.

        Args:
            url: As `resolve_url` returns it.
        """
        host = host_of(url)
        at = self._index(host).get(url)
        if at is None:
            return None
        try:
            with self._path(host).open("rb") as file:
                return _read(file, at)
        except OSError:
            return None

    def put(self, fetched: Fetched) -> None:
        """Keep an answer that a later request would get too; others are passed over.

        A folder in which nothing can be written is given up with a warning: what was fetched is
        good without it.
        """
        if self._broken or not _is_settled(fetched):
            return
        host = host_of(fetched.url)
        places = self._index(host)
        try:
            path = self._path(host)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file, _alone(file):
                at = file.tell()
                file.write(_frame(fetched))
        except OSError:
            self._broken = True
            _log.warning("Answers cannot be kept in %s any more.", self._folder, exc_info=True)
        else:
            places[fetched.url] = at

    def is_fresh(self, fetched: Fetched) -> bool:
        """Whether an answer counts as if it came now."""
        age = datetime.now(UTC) - datetime.fromisoformat(fetched.fetched_at or "1970-01-01T00:00Z")
        return age.total_seconds() < self._fresh_s

    def _path(self, host: str) -> Path:
        name = _digest(host)
        return self._folder / name[:2] / name[2:34]

    def _index(self, host: str) -> dict[str, int]:
        """Return where the answer for each URL of a host begins."""
        if host in self._places:
            self._places.move_to_end(host)
            return self._places[host]
        places: dict[str, int] = {}
        try:
            with self._path(host).open("r+b") as file, _alone(file):
                places, end = _scan(file)
                file.truncate(end)
        except FileNotFoundError:
            pass
        except OSError:
            _log.warning("The answers of %s cannot be read.", host, exc_info=True)
        self._places[host] = places
        if len(self._places) > _HOSTS_OPEN:
            self._places.popitem(last=False)
        return places


def _is_settled(fetched: Fetched) -> bool:
    if fetched.body is not None:
        return True
    status = fetched.status or 0
    refused = fetched.reason == f"fetch:http_{status}"
    return refused and 400 <= status < 500 and status not in _PASSING


def _frame(fetched: Fetched) -> bytes:
    body = fetched.body or b""
    known = {name: value for name, value in asdict(fetched).items() if name != "body"}
    about = json.dumps(known).encode()
    check = zlib.crc32(body, zlib.crc32(about))
    return b"".join((_FRAME.pack(_MAGIC, len(about), len(body), check), about, body))


def _scan(file: BinaryIO) -> tuple[dict[str, int], int]:
    """Return where the last answer for each URL begins, and where the whole ones end."""
    places: dict[str, int] = {}
    size = file.seek(0, 2)
    at = 0
    while head := _head(file, at):
        about, body, _ = head
        end = at + _FRAME.size + about + body
        if end > size:
            break
        # One that is damaged costs itself alone.
        with suppress(ValueError, KeyError, TypeError):
            places[json.loads(file.read(about))["url"]] = at
        at = end
    return places, at


def _read(file: BinaryIO, at: int) -> Fetched | None:
    """Return the answer that begins at a byte; None where it is damaged."""
    head = _head(file, at)
    if head is None:
        return None
    about, body = file.read(head[0]), file.read(head[1])
    if zlib.crc32(body, zlib.crc32(about)) != head[2]:
        return None
    known = json.loads(about)
    return Fetched(**known, body=body if known["reason"] is None else None)


def _head(file: BinaryIO, at: int) -> tuple[int, int, int] | None:
    file.seek(at)
    head = file.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    magic, about, body, check = _FRAME.unpack(head)
    return (about, body, check) if magic == _MAGIC and about <= _MAX_ABOUT else None


@contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    """Hold a file so that no other process writes in between; it is let go when it is closed."""
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0, 2)
    yield
    file.flush()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
