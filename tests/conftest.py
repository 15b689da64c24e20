"""What holds for every test: nothing leaves this machine."""

import ipaddress
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from hub_client import Client, run_client
from hub_server import HubServer


@pytest.fixture(autouse=True, scope="session")
def no_outside_connections(tmp_path_factory):
    """Refuse connections to anything but this machine, so that no test needs the internet."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address[0]):
            raise AssertionError(f"A test tried to connect to {address}.")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        # Also for the processes that tests start.
        patch.setenv("HF_UPDATE_DOWNLOAD_COUNTS", "0")
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("MELLA_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("MELLA_REPO", raising=False)
        yield


def _is_here(host):
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def client(hub: HubServer, tmp_path: Path) -> Client:
    """Run a function in a process of its own, as a client of the local Hub."""
    return partial(run_client, hub, tmp_path / "hf")
