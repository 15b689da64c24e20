"""A web server on this machine that serves ranges of files, with faults on demand."""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has heard enough
            super().handle_error(request, client_address)


class RangeServer:
    """Serves a folder; `log` lists (path, first byte, last byte, time) of each GET.

    `fault(path, first, last)` may return a status to send instead, or "cut" to break off.
    """

    def __init__(self, folder):
        site = self
        self.log: list = []
        self.headers: list = []
        self.fault: Callable[[str, int, int], int | str | None] = lambda *_: None

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                path = folder / self.path.lstrip("/")
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)?", self.headers.get("Range", ""))
                data = path.read_bytes() if path.is_file() else None
                size = len(data or b"")
                first = int(asked[1]) if asked else 0
                last = min(int(asked[2]), size - 1) if asked and asked[2] else size - 1
                if self.command == "GET":
                    site.log.append((self.path, first, last, time.monotonic()))
                    site.headers.append({k.lower(): v for k, v in self.headers.items()})
                fault = site.fault(self.path, first, last) if self.command == "GET" else None
                status = 404 if data is None else 416 if first >= size else 206 if asked else 200
                if isinstance(fault, int):
                    status = fault
                body = (data or b"")[first : last + 1] if status in (200, 206) else b""
                self.send_response(status)
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Length", str(len(body)))
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body[:10] if fault == "cut" else body)
                if fault == "cut":
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def serve(folder) -> Iterator[RangeServer]:
    site = RangeServer(folder)
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()
