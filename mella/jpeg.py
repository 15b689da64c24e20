"""Read and clean the segments of a JPEG file without decoding it.

`strip_metadata` keeps what a decoder needs and drops what tells about people and places: EXIF, XMP,
IPTC, comments, thumbnails, further images, bytes behind the end. The compressed image keeps its
bytes. Source: ITU-T T.81, annex B; T.871 (JFIF); ICC.1, annex B.4.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mella.errors import MellaError

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_APPS = frozenset(range(0xE0, 0xF0))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Tables, frames, scans and application data; what else the standard reserves no decoder reads.
_KNOWN = frozenset(range(0xC0, 0xF0)) - {0xC8, *range(0xD0, 0xDA)} | {_SOS, _COM}
_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)  # 0xFF may be repeated before a marker
# In compressed data 0xFF is followed by 0 (a plain byte) or by a restart marker.
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JFIF = b"JFIF\0"
_ICC = b"ICC_PROFILE\0"
_EXIF = b"Exif\0"
_ADOBE = b"Adobe"
_ORIENTATION = 0x0112
_INTEGERS = {3: 2, 4: 4}  # TIFF types SHORT and LONG, and their sizes


class JpegError(MellaError, ValueError):
    """Bytes that are not a JPEG file, or a broken one."""


class TruncatedJpegError(JpegError):
    """A JPEG file that ends before its image does."""


@dataclass(frozen=True)
class Frame:
    """What the frame header of a JPEG says.

    Attributes:
        width: Pixels, as stored: an EXIF orientation is not applied.
        height: Pixels, as stored.
        components: 1: grey; 3: colour; 4: CMYK and its kin.
        process: 0: baseline; 1: extended sequential; 2: progressive; others are rare.
        precision: Bits of a sample: 8 nearly always.
    """

    width: int
    height: int
    components: int
    process: int
    precision: int


@dataclass(frozen=True)
class _Segment:
    marker: int
    start: int  # of the marker
    end: int  # with the compressed data that follow a scan header
    payload: bytes


def dimensions(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels, as stored; the beginning of a file is enough.

    Raises:
        JpegError: The bytes are not a JPEG, or end before the frame header.
    """
    frame = read_frame(data)
    return frame.width, frame.height


def read_frame(data: bytes) -> Frame:
    """Return what the frame header says; the beginning of a file is enough.

    Raises:
        JpegError: The bytes are not a JPEG, or end before the frame header.
    """
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            return _frame(segment)
        if segment.marker in (_SOS, _EOI):
            break
    raise JpegError("A JPEG without a frame header holds no image.")


def strip_metadata(data: bytes) -> bytes:
    """Return the JPEG without metadata; its pixels, and the bytes that code them, stay the same.

    Kept are JFIF (without its thumbnail), ICC profiles, the colour transform of Adobe and, where it
    is other than 1, the EXIF orientation.

    Bytes behind the end of the image, such as a second one, are dropped too.

    Raises:
        TruncatedJpegError: The bytes end before the end of the image.
        JpegError: The bytes are not a JPEG, or a broken one.
    """
    kept = []
    markers = set()
    for segment in _segments(data):
        kept.append(_clean(segment, data[segment.start : segment.end]))
        markers.add(segment.marker)
    if _SOS not in markers or not markers & _FRAMES:
        raise JpegError("A JPEG without a frame and a scan holds no image.")
    return b"\xff\xd8" + b"".join(kept)


def _clean(segment: _Segment, raw: bytes) -> bytes:
    """Return what is left of a segment without metadata."""
    marker, payload = segment.marker, segment.payload
    if marker == _APP0 and payload.startswith(_JFIF) and len(payload) >= 14:
        return _write(_APP0, payload[:12] + b"\0\0")  # a thumbnail of 0 x 0 pixels
    if marker == _APP1 and payload.startswith(_EXIF):
        orientation = _orientation(payload[6:])
        return b"" if orientation == 1 else _write(_APP1, _minimal_exif(orientation))
    if marker == _APP2 and payload.startswith(_ICC):
        return raw
    if marker == _APP14 and payload.startswith(_ADOBE) and len(payload) >= 12:
        return _write(_APP14, payload[:12])
    return b"" if marker == _COM or marker in _APPS else raw


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments behind the start of the image up to its end, which is the last one."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise JpegError(
            f"Not a JPEG: it begins with {data[:4].hex(' ') or 'nothing'}, not with ff d8 ff."
        )
    at = 2
    while True:
        found = _MARKER.match(data, at)
        if found is None:
            if data[at : at + 1] in (b"", b"\xff"):
                raise _truncated(data)
            raise JpegError(f"A broken JPEG: no marker at byte {at}, but {data[at]:02x}.")
        start, at, marker = found.start(1) - 1, found.end(), found[1][0]
        if marker == _EOI:
            yield _Segment(marker, start, at, b"")
            return
        if marker not in _KNOWN:
            raise JpegError(f"A broken JPEG: unknown marker ff {marker:02x} at byte {start}.")
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise _truncated(data)
        if length < 2:
            raise JpegError(f"A broken JPEG: a segment of {length} bytes at byte {start}.")
        payload = data[at + 2 : at + length]
        at += length
        if marker == _SOS:
            at = _scan_end(data, at)
        yield _Segment(marker, start, at, payload)


def _scan_end(data: bytes, at: int) -> int:
    end = _SCAN_END.search(data, at)
    if end is None:
        raise _truncated(data)
    return end.start()


def _truncated(data: bytes) -> TruncatedJpegError:
    return TruncatedJpegError(
        f"A JPEG cut short: its {len(data)} bytes end before the image does. Get the file again."
    )


def _frame(segment: _Segment) -> Frame:
    payload = segment.payload
    if len(payload) < 6:
        raise JpegError(f"A broken JPEG: a frame header of {len(payload)} bytes.")
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    if not (width and height):
        raise JpegError(f"A JPEG of {width} x {height} pixels: such files are not read.")
    return Frame(width, height, payload[5], segment.marker - 0xC0, payload[0])


def _write(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def _minimal_exif(orientation: int) -> bytes:
    """Return EXIF of one directory with one entry."""
    entry = b"\x01\x12\0\x03\0\0\0\x01" + orientation.to_bytes(2, "big") + b"\0\0"
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"


def _orientation(tiff: bytes) -> int:
    """Return the orientation (1 to 8) of the first directory of EXIF; 1 where there is none."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if tiff[:2] == b"II" else "big")

    directory = number(4, 4)
    for i in range(number(directory, 2)):
        at = directory + 2 + 12 * i
        if at + 12 > len(tiff):
            break
        if number(at, 2) == _ORIENTATION:
            value = number(at + 8, _INTEGERS.get(number(at + 2, 2), 0))
            return value if 1 <= value <= 8 else 1
    return 1
