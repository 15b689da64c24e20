"""Signals: every line of the headers that speak of use, as it was sent."""

import pyarrow as pa

from mella.builders.culture.signals import SIGNALS, signals_of


def signal(name, value):
    return {"where": "header", "name": name, "value": value}


def test_every_line_is_a_signal_of_its_own():
    wanted = [
        signal("x-robots-tag", "noai"),
        signal("x-robots-tag", "googlebot: noindex, nofollow"),
        signal("tdm-reservation", "1"),
        signal("tdm-policy", "https://a.example/policy.json"),
    ]
    lines = {
        "content-type": "text/html",
        "tdm-policy": "https://a.example/policy.json",
        "tdm-reservation": "1",
        "x-robots-tag": "noai\n googlebot: noindex, nofollow ",
    }
    pairs = [
        ("TDM-Reservation", "1"),
        ("X-Robots-Tag", "noai"),
        ("Tdm-Policy", "https://a.example/policy.json"),
        ("x-robots-tag", "googlebot: noindex, nofollow"),
    ]
    assert signals_of(lines) == wanted
    assert signals_of(pairs) == wanted
    assert pa.array([wanted, []], SIGNALS).to_pylist() == [wanted, []]


def test_other_headers_and_empty_lines_are_none():
    assert signals_of({"content-type": "noai", "x-robots-tag": " \n", "robots": "noai"}) == []
    assert signals_of([]) == []
