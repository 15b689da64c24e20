"""A fetcher with leave to ask local sites, two sites to ask, and a small web with names."""

import contextlib
import socket
import struct
import zlib
from collections import Counter, defaultdict

import pytest

from mella.builders.culture.fetch import public_address
from mella.builders.culture.fetch.fetcher import Fetcher, FetchParams
from web_site import Site

OPEN = FetchParams(
    contact="https://example.org/crawl",
    allow_private=True,
    respect_robots=False,
    per_host_delay_s=0.0,
    backoff_s=0.01,
)


def params(**changes):
    return FetchParams(**{**vars(OPEN), **changes})


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def other():
    site = Site()
    yield site
    site.close()


def fetch_all(urls, params):
    return Fetcher(params).fetch(urls)


def one(url, **changes):
    return fetch_all([url], params(**changes))[0]


class Names:
    """A name service: `addresses` maps names to addresses; to several lists: one for each time.

    Names that are not there are unknown; those that end in `.example` are at `default`.
    """

    def __init__(self, default):
        self.default = default
        self.addresses = {}
        self.asked: Counter[str] = Counter()

    async def __call__(self, name):
        self.asked[name] += 1
        found = self.addresses.get(name, [self.default] if name.endswith(".example") else None)
        if found and isinstance(found[0], list):
            found = found[min(self.asked[name], len(found)) - 1]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        if found == ["later"]:
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return found


class Web:
    """A site that counts as public, at any name in `.example`, and one inside that holds a secret.

    All checks of addresses are on; only the address of the public site is taken for another.
    """

    def __init__(self):
        self.site = Site("127.0.0.2")
        self.inside = Site("127.0.0.1")
        self.inside.pages = defaultdict(lambda: b"secret")
        self.names = Names("127.0.0.2")

    def url(self, host, path="/"):
        return f"http://{host}:{self.site.port}{path}"

    def fetch(self, urls, **changes):
        fetcher = Fetcher(params(**{"allow_private": False, **changes}), lookup=self.names)
        return fetcher.fetch(urls)


@pytest.fixture
def web(monkeypatch):
    real = public_address.is_public
    monkeypatch.setattr(public_address, "is_public", lambda a: a == "127.0.0.2" or real(a))
    web = Web()
    yield web
    web.site.close()
    web.inside.close()


def answer(handler, *headers, body=b"", status=200):
    """Answer with just these lines of headers, and close."""
    lines = [f"HTTP/1.1 {status} Said", *headers, "", ""]
    with contextlib.suppress(OSError):
        handler.wfile.write("\r\n".join(lines).encode() + body)
    handler.close_connection = True


def pixel_bomb():
    """Return a PNG of 50000 x 50000 pixels in some kilobytes."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(50_001)) for _ in range(2000)) + rows.flush()
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
