"""The pace of fetching: how often a host is asked, by its own log, and what is kept of names."""

import itertools
import math
import time
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetching import OPEN, answer, one, params, site, web
from mella.builders.culture.fetch.faults import fault_of
from mella.builders.culture.fetch.fetcher import Fetcher
from mella.builders.culture.fetch.pacing import Host, Hosts
from web_site import MISSING

__all__ = ["site", "web"]  # fixtures

GOOD, BUSY, LATE = fault_of(None), fault_of("fetch:http_429"), fault_of("fetch:timeout")


def by_host(visits):
    hosts = defaultdict(list)
    for visit in sorted(visits, key=lambda v: v.start):
        hosts[visit.host].append(visit)
    return hosts


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_host_is_asked_more_than_is_allowed(web, at_once):
    def page(handler):
        time.sleep(0.02)
        answer(handler, "Content-Length: 2", "Connection: close", body=b"ok")

    web.site.pages |= {f"/{i}": page for i in range(9)} | {"/robots.txt": MISSING}
    web.site.pages["/moved"] = (302, {"Location": "/0"}, b"")
    hosts = [f"{name}.example" for name in "abcd"]
    paths = ["/moved", *(f"/{i}" for i in range(9))]
    pause = 0.1
    got = web.fetch(
        [web.url(host, path) for path in paths for host in hosts],
        respect_robots=True,
        per_host_delay_s=pause,
        per_host_connections=at_once,
    )
    assert {f.body for f in got} == {b"ok"}
    visits = by_host(web.site.visits)
    assert {host: len(asked) for host, asked in visits.items()} == dict.fromkeys(hosts, 12)
    for asked in visits.values():
        for visit in asked:
            in_flight = [v for v in asked if v.start <= visit.start < v.end - 0.005]
            assert len(in_flight) <= at_once
        starts = [visit.start for visit in asked]
        # At most one a pause, over any stretch of time; a thread of the server may begin late.
        for (i, a), (j, b) in itertools.combinations(enumerate(starts), 2):
            assert b - a > (j - i) * pause - 0.09
    everything = [v for asked in visits.values() for v in asked]
    assert max(v.start for v in everything) - min(v.start for v in everything) < 4 * 12 * pause


def test_who_waits_for_a_connection_keeps_the_pause_all_the_same(web):
    def hold(handler):
        time.sleep(0.3)
        answer(handler, "Content-Length: 2", body=b"ok")

    web.site.pages |= {f"//slow.example/{i}": hold for i in range(2)}
    web.site.pages |= {f"//quick.example/{i}": b"ok" for i in range(4)}
    urls = [web.url("slow.example", f"/{i}") for i in range(2)]
    urls += [web.url("quick.example", f"/{i}") for i in range(4)]
    got = web.fetch(urls, connections=1, per_host_connections=2, per_host_delay_s=0.15)
    assert {f.body for f in got} == {b"ok"}
    starts = [visit.start for visit in by_host(web.site.visits)["quick.example"]]
    assert min(b - a for a, b in itertools.pairwise(starts)) > 0.1


def test_a_host_with_a_limit_of_its_own_gives_everything_in_the_end(site):
    last = [0.0]
    refused = []

    def page(handler):
        now = time.monotonic()
        if now - last[0] < 0.05:
            refused.append(handler.path)
            answer(handler, "Content-Length: 0", status=429)
        else:
            last[0] = now
            answer(handler, "Content-Length: 2", body=b"ok")

    site.pages |= {f"/{i}": page for i in range(30)}
    fetcher = Fetcher(params(retries=9, backoff_s=0.02))
    got = fetcher.fetch([f"{site.url}/{i}" for i in range(30)])
    assert {f.body for f in got} == {b"ok"}
    # Half the requests were refused if nothing were learnt.
    assert len(refused) < 20


@given(st.lists(st.sampled_from([GOOD, BUSY, LATE]), max_size=40))
def test_a_busy_host_is_slowed_down_within_limits_and_recovers(faults):
    slow = params(per_host_delay_s=1.0, backoff_s=1.0, max_slowdown_s=30.0)
    host = Host()
    for fault in faults:
        before = host.pause(slow)
        host.note(0.0, slow, fault=fault)
        assert 1.0 <= host.pause(slow) <= 31.0
        if fault is not GOOD:
            assert host.pause(slow) > before or before == 31.0
    for _ in range(20):
        host.note(0.0, slow, fault=GOOD)
    assert host.pause(slow) == 1.0


def test_slow_answers_slow_a_host_down():
    slow = params(per_host_delay_s=1.0, backoff_s=1.0, slow_answer_s=5.0)
    host = Host()
    host.note(0.0, slow, fault=GOOD, seconds=4.9)
    assert host.pause(slow) == 1.0
    host.note(0.0, slow, fault=GOOD, seconds=5.1)
    assert host.pause(slow) == 2.0


