"""A web server on this machine, for the tests of what fetches."""

import contextlib
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MISSING: tuple = (404, {}, b"nothing here")


@dataclass
class Visit:
    """One request: the name of the host it was for, and when it began and ended."""

    host: str
    path: str
    start: float
    end: float = float("inf")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # which some pages make on purpose
            super().handle_error(request, client_address)


class Site:
    """A server on this machine: `pages` maps paths to what answers them; `log` lists requests.

    A page of one host alone stands under `//host/path`. `visits` lists requests with host and time.

    A page is bytes, or (status, headers, body), or a list of those (one for each request, the last
    one repeated), or a function of the request handler.
    """

    def __init__(self, address="127.0.0.1"):
        site = self
        self.pages: dict = {}
        self.log: list = []
        self.headers: list = []
        self.visits: list = []
        self.active = self.most_active = 0
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                host = self.headers.get("Host", "").rpartition(":")[0]
                visit = Visit(host, self.path, time.monotonic())
                with site.lock:
                    site.visits.append(visit)
                    turn = site.log.count(self.path)
                    site.log.append(self.path)
                    site.headers.append({k.lower(): v for k, v in self.headers.items()})
                    site.active += 1
                    site.most_active = max(site.most_active, site.active)
                try:
                    site.answer(self, turn)
                finally:
                    visit.end = time.monotonic()
                    with site.lock:
                        site.active -= 1

            def log_message(self, *args):
                pass

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler, turn):
        host = handler.headers.get("Host", "").rpartition(":")[0]
        page = self.pages.get(f"//{host}{handler.path}", self.pages.get(handler.path, MISSING))
        if isinstance(page, list):
            page = page[min(turn, len(page) - 1)]
        if callable(page):
            page(handler)
            return
        status, headers, body = (200, {}, page) if isinstance(page, bytes) else page
        with contextlib.suppress(OSError):
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

    def redirect(self, path, location, status=302):
        self.pages[path] = (status, {"Location": location}, b"")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
