"""Fetching: every URL ends in a body or a reason, hosts are spared, private addresses are safe."""

import contextlib
import gzip
import itertools
import socket
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import brotli
import pytest

from fetching import OPEN, answer, fetch_all, one, other, params, site
from mella.builders.culture.fetch.fetcher import Fetcher, FetchError, agent_of
from mella.errors import MellaError
from web_site import Site

__all__ = ["other", "site"]  # fixtures


def test_results_keep_the_order_and_equal_urls_are_asked_once(site):
    site.pages |= {f"/{i}": b"page %d" % i for i in range(20)}
    urls = [f"{site.url}/{i % 20}" for i in range(50)] + [f"{site.url}/none", "ftp://a.example/"]
    got = fetch_all(urls, OPEN)
    assert [f.url for f in got] == urls
    assert [f.body for f in got[:50]] == [b"page %d" % (i % 20) for i in range(50)]
    assert [f.reason for f in got[50:]] == ["fetch:http_404", "fetch:scheme"]
    assert sorted(site.log) == sorted([*(f"/{i}" for i in range(20)), "/none"])
    assert fetch_all([], OPEN) == []


def test_the_headers_that_matter_come_along(site):
    headers = {
        "Content-Type": "Image/JPEG",
        "Content-Language": "th",
        "X-Robots-Tag": "noai",
        "TDM-Reservation": "1",
        "ETag": '"x"',
        "Set-Cookie": "a=b",
    }
    site.pages["/a"] = (200, headers, b"x")
    got = one(f"{site.url}/a#part")
    assert (got.status, got.body, got.reason) == (200, b"x", None)
    assert got.url == f"{site.url}/a#part"
    assert got.final_url == f"{site.url}/a"
    assert got.headers == {
        "content-type": "Image/JPEG", "content-language": "th", "x-robots-tag": "noai",
        "tdm-reservation": "1", "etag": '"x"',
    }  # fmt: skip
    age = datetime.now(UTC) - datetime.fromisoformat(got.fetched_at)
    assert abs(age) < timedelta(seconds=60)


def test_each_line_of_a_header_of_consent_is_kept_apart(site):
    site.pages["/a"] = lambda handler: answer(
        handler, "X-Robots-Tag: otherbot: noai", "Content-Length: 0", "x-robots-tag: none, noml"
    )
    assert one(f"{site.url}/a").headers["x-robots-tag"] == "otherbot: noai\nnone, noml"


def test_headers_in_no_encoding_are_kept_as_far_as_they_can_be_read(site):
    def page(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Robots-Tag: noai, \xff\xfe\r\n")
        handler.wfile.write("Content-Language: русский\r\nConnection: close\r\n\r\nok".encode())
        handler.close_connection = True

    site.pages["/a"] = page
    got = one(f"{site.url}/a")
    assert got.body == b"ok"
    assert got.headers["content-language"] == "русский"
    assert got.headers["x-robots-tag"].encode().startswith(b"noai, ")


def test_the_agent_is_named_and_no_cookie_is_kept(site, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site.pages["/a"] = (302, {"Location": "/b", "Set-Cookie": "id=7; Path=/"}, b"")
    site.pages["/b"] = b"ok"
    assert one(f"{site.url}/a").body == b"ok"
    for headers in site.headers:
        assert headers["user-agent"] == "mella/0.1 (+https://example.org/crawl)"
        assert "cookie" not in headers


@pytest.mark.parametrize("contact", ["", "  ", "a@b.example\r\nX-Evil: 1", "почта@пример.рф"])
def test_without_a_fit_contact_nothing_is_fetched(contact, site):
    for make in (agent_of, Fetcher):
        with pytest.raises(FetchError) as caught:
            make(params(contact=contact))
        assert isinstance(caught.value, MellaError)
    assert site.log == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site, other, status):
    site.redirect("/a", f"{other.url}/b%20c?x=1#z", status)
    other.redirect("/b%20c?x=1", "../d", status)
    other.pages["/d"] = b"there"
    got = one(f"{site.url}/a")
    assert (got.body, got.final_url) == (b"there", f"{other.url}/d")


def test_redirects_have_an_end(site):
    for i in range(9):
        site.redirect(f"/{i}", f"/{i + 1}")
    site.pages["/9"] = b"far"
    got = one(f"{site.url}/0")
    assert (got.reason, got.status) == ("fetch:too_many_redirects", 302)
    assert site.log == [f"/{i}" for i in range(6)]
    assert one(f"{site.url}/4").body == b"far"


@pytest.mark.parametrize(
    ("location", "reason"),
    [("file:///etc/passwd", "fetch:scheme"), ("ftp://a.example/", "fetch:scheme"),
     ("http://[::1", "fetch:bad_url"), ("http://2130706433/", "fetch:bad_url")],
)  # fmt: skip
def test_a_redirect_to_what_is_no_web_address_is_refused(site, location, reason):
    site.redirect("/a", location)
    assert one(f"{site.url}/a").reason == reason


@pytest.mark.parametrize(
    ("url", "reason"),
    [("file:///etc/passwd", "fetch:scheme"), ("data:image/png;base64,AA", "fetch:scheme"),
     ("", "fetch:bad_url"), ("http://", "fetch:bad_url"), ("http://a b/", "fetch:bad_url"),
     ("http://x.invalid/", "fetch:dns"), ("relative/path.png", "fetch:bad_url"),
     ("http://" + "a" * 300 + ".example/", "fetch:bad_url")],
)  # fmt: skip
def test_what_is_no_web_address_costs_itself_alone(site, url, reason):
    site.pages["/a"] = b"ok"
    got = fetch_all([url, f"{site.url}/a"], params(retries=0))
    assert [f.reason for f in got] == [reason, None]


@pytest.mark.parametrize("status", [204, 206, 304, 400, 401, 403, 410, 451, 500])
def test_only_200_is_a_body(site, status):
    site.pages["/a"] = (status, {"Content-Length": "0"}, b"")
    got = one(f"{site.url}/a")
    assert (got.reason, got.status, got.body) == (f"fetch:http_{status}", status, None)


# Sizes and encodings


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)],
)
def test_the_limit_holds_for_the_decoded_body(site, encoding, encode):
    for size in (1000, 1001, 50_000_000):
        body = encode(bytes(size))
        site.pages[f"/{size}"] = (200, {"Content-Encoding": encoding}, body)
        assert len(body) < 1000 or size > 1001
    got = [one(f"{site.url}/{size}", max_bytes=1000) for size in (1000, 1001)]
    assert [f.reason for f in got] == [None, "fetch:too_large"]
    assert got[0].body == bytes(1000)
    assert one(f"{site.url}/50000000", max_bytes=1_000_000).reason == "fetch:too_large"


