"""Read web archives into records: pages with their bytes, images with the place to read them.

Every response in an archive becomes one row: a page, an image, or something else with the reason
why it is not used. Every place that cannot be read becomes one row too, with the name of the
archive, the offset and the fault. Reasons are `record:...` (one record), `archive:...` (the rest
of a file), `http_status:...` and `media_type:...`.

An archive that holds all its records in one gzip member cannot be read by offset. Its pages are
used; its images, except the first record, get `record:not_seekable` (`warcio recompress` helps).
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pyarrow as pa

from mella.builders.culture.archives.archive import ZIP_START, open_source, warc_members
from mella.builders.culture.archives.payload import (
    Message,
    PayloadError,
    declared_charset,
    decode_body,
    media_type,
    parse_message,
    sniff,
)
from mella.builders.culture.archives.warc import Damage, Record, read_record, read_records
from mella.builders.culture.signals import SIGNALS, signals_of
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step

READS = pa.schema([pa.field("path", pa.string()), pa.field("name", pa.string())])

RECORDS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # page, image, other
        pa.field("url", pa.string()),  # null where the record could not be read
        pa.field("media_type", pa.string()),  # as declared, without parameters
        pa.field("charset", pa.string()),  # as the Content-Type declares
        pa.field("content_language", pa.string()),  # the header
        pa.field("signals", SIGNALS),  # what the headers say of use
        pa.field("name", pa.string(), nullable=False),  # of the archive
        pa.field("member", pa.string()),  # inside a WACZ
        pa.field("offset", pa.int64()),  # of the record in the archive or its member
        pa.field("collected_at", pa.string()),
        pa.field("body", pa.large_binary()),  # of pages
        pa.field("path", pa.string(), nullable=False),  # where the archive lies on this machine
        REASON,
    ]
)
"""The columns of a record."""

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_SNIFFED_TYPES = (
    "image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/bmp", "image/tiff",
)  # fmt: skip
_NOT_ROWS = ("request", "warcinfo", "metadata")
MAX_HTTP_HEAD = 64 << 10
_SNIFF_BYTES = 2048
_TABLE_ROWS = 256
_TABLE_BYTES = 32 << 20

Row = dict[str, Any]
BLANK: Row = {**dict.fromkeys(RECORDS.names), "kind": "other", "signals": []}
"""A row of `RECORDS` of which nothing is known yet."""


@dataclass(frozen=True)
class RecordsParams:
    """How archives are read.

    Attributes:
        max_page_bytes: Pages larger than this, decoded, get `record:too_big`.
        max_damage: Places of damage in one archive after which its rest is given up.
    """

    max_page_bytes: int = 10_000_000
    max_damage: int = 1000

    def __post_init__(self) -> None:
        check_least(self, {"max_page_bytes": 1, "max_damage": 1})


def records_step(params: RecordsParams) -> Step:
    """Return the step that reads archives (`path`, and the stable `name`) into records."""
    return Step(
        name="records",
        version=2,
        fn=_read_archives,
        reads=READS,
        writes=RECORDS,
        params=params,
        expands=True,
        unit="records",
    )


def read_response(
    path: str, member: str | None, offset: int, *, max_bytes: int = 64_000_000
) -> tuple[dict[str, str], bytes]:
    r"""Read the headers and the decoded payload of one record again.

    Args:
        path: The archive.
        member: The member of a WACZ, or None.
        offset: Where the record begins, as `records_step` stored it.
        max_bytes: Larger payloads are refused.

    Returns:
        The headers, with lower-case names (of repeated ones the first, but all lines of those that
        `signals_of` takes, joined by `"\n"`; of a resource just its content type), and the payload.

    Raises:
        PayloadError: There is no whole record, or its payload is broken or too large.
    """
    where = f"the record at byte {offset} of {path}" + (f", member {member}" if member else "")
    try:
        with open_source(path, member) as source:
            record = read_record(source, offset, limit=max_bytes + MAX_HTTP_HEAD)
    except OSError as error:
        raise PayloadError(f"Cannot open {where}: {error}.") from error
    if isinstance(record, Damage):
        raise PayloadError(
            f"Cannot read {where}: {record.reason}. Has the archive changed since the records "
            "were listed? Then run that step again."
        )
    message = _message(record)
    if message is None:
        raise PayloadError(f"Cannot read {where}: it holds no HTTP response.")
    try:
        data = decode_body(message.headers, message.body, limit=max_bytes + 1)
    except PayloadError as error:
        raise PayloadError(f"Cannot decode {where}: {error}") from error
    if len(data) > max_bytes or len(record.block) < record.length:
        raise PayloadError(f"The payload of {where} is larger than {max_bytes} bytes.")
    return message.headers, data


def as_tables(rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Gather rows of `RECORDS` into tables of a few megabytes."""
    pending: list[Row] = []
    size = 0
    for row in rows:
        pending.append(row)
        size += len(row["body"] or b"")
        if len(pending) >= _TABLE_ROWS or size >= _TABLE_BYTES:
            yield pa.Table.from_pylist(pending, schema=RECORDS)
            pending, size = [], 0
    if pending:
        yield pa.Table.from_pylist(pending, schema=RECORDS)


