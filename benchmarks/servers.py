"""Local web servers over a folder: nginx at full speed, and one as slow as a distant store."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from debian import debian_package

_SLICE = 128 << 10
_NGINX = """
daemon off;
master_process off;
error_log {work}/error.log;
pid {work}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


@dataclass(frozen=True)
class Distance:
    """How far a server is.

    Attributes:
        latency: Seconds from a request to its answer; opening a connection takes as long again.
        rate: Bytes a second on each connection.
    """

    latency: float = 0.020
    rate: float = 40e6


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[str]:
    """Serve a folder by nginx of Debian, inside a `with`; gives the URL.

    Raises:
        MissingPackageError: It cannot be had.
    """
    program = debian_package(root, "nginx") / "usr/sbin/nginx"
    work = root / "nginx"
    work.mkdir(exist_ok=True)
    port = _free_port()
    config = work / "nginx.conf"
    config.write_text(_NGINX.format(work=work, port=port, folder=folder))
    command = [str(program), "-p", str(work), "-e", str(work / "error.log"), "-c", str(config)]
    with _running(command, port) as url:
        yield url


@contextmanager
def distant(folder: Path) -> Iterator[str]:
    """Serve a folder by a process that is as slow as `Distance()`, inside a `with`."""
    port = _free_port()
    with _running([sys.executable, __file__, str(folder), str(port)], port) as url:
        yield url


@contextmanager
def _running(command: list[str], port: int) -> Iterator[str]:
    process = subprocess.Popen(command)
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with suppress(ConnectionError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} ended with status {process.returncode}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Slow(SimpleHTTPRequestHandler):
    """Sends files and single ranges of them, late and slowly; the kernel copies the bytes."""

    protocol_version = "HTTP/1.1"
    distance = Distance()

    def setup(self) -> None:
        super().setup()
        time.sleep(self.distance.latency)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        time.sleep(self.distance.latency)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        start, end = 0, size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            start, end = int(asked[1]), min(int(asked[2] or size) + 1, size)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if with_body:
            with path.open("rb") as file:
                self._send(file.fileno(), start, end)

    def _send(self, file: int, start: int, end: int) -> None:
        began, position = time.monotonic(), start
        while position < end:
            due = began + (position - start) / self.distance.rate
            time.sleep(max(0, due - time.monotonic()))
            count = min(_SLICE, end - position)
            position += os.sendfile(self.connection.fileno(), file, position, count)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (name of the base class)
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client may hang up when it likes
            super().handle_error(request, client_address)


def _serve(folder: str, port: int) -> None:
    def handler(*args: Any) -> _Slow:
        return _Slow(*args, directory=folder)

    threading.stack_size(1 << 20)
    _Server(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
