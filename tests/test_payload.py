"""Payloads: encodings undone, bytes recognised."""

import contextlib
import gzip
import struct
import zlib

import brotli
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.archives.payload import PayloadError, decode_body, sniff


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6),
    st.sampled_from(["gzip", "deflate", "br", ""]),
)
def test_decoding_undoes_encoding(parts, encoding):
    body = b"".join(parts)
    compress = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}
    encoded = compress[encoding](body) if encoding else body
    cut = len(encoded) // 2
    pieces = [piece for piece in (encoded[:cut], encoded[cut:]) if piece]
    chunked = b"".join(b"%X\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    headers = {"content-encoding": encoding, "transfer-encoding": "chunked"}
    assert decode_body(headers, chunked, limit=1000) == body


@given(
    st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd", "x"]), st.booleans()
)
def test_decoding_any_bytes_gives_bytes_or_a_payload_error(body, encoding, whole):
    headers = {"content-encoding": encoding, "transfer-encoding": "chunked"}
    with contextlib.suppress(PayloadError):
        assert len(decode_body(headers, body, limit=50, whole=whole)) <= 50


def test_look_alikes_are_no_images():
    assert sniff(b"BM is short for Before Midday, as we all know.") is None
    assert sniff(struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic") is None
    assert sniff(struct.pack(">I", 24) + b"ftypmif1" + bytes(4) + b"mif1avif") == "image/avif"
    assert sniff(b"RIFF\0\0\0\0WAVEfmt ") is None