def why_no_page(start: bytes, declared: str | None) -> str | None:
    """Return the reason why content is no HTML page, or None where it is one.

    Args:
        start: Its first bytes (1 KB or so): what they are counts more than what they are called.
        declared: The media type that it was sent with.
    """
    found = sniff(start)
    if not start:
        return "record:empty"
    if found == "image/svg+xml":
        return "record:svg"
    if found in _SNIFFED_TYPES:
        return f"media_type:{found}"
    if declared in _HTML_TYPES or found in _HTML_TYPES:
        return None
    return (
        "record:not_an_image"
        if declared in _SNIFFED_TYPES
        else f"media_type:{declared or 'unknown'}"
    )


def record_row(
    blank: Row, found: Record | Damage, params: RecordsParams, *, originals: "Originals"
) -> Row | None:
    """Return the row of one place of an archive; None for a request or what else makes none.

    Args:
        blank: A row of `RECORDS` that says which archive it is.
        found: What lies there.
        params: How archives are read.
        originals: The images that the archive held before; an image of this record is added.
    """
    row = _describe(blank, found)
    if isinstance(found, Damage):
        return {**row, "reason": found.reason}
    if found.headers.get("warc-type", "").lower() in _NOT_ROWS:
        return None
    return _row(row, found, originals, params)


def _read_archives(table: pa.Table, params: RecordsParams, _: Any) -> Iterator[pa.Table]:
    for archive in table.to_pylist():
        yield from as_tables(_read_archive(archive["path"], archive["name"], params))


@dataclass(frozen=True)
class Originals:
    """Where the images of an archive lie, for the records that only refer to them."""

    by_digest: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    by_url: dict[str, tuple[str | None, int]] = field(default_factory=dict)

    def add(self, record: Record, url: str, member: str | None) -> None:
        """Remember where an image lies."""
        place = (member, record.offset)
        self.by_url[url] = place
        if digest := record.headers.get("warc-payload-digest"):
            self.by_digest[digest] = place

    def find(self, record: Record) -> tuple[str | None, int] | None:
        """Return where the image lies that a revisit refers to: member and offset."""
        digest = record.headers.get("warc-payload-digest", "")
        if digest in self.by_digest:
            return self.by_digest[digest]
        refers_to = record.headers.get("warc-refers-to-target-uri", "")
        return self.by_url.get(_bare(refers_to))


def _read_archive(path: str, name: str, params: RecordsParams) -> Iterator[Row]:
    blank = {**BLANK, "name": name, "path": path}
    originals = Originals()
    try:
        with open_source(path) as source:
            start = source.read_at(0, 16)
            # A broken zip file is searched for records as if it were a plain one.
            members = warc_members(source) if start.startswith(ZIP_START) else None
        if members == []:
            yield {**blank, "offset": 0, "reason": "archive:no_warc_inside"}
        for member in members if members is not None else [None]:
            # A fault of one member leaves the others readable.
            yield from _read_member({**blank, "member": member}, originals, params)
    except OSError:
        yield {**blank, "offset": 0, "reason": "archive:unreadable"}


def _read_member(blank: Row, originals: Originals, params: RecordsParams) -> Iterator[Row]:
    limit = params.max_page_bytes + MAX_HTTP_HEAD
    try:
        with open_source(blank["path"], blank["member"]) as source:
            start = source.read_at(0, 4096)
            empty = True
            for found in read_records(source, limit=limit, max_damage=params.max_damage):
                empty = False
                row = record_row(blank, found, params, originals=originals)
                if isinstance(found, Damage) and found.offset == 0 and row is not None:
                    row["reason"] = _foreign(start) or row["reason"]
                if row is not None:
                    yield row
            if empty:
                yield {**blank, "offset": 0, "reason": "archive:empty"}
    except OSError:
        yield {**blank, "offset": 0, "reason": "archive:unreadable"}


