"""A mirror of websites on this machine: an HTTP proxy that answers for them from folders.

Through a proxy, pages keep the addresses that they have on the web: archives, domains and splits
come out as they would there, and nothing leaves this machine.
"""

import mimetypes
import os
import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urldefrag


class Mirror:
    """A proxy, inside its `with`, at `address`.

    Args:
        folders: By the address ("http://host/path/") that stands for the folder.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def find(self, url: str) -> Path | None:
        """Return the file that a URL names."""
        for start, folder in self._folders.items():
            if url.startswith(start):
                path = unquote(urldefrag(url).url.partition("?")[0].removeprefix(start))
                # Not resolved: a package shares images among its languages by links.
                file = Path(os.path.normpath(folder / path))
                file = file / "index.html" if file.is_dir() else file
                if file.is_relative_to(folder) and file.is_file():
                    return file
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, mirror: Mirror, *args: object) -> None:
        self.mirror = mirror
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with a file, or that there is none."""
        file = self.mirror.find(self.path)
        content = file.read_bytes() if file else b"There is no such page."
        kind = mimetypes.guess_type(file)[0] if file else "text/plain"
        self.send_response(200 if file else 404)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet: the crawler has its own log."""
