"""WARC framing: find the records of an archive, and find the way on behind damage.

Libraries stop at damage, some without a word (a file cut in the middle of a record reads as if it
ended there), and none says where to go on. So the frames are read here: gzip members are inflated
one by one, with their checksums, and behind damage the next member or header that begins a record
is searched for. Whatever is not a whole record comes out as a `Damage`.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass

from isal import isal_zlib
from isal.igzip_lib import IsalError

from mella.builders.culture.archives.archive import Source

_FEED = 16 << 10  # what follows a gzip member is copied once per member: small feeds, small copies
_INFLATED = 1 << 20  # at most this much at a time, however well it was compressed
_MAX_HEAD = 64 << 10
_WINDOW = 1 << 20
_PROBE = 4 << 10
_STRIDE = _WINDOW - _PROBE
_GZIP = b"\x1f\x8b"
_START = re.compile(rb"\x1f\x8b\x08|WARC/1\.[01]\r?\n")
_NEWLINES = re.compile(rb"[\r\n]*")
_FOLDED = re.compile(r"\r?\n[ \t]+")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Record:
    """A whole record.

    Attributes:
        offset: Where it begins in its source; for a record inside a gzip member, the member.
        seekable: Whether reading from `offset` gives this record: not where a gzip member holds
            several and this is not the first.
        headers: Lower-case names; the first of repeated ones.
        block: Its content, cut to the limit.
        length: Of the whole content, in bytes.
    """

    offset: int
    seekable: bool
    headers: dict[str, str]
    block: bytes
    length: int


@dataclass(frozen=True)
class Damage:
    """A place where no whole record could be read.

    Attributes:
        offset: Where it begins in its source.
        reason: "record:truncated" (the source ends inside a record), "record:malformed" (a header
            that is none, or a length that is wrong), "record:damaged" (compressed data that is
            broken), "archive:truncated" (the source ends behind its last record, but inside a
            gzip member), "archive:unreadable" (the source itself fails) or "archive:too_damaged"
            (the rest is left unread).
        headers: Of the record that is lost, where they could be read.
    """

    offset: int
    reason: str
    headers: dict[str, str]


class _BrokenError(Exception):
    """Carries a `Damage` out of the stream."""

    def __init__(self, offset: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.damage = Damage(offset, reason, headers or {})


def read_records(source: Source, *, limit: int, max_damage: int) -> Iterator[Record | Damage]:
    """Yield every record of a source, and a `Damage` wherever something else is found.

    Args:
        source: A WARC file, plain or gzip, with one or many gzip members.
        limit: Bytes of a record's block to keep.
        max_damage: Places of damage after which the rest is given up: each may cost a search
            through the rest of the file.
    """
    offset = 0
    for _ in range(max_damage):
        try:
            stream = _Stream(source, offset)
            while stream.begin():
                yield stream.record(limit)
            if stream.cut:
                raise stream.end()  # which may be the damage of one member that hides others
        except _BrokenError as broken:
            yield broken.damage
            start = _next_start(source, broken.damage.offset + 1)
            if start is None:
                return
            offset = start
        else:
            return
    yield Damage(offset, "archive:too_damaged", {})


def read_record(source: Source, offset: int, *, limit: int) -> Record | Damage:
    """Return the record that begins at `offset`."""
    try:
        stream = _Stream(source, offset)
        if stream.begin():
            return stream.record(limit)
    except _BrokenError as broken:
        return broken.damage
    return Damage(offset, "record:truncated", {})


class _Stream:
    """The inflated bytes of a source from an offset on, which knows where gzip members begin."""

    def __init__(self, source: Source, offset: int) -> None:
        self.offset = offset  # of the record that began last
        self.cut = False  # the source ended inside a gzip member
        self._source = source
        self._position = offset  # in the source, of what is read next
        self._raw = b""  # read, but not inflated yet
        self._buffer = bytearray()  # inflated, all from one member
        self._member = offset
        self._inflate: isal_zlib.Decompress | None = None
        self._fresh = False  # nothing of the member has been used yet
        self._open()

    def begin(self) -> bool:
        """Go to the next record; False at the end of the source."""
        while True:
            self._skip_newlines()
            if self._buffer:
                plain = self._inflate is None
                self.offset = self._position - len(self._buffer) if plain else self._member
                return True
            if self.cut or not self._open():
                return False

    def end(self) -> _BrokenError:
        """Say what a source lost that ends inside a gzip member."""
        if self._fresh:
            return _BrokenError(self._member, "record:truncated")
        return _BrokenError(self.offset, "archive:truncated")

    def record(self, limit: int) -> Record:
        """Read the record that `begin` went to.

        Raises:
            _BrokenError: It is none, or not whole.
        """
        offset, seekable = self.offset, self._fresh or self._inflate is None
        headers = self._headers()
        self._fresh = False
        length = headers.get("content-length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            raise _BrokenError(offset, "record:malformed", headers)
        try:
            block = self._read(min(int(length), limit))
            self._skip(int(length) - len(block), offset)
            self._finish(offset)
        except _BrokenError as broken:
            raise _BrokenError(offset, broken.damage.reason, headers) from None
        return Record(offset, seekable, headers, block, int(length))

    def _headers(self) -> dict[str, str]:
        wanted = len(b"WARC/")
        while not (end := _BLANK_LINE.search(head := self._peek(wanted))):
            if len(head) < wanted:
                # Only a header that is not whole yet may go on in the next member.
                if self._follows():
                    continue
                known = b"WARC/".startswith(head[:5])
                raise _BrokenError(self.offset, self._lost() if known else "record:malformed")
            if not head.startswith(b"WARC/") or wanted > _MAX_HEAD:
                raise _BrokenError(self.offset, "record:malformed")
            wanted = max(1024, 2 * wanted)
        if not head.startswith(b"WARC/"):
            raise _BrokenError(self.offset, "record:malformed")
        del self._buffer[: end.end()]
        return parse_headers(head[: end.start()])[1]

    def _lost(self) -> str:
        """Name what befell a record that the bytes do not suffice for."""
        return "record:truncated" if self.cut or not self._raw else "record:malformed"

    def _finish(self, offset: int) -> None:
        """Check that the record ends here, which also checks the sum of its gzip member."""
        whole = self._peek(4) == b"\r\n\r\n"
        self._skip_newlines()
        if not whole and self._buffer and self._peek(5) != b"WARC/":
            raise _BrokenError(offset, "record:malformed")

    def _open(self) -> bool:
        """Go to the gzip member, or the plain bytes, that come next; False where nothing does."""
        if len(self._raw) < len(_GZIP):
            self._raw += self._pull()
        if not self._raw:
            return False
        self._member = self._position - len(self._raw)
        is_gzip = self._raw.startswith(_GZIP)
        self._inflate = isal_zlib.decompressobj(wbits=31) if is_gzip else None
        self._fresh = True
        return True

    def _pull(self) -> bytes:
        try:
            data = self._source.read_at(self._position, _FEED)
        except OSError as error:
            raise _BrokenError(self.offset, "archive:unreadable") from error
        self._position += len(data)
        return data

    def _fill(self) -> bool:
        """Inflate some more of the current member into the buffer; False at its end."""
        if self._inflate is None:
            data, self._raw = self._raw or self._pull(), b""
            self._buffer += data
            return bool(data)
        while not self._inflate.eof:
            data = self._raw or self._pull()
            try:
                inflated = self._inflate.decompress(data, _INFLATED)
            except IsalError as error:  # type: ignore[misc]  # its stub calls it a value
                offset = self._member if self._fresh else self.offset
                raise _BrokenError(offset, "record:damaged") from error
            self._raw = self._inflate.unused_data or self._inflate.unconsumed_tail
            if inflated:
                self._buffer += inflated
                return True
            if not data:
                self.cut = True
                return False
        return False

    def _peek(self, size: int, *, across: bool = False) -> bytes:
        """Return the next bytes; fewer at the end of the member, or, with `across`, of all.

        A record may go on in the next member: some tools cut members by size.
        """
        while len(self._buffer) < size and (self._fill() or (across and self._follows())):
            pass
        return bytes(self._buffer[:size])

    def _read(self, size: int) -> bytes:
        data = self._peek(size, across=True)
        del self._buffer[:size]
        return data

    def _skip_newlines(self) -> None:
        while self._buffer or self._fill():
            newlines = _NEWLINES.match(self._buffer)
            del self._buffer[: newlines.end() if newlines else 0]
            if self._buffer:
                return

    def _follows(self) -> bool:
        if self._inflate is None or self.cut or not self._open():
            return False
        self._fresh = False
        return self._inflate is not None

    def _skip(self, size: int, offset: int) -> None:
        if self._inflate is None and size > len(self._buffer) + len(self._raw):
            size -= len(self._buffer) + len(self._raw)
            self._buffer.clear()
            self._raw = b""
            jump = min(size, self._source.size - self._position)
            self._position += jump
            size -= jump
        while size > 0:
            done = len(self._read(min(size, _INFLATED)))
            size -= done
            if not done:
                raise _BrokenError(offset, self._lost())


def parse_headers(head: bytes, *, joined: Container[str] = ()) -> tuple[str, dict[str, str]]:
    r"""Return the first line and the headers of a WARC or HTTP head, however sloppy it is.

    Names are lower-case; of repeated ones the first counts; lines that go on are joined.

    Args:
        head: The lines before the blank one.
        joined: Names of which every line counts: their values are joined by `"\n"`.
    """
    text = _text(head)
    if "\n " in text or "\n\t" in text:
        text = _FOLDED.sub(" ", text)
    lines = text.replace("\r", "").split("\n")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name = name.strip().lower()
            if name not in headers:
                headers[name] = value.strip()
            elif name in joined:
                headers[name] += "\n" + value.strip()
    return lines[0].strip(), headers


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _next_start(source: Source, offset: int) -> int | None:
    """Search for the next place from `offset` on where a record begins."""
    try:
        window = source.read_at(offset, _WINDOW)
        while True:
            last = len(window) < _WINDOW
            for match in _START.finditer(window):
                start = match.start()
                # What lies too near the end of the window is looked at again in the next.
                if (last or start < _STRIDE) and _begins(window[start : start + _PROBE]):
                    return offset + start
            if last:
                return None
            window = window[_STRIDE:] + source.read_at(offset + _WINDOW, _STRIDE)
            offset += _STRIDE
    except OSError:
        return None


def _begins(data: bytes) -> bool:
    if data.startswith(_GZIP):
        try:
            return isal_zlib.decompressobj(wbits=31).decompress(data, 5) == b"WARC/"
        except IsalError:  # type: ignore[misc]  # as above
            return False
    head = _BLANK_LINE.split(data, maxsplit=1)[0]
    return b"\nwarc-type" in head.lower()
