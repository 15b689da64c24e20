"""Read byte ranges of archives that lie elsewhere, near ones together, each fault costing itself.

A range that cannot be read becomes the name of its fault: `range:missing` (there is no such
archive), `range:refused` (401 or 403), `range:unreadable` (no whole answer after all attempts),
`range:short` (the archive ends before the range does), `range:bad_path` (its path leads out of the
place, or can be no path) or `range:bad_place` (no file has such bytes). Where one range after the
other fails, it is the place that fails: that ends the step, so that nothing is lost for good by an
outage (see `outage.py`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from threading import Lock
from urllib.parse import quote

from mella.builders.culture.discover.outage import ArchivesError, Outages
from mella.builders.culture.discover.params import RangesParams
from mella.builders.culture.fetch.params import FetchParams, agent_of
from mella.http import HttpClient, HttpError, Retry
from mella.storage import FolderStorage, UrlStorage

_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

Read = Callable[[str, int, int], bytes]
"""Reads a file from one byte up to another."""


@dataclass(frozen=True)
class Range:
    """Where a record lies: `length` bytes from `offset` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.offset + self.length

    @property
    def possible(self) -> bool:
        """Whether a file may have these bytes."""
        return self.offset >= 0 and self.length > 0


@dataclass(frozen=True)
class Span:
    """Ranges that are read together, in their order."""

    ranges: tuple[Range, ...]

    @property
    def start(self) -> int:
        """The first byte."""
        return self.ranges[0].offset

    @property
    def end(self) -> int:
        """The byte after the last."""
        return max(one.end for one in self.ranges)


def join_ranges(ranges: Sequence[Range], *, gap: int, most: int) -> list[Span]:
    """Gather the ranges of one file into spans.

    Args:
        ranges: Sorted by offset.
        gap: Bytes between two ranges of a span, at most.
        most: Bytes of a span, at most, unless it is a single range.
    """
    spans: list[list[Range]] = []
    end = 0
    for one in ranges:
        near = spans and one.offset - end <= gap
        if near and max(end, one.end) - spans[-1][0].offset <= most:
            spans[-1].append(one)
            end = max(end, one.end)
        else:
            spans.append([one])
            end = one.end
    return [Span(tuple(span)) for span in spans]


class Archives:
    """The files below one place: a folder, a web server, or what fsspec has a file system for."""

    def __init__(self, params: RangesParams) -> None:
        """Connect to nothing yet.

        Raises:
            FetchError: The place is a web server, but there is no contact.
            ArchivesError: There is no such folder, or no file system for such a URL.
        """
        self._params = params
        self._read = _reader(params)
        self._outages = Outages(params.archives, params.max_failures)

    @contextmanager
    def task(self) -> Iterator[None]:
        """Read for one task in this context: what fails in it is lost if it ends well.

        Raises:
            ArchivesError: At the end: the place fails, so that what failed may not be lost.
        """
        self._outages.begin()
        yield
        self._outages.end()

    def read(self, path: str, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes | str]]:
        """Yield each range of a file with its bytes, or with the name of its fault.

        Args:
            path: Below the place.
            ranges: Sorted by offset.

        Raises:
            ArchivesError: One range after the other fails, so the place itself does.
        """
        if not _is_path(path):
            yield from ((one, "range:bad_path") for one in ranges)
            return
        found = self._found(path, [one for one in ranges if one.possible])
        for one in ranges:
            yield next(found) if one.possible else (one, "range:bad_place")

    def _found(self, path: str, ranges: Sequence[Range]) -> Iterator[tuple[Range, bytes | str]]:
        params = self._params
        spans = join_ranges(ranges, gap=params.gap_bytes, most=params.request_bytes)
        with ThreadPoolExecutor(params.connections) as threads:
            for first in range(0, len(spans), params.connections):
                some = spans[first : first + params.connections]
                for found in threads.map(lambda span: self._span(path, span), some):
                    yield from found

    def _span(self, path: str, span: Span) -> list[tuple[Range, bytes | str]]:
        data = self._bytes(path, span.start, span.end)
        if isinstance(data, str):
            # Only a fault of the connection may be one of some of the bytes.
            if data != "range:unreadable" or len(span.ranges) == 1:
                return [(one, data) for one in span.ranges]
            return [found for one in span.ranges for found in self._span(path, Span((one,)))]
        found: list[tuple[Range, bytes | str]] = []
        for one in span.ranges:
            content = data[one.offset - span.start : one.end - span.start]
            found.append((one, content if len(content) == one.length else "range:short"))
        return found

    def _bytes(self, path: str, start: int, end: int) -> bytes | str:
        try:
            data = self._read(path, start, end)
        except OSError as error:
            fault = _fault(error)
            tell = self._outages.missing if fault == "range:missing" else self._outages.failed
            tell(path, error)
            return fault
        self._outages.answered()
        return data


def _is_path(path: str) -> bool:
    """Return whether a name can be one of a file below a place."""
    parts = PurePosixPath(path).parts
    # Neither a NUL nor half of a surrogate pair can stand in a path or a URL.
    odd = any(char == "\0" or "\ud800" <= char <= "\udfff" for char in path)
    return bool(parts) and not odd and not {"..", "/"} & {*parts}


def _fault(error: OSError) -> str:
    status = error.status if isinstance(error, HttpError) else None
    if isinstance(error, FileNotFoundError) or status in _GONE:
        return "range:missing"
    if isinstance(error, PermissionError) or status in _REFUSED:
        return "range:refused"
    return "range:unreadable"


def _reader(params: RangesParams) -> Read:
    place = params.archives
    if "://" not in place:
        if not Path(place).is_dir():
            raise ArchivesError(
                f"[ranges] archives = {place!r}: there is no such folder. It holds files as the "
                "index names them, such as crawl-data/CC-MAIN-.../warc/....warc.gz."
            )
        return FolderStorage(Path(place)).read_range
    if place.lower().startswith(("http://", "https://")):
        return _Web(params).read
    import fsspec

    try:
        fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise ArchivesError(f"[ranges] archives = {place!r}: {error}.") from error
    return UrlStorage(place, retry=Retry(attempts=params.attempts)).read_range


class _Web:
    """Ranges from a web server, with a pause from the beginning of one request to the next."""

    def __init__(self, params: RangesParams) -> None:
        self._base = params.archives.rstrip("/")
        self._headers = {"User-Agent": agent_of(FetchParams(contact=params.contact))}
        self._client = HttpClient(Retry(attempts=params.attempts))
        self._delay = params.delay_s
        self._turn = Lock()
        self._next = 0.0

    def read(self, path: str, start: int, end: int) -> bytes:
        with self._turn:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + self._delay
        url = f"{self._base}/{quote(path)}"
        return self._client.get(url, span=(start, end), headers=self._headers).body
