"""Fetching from servers that mean harm: the run ends, nothing inside is touched, the good arrives.

Here also stands what other builders of image collections get wrong about fetching.
"""

import contextlib
import gzip
import os
import socket
import struct
import time

import brotli
import pytest

from fetching import answer, params, pixel_bomb, web
from mella.builders.culture.fetch.fetcher import Fetcher
from mella.builders.culture.images.picture import ImageRules, RejectedImage, normalise_image
from pictures import picture, save
from web_site import MISSING

__all__ = ["web"]  # fixtures

JPEG, PNG = save(picture(seed=1), "JPEG"), save(picture(seed=2), "PNG")
INSIDE_REASONS = ("fetch:private_address", "fetch:bad_url")
HASTE = {
    "answer_timeout_s": 2.0, "timeout_s": 9.0, "slow_grace_s": 1.5, "retries": 1,
    "per_host_delay_s": 0.0, "max_crawl_delay_s": 0.05, "respect_robots": True,
}  # fmt: skip


# What answers


def send_slowly(*first, piece, status=200):
    def page(handler):
        with contextlib.suppress(OSError):
            handler.wfile.write("\r\n".join([f"HTTP/1.1 {status} Said", *first]).encode())
            for _ in range(200):
                handler.wfile.write(piece)
                time.sleep(0.05)
        handler.close_connection = True

    return page


def never(handler):
    time.sleep(4)
    handler.close_connection = True


def endless(*headers, piece=bytes(50_000)):
    def page(handler):
        lines = ["HTTP/1.1 200 OK", *headers, "Connection: close", "", ""]
        with contextlib.suppress(OSError):
            handler.wfile.write("\r\n".join(lines).encode())
            for _ in range(2000):
                handler.wfile.write(piece)
        handler.close_connection = True

    return page


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())
    raise ConnectionResetError


def lines(*headers, body=b"", status=200):
    return lambda handler: answer(handler, *headers, body=body, status=status)


def storm(handler):
    answer(handler, "Retry-After: 0", "Content-Length: 0", status=429)


def nested(times):
    body = PNG
    for _ in range(times):
        body = gzip.compress(body)
    return (200, {"Content-Encoding": ", ".join(["gzip"] * times)}, body)


def redirect(location):
    return lines(f"Location: {location}", "Content-Length: 0", status=302)


def size(count):
    return f"Content-Length: {count}"


HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
MANY = bytes(9 << 20)
RULES = b"User-agent: *\nDisallow: /a\n"
BODIES = {
    "slow body": (send_slowly("Content-Length: 9000", "", "", piece=b"."), "fetch:too_slow"),
    "slow chunks": (
        send_slowly("Transfer-Encoding: chunked", "", "", piece=b"1\r\n.\r\n"), "fetch:too_slow",
    ),
    "slow headers": (send_slowly("X-A: ", piece=b"."), "fetch:timeout"),
    "always 100": (send_slowly("", "", status=103, piece=HINT), "fetch:timeout"),
    "silent": (never, "fetch:timeout"),
    "endless": (endless(), "fetch:too_large"),
    "endless chunks": (
        endless("Transfer-Encoding: chunked", piece=b"c350\r\n" + bytes(50_000) + b"\r\n"),
        "fetch:too_large",
    ),
    "gzip bomb": ((200, {"Content-Encoding": "gzip"}, gzip.compress(MANY)), "fetch:too_large"),
    "br bomb": ((200, {"Content-Encoding": "br"}, brotli.compress(MANY)), "fetch:too_large"),
    "endless gzip": (
        endless("Content-Encoding: gzip", piece=gzip.compress(MANY)), "fetch:too_large",
    ),
    "nested gzip": (nested(9), "fetch:encoding"),
    "not gzip": ((200, {"Content-Encoding": "snappy"}, b"????"), "fetch:encoding"),
    "reset": (reset, "fetch:connection"),
    "429 storm": (storm, "fetch:http_429"),
    "longer than it is": (lines(size(90_000), body=PNG), "fetch:connection"),
    "far too long": (lines(size(1 << 60), body=PNG), "fetch:too_large"),
    "negative": (lines(size(-1), body=PNG), "fetch:bad_response"),
    "two lengths": (lines(size(3), size(len(PNG)), body=PNG), "fetch:bad_response"),
    "no chunk": (lines("Transfer-Encoding: chunked", body=b"xyz\r\n"), "fetch:bad_response"),
    "long header": (lines("X-A: " + "a" * 100_000), "fetch:bad_response"),
    "many headers": (lines(*(f"X-{i}: a" for i in range(5000))), "fetch:bad_response"),
    "no http": (lambda handler: handler.wfile.write(b"220 ftp ready\r\n"), "fetch:bad_response"),
    "loop": (redirect("/a"), "fetch:too_many_redirects"),
    "pixel bomb": ((200, {}, pixel_bomb()), "image:too_many_pixels"),
    "html as png": ((200, {"Content-Type": "image/png"}, b"<html>no</html>"), "image:not_an_image"),
    "shorter than it is": (
        # What is left over may come with the body, or after it.
        lines(size(900), body=PNG), ("fetch:bad_response", "image:truncated"),
    ),
}  # fmt: skip
ROBOTS = {
    "robots: no": (RULES, "fetch:robots"),
    "robots: loop": (redirect("/robots.txt"), "fetch:robots_unreachable"),
    "robots: silent": (never, "fetch:robots_unreachable"),
    "robots: slow": (send_slowly("", "", piece=b"#"), "fetch:robots_unreachable"),
    "robots: reset": (reset, "fetch:robots_unreachable"),
    "robots: busy": (storm, "fetch:robots_unreachable"),
    "robots: broken": ((500, {}, b""), "fetch:robots_unreachable"),
    "robots: not gzip": (
        (200, {"Content-Encoding": "br"}, b"\xff\xff"),
        "fetch:robots_unreachable",
    ),
    "robots: endless": (endless(piece=RULES + b"#" * 9000), "fetch:robots"),
    "robots: bomb": (
        (200, {"Content-Encoding": "gzip"}, gzip.compress(RULES + b"\n" * (9 << 20))),
        "fetch:robots",
    ),
    "robots: many stars": (b"User-agent: *\nDisallow: /" + b"*a" * 2000 + b"*z$\n", "good"),
    "robots: long pause": (b"User-agent: *\nCrawl-delay: 1e300\n", "good"),
    "robots: binary": (bytes(range(256)) * 400, "good"),
}
INSIDE = (
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::1]:{port}/", "http://inside.example:{port}/", "http://2130706433:{port}/",
    "http://0x7f.1:{port}/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
    "http://metadata.example/", "//127.0.0.1:{port}/", "http://user@127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\", "http://\u2460\u2461\u2466.0.0.1:{port}/",
)  # fmt: skip
ELSEWHERE = ("file:///etc/passwd", "ftp://a.example/", "data:image/png;base64,AA", "gopher://a/")
GOOD = {
    "good": JPEG,
    "png as text": (200, {"Content-Type": "text/html"}, PNG),
    "gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(PNG)),
    "chunked": lines("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(PNG), PNG)),
    "to its end": lines(body=PNG),
    "after one reset": [reset, JPEG],
    "after being busy": [storm, JPEG],
}


class HostileWeb:
    """Gives each page a host of its own, and keeps what shall become of its URL."""

    def __init__(self, web):
        self.web = web
        self.expected = {}
        web.site.pages["/robots.txt"] = MISSING

    def add(self, page, reason, *, robots=None):
        host = f"host{len(self.expected)}.example"
        self.web.site.pages[f"//{host}/a"] = page
        if robots is not None:
            self.web.site.pages[f"//{host}/robots.txt"] = robots
        self.expected[self.web.url(host, "/a")] = reason

    def add_all(self):
        for page, reason in BODIES.values():
            self.add(page, reason)
        for page, reason in ROBOTS.values():
            self.add(JPEG, reason, robots=page)
        for page in GOOD.values():
            self.add(page, "good")
        for location in INSIDE:
            at = location.format(port=self.web.inside.port)
            self.add(redirect(at), INSIDE_REASONS)
            self.add(JPEG, "fetch:robots_unreachable", robots=redirect(at))
            self.expected[at] = INSIDE_REASONS
        for location in ELSEWHERE:
            self.add(redirect(location), "fetch:scheme")
            self.expected[location] = "fetch:scheme"


def outcome(fetched):
    """Return the reason, that of the fetch or else that of the image, or "good"."""
    if fetched.body is None:
        return fetched.reason
    image = normalise_image(fetched.body, ImageRules())
    return image.reason if isinstance(image, RejectedImage) else "good"


def test_a_hostile_web_takes_nothing_from_the_good_one(web):
    hostile = HostileWeb(web)
    hostile.add_all()
    web.names.addresses |= {
        "localhost": ["127.0.0.1", "::1"],
        "inside.example": ["127.0.0.1"],
        "metadata.example": ["169.254.169.254"],
        "both.example": ["127.0.0.1", "127.0.0.2"],
        "gone.example": [],
    }
    web.site.pages["//xn--e1afmkfd.example/%D0%BA%D0%BE%D1%82.jpg"] = JPEG
    web.site.pages["//both.example/"] = JPEG
    expected = hostile.expected | {
        web.url("Пример.example", "/кот.jpg"): "good",
        web.url("both.example"): "good",
        web.url("gone.example"): "fetch:dns",
    }
    got = {f.url: outcome(f) for f in web.fetch(list(expected), max_bytes=1 << 20, **HASTE)}
    wrong = {
        url: (reason, got[url])
        for url, reason in expected.items()
        if got[url] not in (reason if isinstance(reason, tuple) else (reason,))
    }
    assert wrong == {}
    assert web.inside.log == []


def test_a_name_that_moves_inside_gets_nothing(web):
    web.names.addresses["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    web.site.pages["/a"] = b"public"
    url = f"http://rebinding.example:{web.site.port}/a"
    # Both sites listen on one port for this, as an attacker would have it.
    fetcher = Fetcher(params(allow_private=False, dns_ttl_s=0.0), lookup=web.names)
    assert fetcher.fetch([url])[0].body == b"public"
    assert fetcher.fetch([url])[0].reason == "fetch:private_address"
    assert web.names.asked["rebinding.example"] == 2
    assert web.site.log == ["/a"]


def test_between_the_check_and_the_connection_no_name_is_looked_up_again(web):
    # What is checked is the address of the socket; an answer that changes by then has no effect.
    web.names.addresses["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"]]
    web.site.pages |= {f"/{i}": b"public" for i in range(9)}
    got = web.fetch([web.url("rebinding.example", f"/{i}") for i in range(9)])
    assert [f.body for f in got] == [b"public"] * 9
    assert web.names.asked["rebinding.example"] == 1


def test_a_host_in_a_storm_is_left_alone(web):
    web.site.pages |= {f"/{i}": storm for i in range(50)}
    urls = [web.url("storm.example", f"/{i}") for i in range(50)]
    got = web.fetch(urls, **{**HASTE, "respect_robots": False}, max_slowdown_s=0.02)
    assert [f.reason for f in got] == ["fetch:http_429"] * 5 + ["fetch:host_paused"] * 45
    assert len(web.site.log) == 10  # each of the five was asked twice


# What img2dataset and datatrove get wrong


def test_files_are_not_opened(web, tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG)
    uri = (tmp_path / "secret.png").as_uri()
    web.site.pages["/a"] = redirect(uri)
    got = web.fetch([uri, web.url("a.example", "/a"), str(tmp_path / "secret.png")])
    assert [f.reason for f in got] == ["fetch:scheme", "fetch:scheme", "fetch:bad_url"]


@pytest.mark.parametrize(
    "value",
    ["none", "*: noai", "noai, max-image-preview:large",
     "unavailable_after: 25 Jun 2010 15:00:00 GMT, noai"],
)  # fmt: skip
def test_x_robots_tag_comes_whole_so_that_nothing_in_it_is_missed(web, value):
    web.site.pages["/a"] = lines(f"X-Robots-Tag: {value}", "X-Robots-Tag: nofollow", body=PNG)
    (got,) = web.fetch([web.url("a.example", "/a")])
    assert got.headers["x-robots-tag"].split("\n") == [value, "nofollow"]


def test_robots_is_asked_once_for_a_host_and_fails_closed(web):
    web.site.pages |= {"/robots.txt": (500, {}, b""), **{f"/{i}": PNG for i in range(9)}}
    fetcher = Fetcher(params(respect_robots=True, allow_private=False, retries=0), lookup=web.names)
    for part in (range(5), range(5, 9)):
        got = fetcher.fetch([web.url("a.example", f"/{i}") for i in part])
        assert {f.reason for f in got} == {"fetch:robots_unreachable"}
    assert web.site.log == ["/robots.txt"]
