"""Run a function of a test in a fresh process whose Hub is the local one, and no other host."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubServer

REPO = "org/name"
BIG = bytes(range(256)) * 64  # above the LFS threshold
FILES = {
    "README.md": b"---\nlicense: apache-2.0\n---\n",
    "culture/th/a.tar": BIG,
    "culture/th/\u0e20\u0e32\u0e1e 1.txt": b"small",
    "culture/cs/b.tar": BIG[::-1],
}

Client = Callable[..., Any]

_LOCAL = {"127.0.0.1", "::1", "localhost"}
# `datasets` puts this prefix before its endpoint to find the viewer, and can do without one.
_VIEWER = "datasets-server.127.0.0.1"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def run_client(
    hub: HubServer,
    home: Path,
    function: Callable[..., Any],
    *args: Any,
    token: str | None = None,
) -> Any:
    """Run a module-level function in a new process and return what it returns.

    The clients read their environment when they are imported: hence the process. It ends at its
    first try to look up or reach another host, which raises `BrokenProcessPool` here.

    Args:
        hub: The Hub of the process.
        home: Folder for the caches of the clients; the same one keeps them between calls.
        function: Imports the clients itself. Errors that do not pickle are for it to catch.
        *args: Its arguments.
        token: The user; anonymous without.
    """
    settings = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "MELLA_CACHE": str(home / "mella"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        # Else `datasets` tells a host of Amazon the name of every data set it loads.
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", *_PROXIES, *map(str.upper, _PROXIES)):
            patch.delenv(name, raising=False)
        for name, value in settings.items():
            patch.setenv(name, value)
        if token:
            patch.setenv("HF_TOKEN", token)
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=_stay_local) as pool:
            return pool.submit(function, *args).result()


def failure(function: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, int | None]:
    """The name of the error that a client call raises, and the HTTP status behind it."""
    try:
        function(*args, **options)
    except Exception as error:  # noqa: BLE001  which error it is, is what is tested
        status = getattr(getattr(error, "response", None), "status_code", None)
        return type(error).__name__, status
    return "none", None


def _stay_local() -> None:
    def watch(event: str, args: tuple[Any, ...]) -> None:
        host: Any = "localhost"
        if event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
            host = args[1][0]
        elif event == "socket.getaddrinfo":
            host = args[0]
        if host == _VIEWER:
            raise socket.gaierror(socket.EAI_NONAME, "no data set viewer here")
        if host not in _LOCAL:
            os.write(2, f"{event} {host} is not local\n".encode())
            os._exit(97)  # an exception could be caught

    sys.addaudithook(watch)
