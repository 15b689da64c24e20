"""URLs to fetch: the short way reads them as the long one does, and each host has one owner."""

from collections import Counter
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.fetch import target as module
from mella.builders.culture.fetch.fetcher import host_of, owner_of
from mella.builders.culture.fetch.target import target_of

PARTS = st.sampled_from(
    [
        *("a.example", "A.example", "a..example", "xn--e1afmkfd.xn--p1ai", "1.2.3.4", "[::1]"),
        *("пример.рф", "127.1", "a_b.example", "a.example.", "", "u:p@a.example", "a b"),
    ]
)
PORTS = st.sampled_from(
    ["", ":80", ":443", ":8080", ":080", ":99999", ":65535", ":59999", ":", ":x"]
)
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
PATHS = st.builds(
    "/{}".format, TEXT | st.sampled_from(["a/../b", "./a", "a;b=1", "%41", "é", "//x"])
)
TAILS = st.sampled_from(["", "?", "?a=1", "?a?b", "#x", "?é", "?a b", "?a|b"])
URLS = st.builds("{}{}{}{}{}".format, st.sampled_from(["http://", "https://", "HTTP://"]), PARTS,
                 PORTS, PATHS, TAILS)  # fmt: skip


@given(URLS)
@example("http://a.example:80/a")
@example("https://a.example:443/a")
@example("http://a.example/" + "a" * 8200)
@example("http://a.example/a?")
def test_the_short_way_gives_what_resolving_gives(url):
    resolved, _ = resolve_url(url, url)
    target = target_of(url)
    if module._CANONICAL.fullmatch(url) and len(url) <= module._MAX_URL:
        assert resolved == url
    assert target.at == (resolved or url)
    if target.wrong is None:
        parts = urlsplit(target.at)
        assert (target.host, target.origin) == (
            parts.hostname, f"{parts.scheme}://{parts.netloc}"
        )  # fmt: skip


def test_what_candidates_give_takes_the_short_way():
    for url in ("https://a.example/a/b-c_1.jpg?w=300&h=(2)", "http://a.example:8080/%D0%BA.png"):
        assert module._CANONICAL.fullmatch(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://2130706433/", ""), ("http://127.1/", ""), ("http://1.2.3.4/", "1.2.3.4"),
     ("file:///a", ""), ("http://[::1]:8/a", "::1"), ("http://A.Example:8/a", "a.example")],
)  # fmt: skip
def test_a_host_that_may_not_be_asked_has_no_turn(url, host):
    assert host_of(url) == host
    assert (target_of(url).wrong is None) == bool(host)


def test_a_redirect_is_resolved_against_where_it_stands():
    assert target_of("../b", "http://a.example/x/y").at == "http://a.example/b"
    assert target_of("//b.example/c", "https://a.example/x").origin == "https://b.example"


def test_a_host_is_known_by_its_canonical_name():
    assert host_of("HTTP://Пример.рф:8080/a") == host_of("https://xn--e1afmkfd.xn--p1ai/")
    assert host_of("no address") == ""


# Pinned: another rule would ask hosts from two machines in the middle of a fetch.
PINNED = [2, 3, 2, 7, 3, 3]  # of host0.example to host5.example, among 8


def test_each_host_has_one_owner_on_a_cluster():
    hosts = [f"host{i}.example" for i in range(4000)]
    owners = [owner_of(host, 8) for host in hosts]
    assert [owner_of(host, 1) for host in hosts[:9]] == [0] * 9
    shares = Counter(owners)
    assert set(shares) == set(range(8))
    assert max(shares.values()) < 2 * min(shares.values())
    assert owners[:6] == PINNED