def _foreign(start: bytes) -> str | None:
    """Say what a file is by its start, or None for a WARC file."""
    if start.startswith(b"\x1f\x8b"):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, 64)
        except zlib.error:
            return "archive:unreadable"
    if start.startswith(b"WARC/"):
        return None
    if start.startswith(ZIP_START):
        return "archive:broken_zip"
    if start.startswith(b"filedesc:"):
        return "archive:arc_unsupported"
    # A frame, or a skippable frame with a dictionary, as `.warc.zst` begins.
    if start.startswith(b"\x28\xb5\x2f\xfd") or start[1:4] == b"\x2a\x4d\x18":
        return "archive:zstd_unsupported"
    return "archive:not_warc"


def _describe(blank: Row, found: Record | Damage) -> Row:
    url = _bare(found.headers.get("warc-target-uri", ""))
    collected_at = _utc(found.headers.get("warc-date", ""))
    return {**blank, "url": url or None, "offset": found.offset, "collected_at": collected_at}


def _row(  # noqa: PLR0911 - one for each outcome
    row: Row, record: Record, originals: Originals, params: RecordsParams
) -> Row:
    if reason := _unfit(record, row["url"]):
        return {**row, "reason": reason}
    if record.headers["warc-type"].lower() == "revisit":
        if (place := originals.find(record)) is None:
            return {**row, "reason": "record:revisit"}
        return {**row, "kind": "image", "member": place[0], "offset": place[1]}
    message = _message(record)
    if message is None:
        return {**row, "reason": "record:not_http"}
    content_type = message.headers.get("content-type", "")
    row = {
        **row,
        "media_type": media_type(content_type) or None,
        "charset": declared_charset(content_type),
        "content_language": message.headers.get("content-language"),
        "signals": signals_of(message.headers),
    }
    if message.status != HTTPStatus.OK:
        return {**row, "reason": f"http_status:{message.status}"}
    try:
        row |= _content(message, record, row["media_type"], params)
    except PayloadError:
        return {**row, "reason": "record:undecodable"}
    if row["kind"] == "image" and row["reason"] is None:
        originals.add(record, row["url"], row["member"])
    return row


def _unfit(record: Record, url: str | None) -> str | None:
    """Return the reason why the record is not used, whatever its content is."""
    kind = record.headers.get("warc-type", "").lower()
    if kind in ("conversion", "continuation"):
        return f"record:{kind}"
    if kind not in ("response", "resource", "revisit"):
        return "record:unknown_type"
    if url is None:
        return "record:no_url"
    if not url.lower().startswith(("http://", "https://")):
        return "record:scheme"
    if "warc-segment-number" in record.headers:
        return "record:segmented"
    return None


def _message(record: Record) -> Message | None:
    """Return what a record archives; a resource is stored without HTTP around it."""
    if record.headers.get("warc-type", "").lower() == "resource":
        content_type = record.headers.get("content-type", "")
        return Message(HTTPStatus.OK, {"content-type": content_type}, record.block)
    return parse_message(record.block)


def _content(message: Message, record: Record, declared: str | None, params: RecordsParams) -> Row:
    """Return kind, body and reason, by what the bytes are rather than by what they are called."""
    start = decode_body(message.headers, message.body, limit=_SNIFF_BYTES, whole=False)
    if sniff(start) in _SNIFFED_TYPES:
        reason = None if record.seekable else "record:not_seekable"
        if "warc-truncated" in record.headers:
            reason = "record:truncated"
        return {"kind": "image", "reason": reason}
    if reason := why_no_page(start, declared):
        return {"reason": reason}
    cut = len(record.block) < record.length
    limit = params.max_page_bytes
    body = b"" if cut else decode_body(message.headers, message.body, limit=limit + 1)
    if cut or len(body) > limit:
        return {"kind": "page", "reason": "record:too_big"}
    return {"kind": "page", "body": body}


def _bare(url: str) -> str:
    """Return a URL without the angle brackets that some tools write around it."""
    return url.strip().removeprefix("<").removesuffix(">")


def _utc(date: str) -> str | None:
    try:
        time = datetime.fromisoformat(date.strip())
        time = time.astimezone(UTC) if time.tzinfo else time
    except (ValueError, OverflowError):
        return None
    return f"{time.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
