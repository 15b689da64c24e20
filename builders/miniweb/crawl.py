"""Write what a crawler would have got as a WARC file: the same answers give the same bytes."""

import gzip
import hashlib
import io
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from mella.builders.miniweb.artwork import MiniWebError

if TYPE_CHECKING:
    from warcio.recordbuilder import ArcWarcRecord
    from warcio.statusandheaders import StatusAndHeaders

USER_AGENT = "mella-miniweb/1"

_START = datetime(2026, 11, 2, 8, 0, 0, tzinfo=UTC)
_LAST_MODIFIED = "Sun, 01 Nov 2026 12:00:00 GMT"
# TEST-NET-1 of RFC 5737: an address for documentation, nobody's server.
_ADDRESS = "192.0.2.1"
_CHUNK = 1024

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        data: The content, before any encoding for the way.
        content_type: As the server says.
        status: Of HTTP.
        headers: More of them.
        encoding: "gzip", or empty: how the content is encoded.
        transfer: "chunked", or empty: how the body is cut up.
        revisit: To be recorded as a reference to the first record with the same content.
    """

    data: bytes
    content_type: str
    status: str = "200 OK"
    headers: Headers = ()
    encoding: str = ""
    transfer: str = ""
    revisit: bool = False


def write_warc(file: BinaryIO, answers: Iterable[tuple[str, Answer]], info: Headers) -> None:
    """Write a request and a response for each URL, one gzip member a record.

    Dates count from a fixed start, one second a URL; the ids of records are made of their content.

    Args:
        file: Where to write.
        answers: URL and answer, in the order of the crawl.
        info: Fields of the `warcinfo` record.

    Raises:
        MiniWebError: A revisit of content that did not come before.
    """
    from warcio.warcwriter import WARCWriter

    writer = WARCWriter(file, gzip=True, warc_version="WARC/1.0")
    fields = "".join(f"{name}: {value}\r\n" for name, value in info).encode()
    writer.write_record(_record(writer, "", "warcinfo", fields, time=_START))
    first: dict[bytes, tuple[str, datetime]] = {}
    for number, (url, answer) in enumerate(answers):
        time = _START + timedelta(seconds=number)
        if answer.revisit:
            if answer.data not in first:
                raise MiniWebError(f"{url} revisits content that the crawl has not met before.")
            response = _revisit(writer, url, answer, time, first[answer.data])
        else:
            response = _response(writer, url, answer, time)
            first.setdefault(answer.data, (url, time))
        writer.write_record(response)
        writer.write_record(_request(writer, url, response, time))


def _response(writer: Any, url: str, answer: Answer, time: datetime) -> "ArcWarcRecord":
    body = _body(answer)
    return _record(writer, url, "response", body, time=time, head=_head(answer, len(body), time))


def _revisit(
    writer: Any, url: str, answer: Answer, time: datetime, first: tuple[str, datetime]
) -> "ArcWarcRecord":
    from warcio.utils import Digester

    digester = Digester("sha1")
    digester.update(answer.data)
    return writer.create_revisit_record(
        url,
        digest=str(digester),
        refers_to_uri=first[0],
        refers_to_date=_warc_date(first[1]),
        http_headers=_head(answer, len(answer.data), time),
        warc_headers_dict=_about("revisit", url, answer.data, time),
    )


def _request(writer: Any, url: str, response: Any, time: datetime) -> "ArcWarcRecord":
    from warcio.statusandheaders import StatusAndHeaders

    parts = urlsplit(url)
    head = StatusAndHeaders(
        f"GET {parts.path} HTTP/1.1",
        [("Host", parts.netloc), ("User-Agent", USER_AGENT), ("Accept", "*/*")],
        is_http_request=True,
    )
    record = _record(writer, url, "request", b"", time=time, head=head)
    answered = response.rec_headers.get_header("WARC-Record-ID")
    record.rec_headers.add_header("WARC-Concurrent-To", answered)
    return record


def _record(
    writer: Any,
    url: str,
    kind: str,
    body: bytes,
    *,
    time: datetime,
    head: "StatusAndHeaders | None" = None,
) -> "ArcWarcRecord":
    return writer.create_warc_record(
        url,
        kind,
        payload=io.BytesIO(body),
        length=len(body),
        http_headers=head,
        warc_headers_dict=_about(kind, url, body, time),
    )


def _about(kind: str, url: str, body: bytes, time: datetime) -> dict[str, str]:
    content = hashlib.sha256(body).hexdigest()
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"{kind} {url} {time.isoformat()} {content}")
    about = {"WARC-Record-ID": f"<urn:uuid:{identity}>", "WARC-Date": _warc_date(time)}
    if kind in ("response", "revisit"):
        about["WARC-IP-Address"] = _ADDRESS
    return about


def _head(answer: Answer, length: int, time: datetime) -> "StatusAndHeaders":
    from warcio.statusandheaders import StatusAndHeaders

    headers = [
        ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT")),
        ("Server", "nginx"),
        ("Content-Type", answer.content_type),
        ("Last-Modified", _LAST_MODIFIED),
        *answer.headers,
    ]
    if answer.encoding:
        headers.append(("Content-Encoding", answer.encoding))
    if answer.transfer:
        headers.append(("Transfer-Encoding", answer.transfer))
    else:
        headers.append(("Content-Length", str(length)))
    return StatusAndHeaders(answer.status, headers, protocol="HTTP/1.1")


def _body(answer: Answer) -> bytes:
    """Return the body as it goes over the wire."""
    body = answer.data
    if answer.encoding == "gzip":
        body = gzip.compress(body, mtime=0)
    if answer.transfer == "chunked":
        pieces = [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    return body


def _warc_date(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
