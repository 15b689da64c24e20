"""A web server over a folder that fails as it is told to.

with FaultServer(folder) as server:
    server.then(Fault(status=503), Fault(cut=1000))  # the next two requests
    server.sometimes(0.2, Fault(status=500), Fault(reset=100))  # every fifth request, at random
    server.sign(uses=3)  # files are redirected to URLs that are good three times
    load_mella("th", repo=server.url)
    server.requests  # what was asked and answered
"""

import itertools
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. Several can be had at once.

    Attributes:
        status: Refuse with this status.
        headers: Of the answer, such as `Retry-After`.
        silent: Close the connection without an answer.
        cut: Close it after so many bytes of the body.
        reset: Reset it after so many bytes of the body.
        drip: Seconds to wait between the parts of the body, which are ten.
        flip: Change one bit of the byte with this number of the body.
        truncate: The file has so many bytes only.
        short: Promise and send so many bytes fewer than asked for.
        whole: Send the whole file (200), whatever range is asked for.
        suffix: Only for paths that end so.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False
    cut: int | None = None
    reset: int | None = None
    drip: float = 0.0
    flip: int | None = None
    truncate: int | None = None
    short: int = 0
    whole: bool = False
    suffix: str = ""


class Asked(NamedTuple):
    """A request and what came of it. `path` has no query; `sent` is of the body."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int
    authorization: str | None


@dataclass
class _Signature:
    uses: float
    until: float


class FaultServer:
    """The server, inside its `with`; `url` is where. Files are served with ranges, by HTTP/1.1."""

    def __init__(self, folder: Path, *, seed: int = 0, faults: tuple[Fault, ...] = ()) -> None:
        self.folder = folder
        self.requests: list[Asked] = []
        self.connections = 0
        self._next = deque(faults)
        self._random = random.Random(seed)
        self._rate = 0.0
        self._kinds: tuple[Fault, ...] = ()
        self._signed: tuple[float, float] | None = None
        self._signatures: dict[str, _Signature] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{port}"
        self.store = f"http://localhost:{port}"
        """Where signed URLs lead: for a client, another host."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def then(self, *faults: Fault) -> None:
        """Let the next requests fail so, one after the other."""
        self._next.extend(faults)

    def sometimes(self, rate: float, *faults: Fault) -> None:
        """Let this part of the requests fail, each in one of these ways."""
        self._rate, self._kinds = rate, faults

    def sign(self, *, uses: float = float("inf"), seconds: float = float("inf")) -> None:
        """Redirect to URLs of another host that are good so many times and so long, then 403."""
        self._signed = (uses, seconds)

    def fault(self, path: str) -> Fault:
        """What goes wrong with the request that has come."""
        with self._lock:
            for fault in self._next:
                if path.endswith(fault.suffix):
                    self._next.remove(fault)
                    return fault
            if self._random.random() < self._rate:
                return self._random.choice(self._kinds)
        return Fault()

    def redirect(self, path: str) -> str | None:
        """The signed URL of a path, if they are in use."""
        if self._signed is None:
            return None
        with self._lock:
            uses, seconds = self._signed
            name = f"secret{next(self._numbers)}"
            self._signatures[name] = _Signature(uses, time.monotonic() + seconds)
        return f"{self.store}{path}?signature={name}"

    def good(self, name: str) -> bool:
        """Whether a signature is still good, which uses it."""
        with self._lock:
            signature = self._signatures.get(name)
            if signature is None:
                return False
            signature.uses -= 1
            return signature.uses >= 0 and time.monotonic() < signature.until


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, faults: FaultServer) -> None:
        self.faults = faults
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.faults.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may hang up when it likes
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        faults, url = self.server.faults, urlsplit(self.path)
        path, names = unquote(url.path), parse_qs(url.query).get("signature")
        fault = faults.fault(path)
        if fault.silent:
            self._note(path, 0, 0)
            self.close_connection = True
        elif fault.status:
            self._send(path, fault.status, b"a fault of the test", fault.headers, Fault())
        elif names is None and (target := faults.redirect(path)):
            self._send(path, 302, b"", {"Location": target}, Fault())
        elif names and (self.headers.get("Authorization") or not faults.good(names[0])):
            self._send(path, 403, b"expired, or a secret for another host", {}, Fault())
        else:
            self._file(path, fault)

    do_GET = do_HEAD = answer  # noqa: N815  (names of http.server)

    def _file(self, path: str, fault: Fault) -> None:
        file = self.server.faults.folder / path.lstrip("/")
        if not file.is_file():
            self._send(path, 404, b"", {}, Fault())
            return
        content = file.read_bytes()[: fault.truncate]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"ETag": f'"{len(content)}-{int(file.stat().st_mtime)}"', **fault.headers}
        if asked is None or fault.whole:
            self._send(path, 200, content, headers, fault)
            return
        start, end = int(asked[1]), int(asked[2] or len(content)) + 1
        part = content[start : max(start + 1, min(end, len(content)) - fault.short)]
        if not part:
            self._send(path, 416, b"", {"Content-Range": f"bytes */{len(content)}"}, Fault())
            return
        span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._send(path, 206, part, {**headers, "Content-Range": span}, fault)

    def _send(
        self, path: str, status: int, body: bytes, headers: Mapping[str, str], fault: Fault
    ) -> None:
        changed = bytearray(body)
        if fault.flip is not None:
            changed[fault.flip] ^= 1
        stop = next((n for n in (fault.cut, fault.reset) if n is not None), len(body))
        sent = 0 if self.command == "HEAD" else min(stop, len(body))
        self._note(path, status, sent)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        step = max(1, -(-sent // 10)) if fault.drip else max(1, sent)
        for start in range(0, sent, step):
            self.wfile.write(changed[start : min(start + step, sent)])
            time.sleep(fault.drip)
        if stop < len(body):
            self.close_connection = True
        if fault.reset is not None:
            time.sleep(0.02)  # else what was sent may be thrown away with the connection
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.connection.close()

    def _note(self, path: str, status: int, sent: int) -> None:
        seen = self.headers.get("Range"), status, sent, self.headers.get("Authorization")
        self.server.faults.requests.append(Asked(self.command, path, *seen))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet: `FaultServer.requests` is the log."""
