"""A web server on this machine, for the tests of what fetches."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """A server on this machine: `pages` maps paths to what answers them; `log` lists requests.

    A page is bytes, or (status, headers, body), or a list of those (one for each request, the last
    one repeated), or a function of the request handler.
    """

    def __init__(self, address="127.0.0.1"):
        site = self
        self.pages: dict = {}
        self.log: list = []
        self.headers: list = []
        self.active = self.most_active = 0
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with site.lock:
                    turn = site.log.count(self.path)
                    site.log.append(self.path)
                    site.headers.append({k.lower(): v for k, v in self.headers.items()})
                    site.active += 1
                    site.most_active = max(site.most_active, site.active)
                try:
                    site.answer(self, turn)
                finally:
                    with site.lock:
                        site.active -= 1

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler, turn):
        page = self.pages.get(handler.path, (404, {}, b"nothing here"))
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
