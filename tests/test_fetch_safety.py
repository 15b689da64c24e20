"""Fetching: addresses that are not public get nothing, however they are written or reached."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetching import one, other, site
from mella.builders.culture.fetch.public_address import is_disguised, is_public

__all__ = ["other", "site"]  # fixtures


@pytest.mark.parametrize("respect_robots", [False, True])
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:7f00:1]",
     "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1",
     "[fe80::1]", "224.0.0.1", "255.255.255.255", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"],
)  # fmt: skip
def test_private_addresses_get_nothing(site, host, respect_robots):
    site.pages["/a"] = b"secret"
    url = f"http://{host}:{site.port}/a"
    assert one(url, allow_private=False, respect_robots=respect_robots).reason == (
        "fetch:private_address"
    )
    assert site.log == []


@pytest.mark.parametrize(
    "host",
    ["2130706433", "017700000001", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.",
     "127.0.0.01", "1.2.3.4.5", "0x7f.0.0.0x1"],
)  # fmt: skip
def test_other_spellings_of_an_address_get_nothing(site, host):
    site.pages["/a"] = b"secret"
    got = one(f"http://{host}:{site.port}/a", allow_private=False)
    assert got.reason in ("fetch:bad_url", "fetch:private_address")
    assert site.log == []


def test_a_name_or_a_redirect_that_leads_inside_gets_nothing(site, monkeypatch):
    # Some name that a resolver answers with a public and then with a private address.
    real = socket.getaddrinfo

    def resolve(host, *args, **options):
        return real("127.0.0.1" if host == "rebinding.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    site.pages["/a"] = b"secret"
    url = f"http://rebinding.example:{site.port}/a"
    assert one(url).body == b"secret"
    assert one(url, allow_private=False).reason == "fetch:private_address"
    assert site.log == ["/a"]


@pytest.mark.parametrize("inside", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_redirect_from_outside_to_inside_is_refused(site, other, monkeypatch, inside):
    # The first server counts as public here: all else about the connection is as it is.
    import mella.builders.culture.fetch.public_address as module

    real = module.is_public
    calls = []

    def outside_first(address):
        calls.append(address)
        return len(calls) == 1 or real(address)

    monkeypatch.setattr(module, "is_public", outside_first)
    site.redirect("/a", f"http://{inside}:{other.port}/b")
    other.pages["/b"] = b"secret"
    got = one(f"{site.url}/a", allow_private=False)
    assert got.reason in ("fetch:private_address", "fetch:bad_url")
    assert (site.log, other.log) == (["/a"], [])


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_an_inside_address_is_recognised_inside_ipv6(address):
    value = int(address)
    for written in (
        str(address),
        f"::ffff:{address}",
        f"64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}",
        f"2002:{value >> 16:x}:{value & 0xFFFF:x}::1",
        f"::{value >> 16:x}:{value & 0xFFFF:x}",
    ):
        assert not is_public(written)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_recognised(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a.example",
        "fec0::1",
        "ff0e::1",
        "64:ff9b:1::1",
        "240.0.0.1",
        "fe80::1%1",
        "192.0.0.192",
        "168.63.129.16",
        "::ffff:168.63.129.16",
    ],
)
def test_other_addresses_are_not_public(address):
    assert not is_public(address)


def test_names_are_no_disguise():
    assert not any(map(is_disguised, ["a.example", "1.2.3.4", "1e100.net", "::1", "0x7f.example"]))
