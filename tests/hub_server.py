"""A local server that speaks the Hugging Face Hub protocol, for tests with the unmodified clients.

    with HubServer() as hub:
        hub.add_repo("org/name", {"README.md": b"..."})
        # run a client whose environment has HF_ENDPOINT=hub.endpoint, HF_HUB_DISABLE_XET=1

It knows data set repositories only, keeps everything in memory, and is strict where the real Hub
is: a private repository looks like a missing one, large files come from another host by a signed
URL that refuses an Authorization header, a commit on an outdated parent is refused. What it does
not know it answers with 501, so that a client that asks for more fails loudly.
"""

import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from hub_repo import Hub, HubError
from hub_routes import Reply, json_reply, respond


class Seen(NamedTuple):
    """A request as it came in. `path` is decoded and has no query."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Fault:
    """What goes wrong with the next requests to a path, and how often."""

    kind: str
    suffix: str
    method: str | None
    times: int
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int = 0


class HubServer(Hub):
    """The Hub, served inside its `with`. `requests` has all it saw, in order of arrival."""

    def __init__(self, *, lfs_threshold: int = 1024, redirect_lfs: bool = True) -> None:
        super().__init__(lfs_threshold=lfs_threshold, redirect_lfs=redirect_lfs)
        self.requests: list[Seen] = []
        self._faults: list[Fault] = []

    def __enter__(self) -> Self:
        self._server = _Server(self)
        port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.storage = f"http://localhost:{port}/lfs"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()  # waits for the thread of every connection
        self._thread.join()

    def fail_next(
        self,
        path_suffix: str,
        status: int = 500,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> None:
        """Refuse the next requests (of one method) to paths that end so, and do nothing."""
        fault = Fault("fail", path_suffix, method, times, status=status, headers=headers or {})
        self._faults.append(fault)

    def lose_next(self, path_suffix: str, *, times: int = 1, method: str | None = None) -> None:
        """Do what the next requests ask, then close the connection without an answer."""
        self._faults.append(Fault("lose", path_suffix, method, times))

    def cut_next(self, path_suffix: str, after: int, *, times: int = 1) -> None:
        """Close the connection after so many bytes of the next file, at its full stated length."""
        self._faults.append(Fault("cut", path_suffix, "GET", times, after=after))

    def due(self, kind: str, method: str, path: str) -> Fault | None:
        """The fault of a kind that the next request meets, counted down."""
        with self.lock:
            for fault in self._faults:
                wanted = fault.kind == kind and fault.method in {None, method}
                if wanted and fault.times > 0 and path.endswith(fault.suffix):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    """One thread a connection; on exit every open connection is closed and its thread joined."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may hang up when it likes
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # header and body leave in one packet

    def answer(self) -> None:
        body, hub = self._body(), self.server.hub
        path = unquote(urlsplit(self.path).path)
        headers = self.headers
        hub.requests.append(
            Seen(self.command, path, headers.get("Range"), headers.get("Authorization"))
        )
        reply = self._reply(hub, path, body)
        if hub.due("lose", self.command, path):
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        is_file = reply.status in {200, 206} and "Accept-Ranges" in reply.headers
        cut = hub.due("cut", self.command, path) if is_file else None
        if cut:
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(reply.body[: cut.after] if cut else reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (names of http.server)

    def _reply(self, hub: HubServer, path: str, body: bytes) -> Reply:
        if fault := hub.due("fail", self.command, path):
            return json_reply({"error": "A fault of the test"}, fault.status, fault.headers)
        try:
            return respond(hub, self.command, self.path, self.headers, body)
        except HubError as error:
            return json_reply({"error": str(error)}, error.status, error.headers)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet: `HubServer.requests` is the log."""