def test_a_large_body_is_not_read_to_its_end(site):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(5000):
                handler.wfile.write(bytes(20_000))
                sent.append(20_000)
        handler.close_connection = True

    site.pages |= {"/a": endless, "/b": (200, {"Content-Length": "900000000"}, b"")}
    got = fetch_all([f"{site.url}/a", f"{site.url}/b"], params(max_bytes=100_000))
    assert [f.reason for f in got] == ["fetch:too_large"] * 2
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", gzip.compress(b"a" * 999)[:-9]), ("br", b"\xff\xff\xff")]
)
def test_a_broken_encoding_is_a_reason(site, encoding, body):
    site.pages["/a"] = (200, {"Content-Encoding": encoding}, body)
    assert one(f"{site.url}/a").reason == "fetch:encoding"


# Failures


def test_a_slow_server_is_cut_off(site):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b".")
                time.sleep(0.05)

    site.pages["/a"] = drip
    assert one(f"{site.url}/a", timeout_s=0.3).reason == "fetch:timeout"
    # It may have been bad luck, but each try costs the whole time.
    assert site.log == ["/a", "/a"]


def hang_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


@pytest.mark.parametrize("fault", [(500, {}, b""), (503, {}, b""), (429, {}, b""), cut_short])
def test_what_may_pass_is_tried_again(site, fault):
    site.pages |= {"/a": [fault, fault, b"at last"], "/b": [fault, fault, fault, b"late"]}
    assert one(f"{site.url}/a").body == b"at last"
    got = one(f"{site.url}/b")
    reason = f"fetch:http_{fault[0]}" if isinstance(fault, tuple) else "fetch:connection"
    assert (got.reason, site.log.count("/b")) == (reason, 3)


def test_a_broken_connection_is_a_reason(site):
    site.pages["/a"] = hang_up
    assert one(f"{site.url}/a").reason == "fetch:connection"
    closed = Site()
    closed.close()
    assert one(f"{closed.url}/a").reason == "fetch:connection"