def test_a_failure_of_the_url_says_nothing_of_the_host():
    host = Host()
    for reason in ("fetch:http_404", "fetch:too_large", "fetch:encoding", "fetch:private_address"):
        for _ in range(9):
            host.note(0.0, OPEN, fault=fault_of(reason))
            host.count(0.0, OPEN, fault_of(reason))
    assert (host.shut, host.failures, host.slowdown) == (0.0, 0, 0.0)
    assert fault_of("fetch:http_404").tries == 0


def test_hosts_in_a_pause_are_not_forgotten(monkeypatch):
    monkeypatch.setattr("mella.builders.culture.fetch.pacing._HOSTS_KEPT", 10)
    hosts = Hosts()
    hosts._enough = 10
    for name in ("shut", "failing", "slow"):
        hosts[name].ready = 1.0
    hosts["shut"].shut = math.inf
    hosts["failing"].failures = 2
    hosts["slow"].slowdown = 3.0
    for number in range(100):
        hosts[f"{number}.example"].ready = 1.0
    assert (hosts["shut"].shut, hosts["failing"].failures, hosts["slow"].slowdown) == (
        math.inf, 2, 3.0
    )  # fmt: skip
    assert len(hosts._hosts) < 30


@pytest.mark.parametrize("status", [408, 500, 502, 504, 520, 524])
def test_a_broken_server_is_asked_again(site, status):
    site.pages["/a"] = [(status, {}, b""), b"ok"]
    assert one(f"{site.url}/a").body == b"ok"


def test_request_rate_is_obeyed_like_a_crawl_delay(site):
    rules = b"User-agent: *\nRequest-rate: 1/1\n"
    site.pages |= {"/robots.txt": rules, "/a": b"", "/b": b""}
    start = time.monotonic()
    fetcher = Fetcher(params(respect_robots=True, max_crawl_delay_s=0.3))
    assert [f.reason for f in fetcher.fetch([f"{site.url}/a", f"{site.url}/b"])] == [None, None]
    assert time.monotonic() - start > 0.25


# Bandwidth


def test_all_bodies_together_keep_to_the_bandwidth(site):
    site.pages |= {f"/{i}": bytes(400_000) for i in range(2)}
    hosts = ["127.0.0.1", "localhost"]
    urls = [f"http://{host}:{site.port}/{i}" for i in range(2) for host in hosts]
    start = time.monotonic()
    got = Fetcher(params(max_bytes_per_s=1_000_000)).fetch(urls)
    assert {f.reason for f in got} == {None}
    assert time.monotonic() - start > 1.6 - 0.5 - 0.1  # half a second may come at once


def test_what_waits_for_the_bandwidth_is_not_called_slow(site):
    def page(handler):
        start = time.monotonic()
        handler.send_response(200)
        handler.send_header("Content-Length", "810000")
        handler.end_headers()
        handler.wfile.write(bytes(800_000))
        time.sleep(max(0.0, start + 1.8 - time.monotonic()))
        handler.wfile.write(bytes(10_000))

    site.pages["/a"] = page
    # A second and a half for the bandwidth, of a server that is given less than one.
    limits = {"min_bytes_per_s": 1_000_000, "slow_grace_s": 0.8, "timeout_s": 1.2}
    got = one(f"{site.url}/a", max_bytes_per_s=400_000, **limits)
    assert (got.reason, len(got.body or b"")) == (None, 810_000)


# Names


def test_a_name_is_looked_up_once(web):
    web.site.pages |= {f"/{i}": b"ok" for i in range(9)}
    fetcher = Fetcher(params(allow_private=False), lookup=web.names)
    for i in range(9):
        assert fetcher.fetch([web.url("a.example", f"/{i}")])[0].body == b"ok"
    assert web.names.asked["a.example"] == 1


def test_it_is_remembered_that_a_name_has_no_address(web):
    fetcher = Fetcher(params(allow_private=False, retries=3), lookup=web.names)
    for i in range(4):
        assert fetcher.fetch([f"http://gone.invalid/{i}"])[0].reason == "fetch:dns"
    assert web.names.asked["gone.invalid"] == 1


def test_what_is_remembered_of_a_name_has_an_end(web):
    web.site.pages["/a"] = b"ok"
    web.names.addresses["a.example"] = [[], ["127.0.0.2"]]
    limits = params(allow_private=False, dns_ttl_s=0.0, dns_failure_ttl_s=0.0)
    fetcher = Fetcher(limits, lookup=web.names)
    got = [fetcher.fetch([web.url("a.example", "/a")])[0].reason for _ in range(3)]
    assert got == ["fetch:dns", None, None]
    assert web.names.asked["a.example"] == 3


def test_a_name_service_that_fails_for_now_is_asked_again(web):
    web.site.pages["/a"] = b"ok"
    web.names.addresses["a.example"] = [["later"], ["127.0.0.2"]]
    web.names.addresses["b.example"] = ["later"]
    got = web.fetch([web.url("a.example", "/a"), web.url("b.example", "/a")])
    assert [f.reason for f in got] == [None, "fetch:dns"]
    assert web.names.asked == {"a.example": 2, "b.example": 2}
