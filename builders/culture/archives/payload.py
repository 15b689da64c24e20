"""HTTP payloads: split an archived message, undo its encodings, and see what the bytes are."""

import io
import re
import zlib
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

from mella.builders.culture.archives.warc import parse_headers
from mella.builders.culture.signals import HEADER_NAMES
from mella.errors import MellaError

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(r"(?:HTTP/[0-9.]+|ICY)\s+([0-9]{3})")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_PROLOGUE = re.compile(rb"(?:\s+|<!--.*?-->|<\?.*?\?>)*", re.DOTALL)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|meta|script|table|div|h1|p|a|img|br)[\s/>]",
    re.IGNORECASE,
)
_SVG = re.compile(rb"<(?:!doctype\s+svg|svg)[\s/>]", re.IGNORECASE)
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


class PayloadError(MellaError, ValueError):
    """A payload that cannot be read or decoded."""


@dataclass(frozen=True)
class Message:
    r"""An HTTP response as it was archived: its status, its headers and its body, still encoded.

    Header names are lower-case. Of repeated ones the first counts, but those that are signals are
    joined by `"\n"`.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def parse_message(block: bytes) -> Message | None:
    """Split an HTTP response; None where the bytes do not begin like one."""
    end = _BLANK_LINE.search(block)
    head, body = (block[: end.start()], block[end.end() :]) if end else (block, b"")
    first, headers = parse_headers(head, joined=HEADER_NAMES)
    status = _STATUS.match(first)
    return Message(int(status[1]), headers, body) if status else None


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type, lower-case, without parameters; "" for none."""
    declared = content_type.partition(";")[0].partition(",")[0].strip().lower()
    return declared if _MEDIA_TYPE.fullmatch(declared) else ""


def declared_charset(content_type: str) -> str | None:
    """Return the charset that a Content-Type declares, lower-case."""
    match = _CHARSET.search(content_type)
    return match[1].lower() if match else None


def decode_body(headers: dict[str, str], body: bytes, *, limit: int, whole: bool = True) -> bytes:
    """Undo the transfer and content encodings of a body.

    Archiving tools undo them and keep the headers, so a header that the bytes contradict is
    ignored.

    Args:
        headers: Of the message.
        body: As it was archived.
        limit: Bytes to return at most: what compresses well must not fill the memory.
        whole: Whether a body that ends early is an error; otherwise its beginning is returned.

    Raises:
        PayloadError: The body is broken, or its encoding unknown.
    """
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _join_chunks(body, whole=whole)
    encodings = headers.get("content-encoding", "").lower().replace(" ", "").split(",")
    for encoding in reversed(encodings):
        # Only the last decoding may be cut: a cut in front of another would break that one.
        body = _decode(encoding, body, limit, whole=whole)
    return body[:limit]


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes (1 KB or so) show: an image, SVG or HTML."""
    image = _sniff_image(data)
    if image:
        return image
    text = data.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text[2:].replace(b"\0", b"")
    start = _PROLOGUE.match(text)
    at = start.end() if start else 0
    if _SVG.match(text, at):
        return "image/svg+xml"
    if _HTML.match(text, at):
        return "text/html"
    return None


def _sniff_image(data: bytes) -> str | None:  # noqa: PLR0911 - one for each format
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "image/tiff"
    # Two letters are no proof, the size of the header behind them is.
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "image/bmp"
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), len(data))]
        brands = {box[i : i + 4] for i in range(0, len(box), 4) if i != 4}
        if brands & {b"avif", b"avis"}:
            return "image/avif"
    return None


def _join_chunks(body: bytes, *, whole: bool) -> bytes:
    parts: list[bytes] = []
    at = 0
    while size := _CHUNK_SIZE.match(body, at):
        start, length = size.end(), int(size[1], 16)
        if not length:
            return b"".join(parts)
        parts.append(body[start : start + length])
        at = start + length
        if at > len(body):
            break
        at += 2 if body.startswith(b"\r\n", at) else 1 if body.startswith(b"\n", at) else 0
        if at == start + length:
            # No line ends here: the first "size" was text.
            return _not_chunked(body, parts)
    if at == 0:
        return body
    if whole:
        raise PayloadError(f"A chunked body ends early or is broken at byte {at} of {len(body)}.")
    return b"".join(parts)


def _not_chunked(body: bytes, parts: list[bytes]) -> bytes:
    if len(parts) == 1:
        return body
    raise PayloadError(f"A chunked body is broken behind chunk {len(parts)}.")


def _decode(encoding: str, body: bytes, limit: int, *, whole: bool) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip"):
        return _inflate(body, 31, limit, whole=whole) if body[:2] == b"\x1f\x8b" else body
    if encoding == "deflate":
        # With a zlib header by the standard, without one by habit.
        zlib_header = body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflate_or_keep(body, 15 if zlib_header else -15, limit, whole=whole)
    readers = {"br": BrotliReader, "zstd": ZstdReader}
    if encoding not in readers:
        known = "Known: br, deflate, gzip, zstd."
        return _keep_if_plain(body, f"Content-Encoding {encoding[:40]!r} is unknown. {known}")
    try:
        return bytes(readers[encoding](io.BytesIO(body)).read(limit))
    except OSError as error:
        return _keep_if_plain(body, f"Content-Encoding {encoding} is broken: {error}.")


def _inflate(body: bytes, wbits: int, limit: int, *, whole: bool) -> bytes:
    inflater = zlib.decompressobj(wbits=wbits)
    parts, size = [], 0
    try:
        while size < limit:
            part = inflater.decompress(body, limit - size)
            parts.append(part)
            size += len(part)
            body = inflater.unconsumed_tail
            if inflater.eof or not (part or body):
                break
    except zlib.error as error:
        raise PayloadError(f"A compressed body is broken: {error}.") from error
    if whole and size < limit and not inflater.eof:
        raise PayloadError("A compressed body ends early.")
    return b"".join(parts)


def _inflate_or_keep(body: bytes, wbits: int, limit: int, *, whole: bool) -> bytes:
    try:
        return _inflate(body, wbits, limit, whole=whole)
    except PayloadError as error:
        return _keep_if_plain(body, str(error))


def _keep_if_plain(body: bytes, fault: str) -> bytes:
    """Return a body that its header calls encoded but that shows what it is as it stands."""
    if sniff(body[:1024]):
        return body
    raise PayloadError(fault)