def test_what_is_no_http_is_a_reason(site):
    def nonsense(handler):
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        handler.close_connection = True

    def endless_header(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n")
        handler.close_connection = True

    site.pages |= {"/a": nonsense, "/b": endless_header}
    got = fetch_all([f"{site.url}/a", f"{site.url}/b"], OPEN)
    assert [f.reason for f in got] == ["fetch:bad_response"] * 2


def test_tls_with_a_server_that_speaks_none_is_a_reason(site):
    assert one(site.url.replace("http:", "https:") + "/a").reason == "fetch:tls"


# Politeness


@pytest.mark.parametrize("header", ["1", "date"])
def test_retry_after_is_obeyed_by_the_whole_host(site, header):
    times = []

    def busy(handler):
        # A date has whole seconds: two ahead is one to two seconds to wait.
        value = formatdate(time.time() + 2, usegmt=True) if header == "date" else header
        handler.send_response(503)
        handler.send_header("Retry-After", value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        times.append(time.monotonic())

    def fine(handler):
        times.append(time.monotonic())
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    site.pages |= {"/a": [busy, fine], "/b": fine}
    got = fetch_all([f"{site.url}/a", f"{site.url}/b"], OPEN)
    assert [f.body for f in got] == [b"ok", b"ok"]
    assert site.log[0] == "/a"
    assert min(times[1:]) - times[0] > 0.9


def test_a_host_that_asks_for_a_long_pause_is_left_alone(site, other):
    site.pages["/0"] = (429, {"Retry-After": "3600"}, b"")
    other.pages["/x"] = b"ok"
    fetcher = Fetcher(OPEN)
    got = fetcher.fetch([f"{site.url}/{i}" for i in range(5)])
    assert [f.reason for f in got] == ["fetch:http_429"] + ["fetch:host_paused"] * 4
    assert site.log == ["/0"]
    # The next batch remembers it. Another host is another matter; ports are the same host.
    assert fetcher.fetch([f"{site.url}/7"])[0].reason == "fetch:host_paused"
    assert fetcher.fetch([other.url.replace("127.0.0.1", "localhost") + "/x"])[0].body == b"ok"


def test_a_host_that_keeps_failing_is_left_alone(site):
    urls = [f"{site.url}/{i}" for i in range(9)]
    site.pages |= {f"/{i}": hang_up for i in range(9)} | {"/2": b"ok"}
    got = fetch_all(urls, params(retries=0, max_host_failures=3))
    assert [f.reason for f in got] == [
        *["fetch:connection"] * 2, None, *["fetch:connection"] * 3, *["fetch:host_paused"] * 3
    ]  # fmt: skip
    # The library asks once more by itself where a server hangs up.
    assert list(dict.fromkeys(site.log)) == [f"/{i}" for i in range(6)]


@pytest.mark.parametrize("most", [1, 2])
def test_a_host_has_a_limit_of_connections(site, other, most):
    def slow(handler):
        time.sleep(0.03)
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.pages |= {f"/{i}": slow for i in range(12)}
    got = fetch_all([f"{site.url}/{i}" for i in range(12)], params(per_host_connections=most))
    assert all(f.reason is None for f in got)
    assert site.most_active == most


def test_a_busy_host_does_not_hold_up_the_others(site):
    waiting = threading.Event()

    def held(handler):
        # Answers only after the other host was asked: a deadlock if hosts wait for each other.
        ok = waiting.wait(20)
        handler.send_response(200 if ok else 500)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def release(handler):
        waiting.set()
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.pages |= {f"/{i}": held for i in range(5)} | {"/go": release}
    urls = [f"{site.url}/{i}" for i in range(5)]
    urls.append(site.url.replace("127.0.0.1", "localhost") + "/go")
    got = fetch_all(urls, params(connections=2, retries=0))
    assert [f.reason for f in got] == [None] * 6


def test_there_is_a_pause_between_requests_to_a_host(site):
    starts = []

    def note(handler):
        starts.append(time.monotonic())
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.pages |= dict.fromkeys(("/0", "/1", "/2", "/3"), note)
    fetcher = Fetcher(params(per_host_delay_s=0.2, per_host_connections=2))
    fetcher.fetch([f"{site.url}/{i}" for i in range(3)])
    fetcher.fetch([f"{site.url}/3"])
    assert min(b - a for a, b in itertools.pairwise(starts)) > 0.15


# robots.txt

RULES = (
    b"\xef\xbb\xbfUser-agent: *\nDisallow: /no\nAllow: /no/but\n\n"
    b"User-agent: otherbot\nDisallow: /\n"
)


def robots(urls, **changes):
    return [f.reason for f in fetch_all(urls, params(respect_robots=True, **changes))]


def test_robots_is_read_once_and_obeyed(site):
    site.pages |= {"/robots.txt": RULES, "/a": b"", "/no/but/yes": b"", "/no/1": b""}
    paths = ["/a", "/no/1", "/no/but/yes", "/%6Eo/2", "/robots.txt"]
    assert robots([site.url + path for path in paths]) == [
        None, "fetch:robots", None, "fetch:robots", None
    ]  # fmt: skip
    assert site.log == ["/robots.txt", "/a", "/no/but/yes", "/robots.txt"]


def test_the_group_of_this_product_wins(site):
    rules = b"User-agent: *\nDisallow: /\n\nUser-agent: Mella\nDisallow: /x\n"
    site.pages |= {"/robots.txt": rules, "/a": b""}
    assert robots([f"{site.url}/a", f"{site.url}/x"]) == [None, "fetch:robots"]
    assert robots([f"{site.url}/a"], user_agent="camella/2") == ["fetch:robots"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_robots_that_is_not_there_allows_all(site, status):
    site.pages |= {"/robots.txt": (status, {}, b""), "/a": b""}
    assert robots([f"{site.url}/a"]) == [None]


@pytest.mark.parametrize("answer", [(500, {}, b""), (503, {}, b""), (429, {}, b""), hang_up])
def test_robots_that_cannot_be_read_forbids_all(site, answer):
    site.pages |= {"/robots.txt": answer, "/a": b"", "/b": b""}
    got = robots([f"{site.url}/a", f"{site.url}/b"])
    assert got == ["fetch:robots_unreachable"] * 2
    assert set(site.log) == {"/robots.txt"}


def test_robots_may_be_redirected(site, other):
    site.redirect("/robots.txt", f"{other.url}/rules")
    other.pages["/rules"] = RULES
    site.pages["/a"] = b""
    assert robots([f"{site.url}/a", f"{site.url}/no/1"]) == [None, "fetch:robots"]


def test_robots_in_a_circle_forbids_all(site):
    site.redirect("/robots.txt", "/robots.txt")
    site.pages["/a"] = b""
    assert robots([f"{site.url}/a"]) == ["fetch:robots_unreachable"]
    assert site.log == ["/robots.txt"] * 6


def test_of_a_huge_robots_the_beginning_counts(site):
    rules = b"User-agent: *\nDisallow: /no\n#" + b"x" * 600_000 + b"\nDisallow: /a\n"
    site.pages |= {"/robots.txt": rules, "/a": b""}
    assert robots([f"{site.url}/a", f"{site.url}/no/1"]) == [None, "fetch:robots"]
    packed = (200, {"Content-Encoding": "gzip"}, gzip.compress(rules))
    site.pages["/robots.txt"] = packed
    assert robots([f"{site.url}/a", f"{site.url}/no/1"]) == [None, "fetch:robots"]


def test_a_redirect_is_subject_to_the_rules_of_where_it_leads(site, other):
    site.redirect("/a", f"{other.url}/no/1")
    other.pages |= {"/robots.txt": RULES, "/no/1": b"secret"}
    assert robots([f"{site.url}/a"]) == ["fetch:robots"]
    assert other.log == ["/robots.txt"]


def test_crawl_delay_is_obeyed_up_to_a_limit(site):
    rules = b"User-agent: *\nCrawl-delay: 5000\n"
    site.pages |= {"/robots.txt": rules, "/a": b"", "/b": b""}
    fetcher = Fetcher(params(respect_robots=True, max_crawl_delay_s=0.4))
    start = time.monotonic()
    got = fetcher.fetch([f"{site.url}/a", f"{site.url}/b"])
    assert [f.reason for f in got] == [None, None]
    assert time.monotonic() - start > 0.35


# The stream


def test_what_is_fetched_comes_as_it_ends(site):
    waiting = threading.Event()

    def held(handler):
        ok = waiting.wait(20)
        handler.send_response(200 if ok else 500)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.pages |= {"/slow": held, "/fast": b"ok"}
    fast = site.url.replace("127.0.0.1", "localhost") + "/fast"
    stream = Fetcher(params(retries=0)).stream([f"{site.url}/slow", fast, fast])
    assert next(stream).url == fast
    waiting.set()
    assert [(f.url, f.reason) for f in stream] == [(f"{site.url}/slow", None)]


def test_a_stream_that_is_left_asks_no_more(site):
    site.pages |= {f"/{i}": b"" for i in range(500)}
    stream = Fetcher(OPEN).stream([f"{site.url}/{i}" for i in range(500)])
    next(stream)
    stream.close()
    asked = len(site.log)
    time.sleep(0.1)
    assert len(site.log) <= asked + 1 < 100  # one may have been under way


def test_while_the_caller_is_busy_bodies_do_not_pile_up(site):
    site.pages |= {f"/{i}": b"" for i in range(300)}
    stream = Fetcher(params(connections=2)).stream([f"{site.url}/{i}" for i in range(300)])
    for _ in range(30):
        next(stream)
        time.sleep(0.01)
    # Two wait to be taken; one more each wait to be put there, and are under way.
    assert len(site.log) <= 30 + 6
    stream.close()


def test_a_caller_that_is_busy_lets_no_request_time_out(site):
    def late(handler):
        time.sleep(0.1)
        answer(handler, "Content-Length: 2", body=b"ok")

    site.pages |= {f"/{i}": late for i in range(4)}
    hosts = ["127.0.0.1", "localhost"]
    urls = [f"http://{host}:{site.port}/{i}" for i in range(4) for host in hosts]
    reasons = []
    for fetched in Fetcher(params(timeout_s=0.4)).stream(urls):
        reasons.append(fetched.reason)
        time.sleep(0.5)
    assert reasons == [None] * 8
