"""Addresses: URLs resolved as browsers do, srcset by the standard."""

from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mella.builders.culture.addresses import ImageSource, best_source, parse_srcset, resolve_url

PAGE_URL = "https://www.muzeum.example.cz/a/b.html?q=1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.jpg", [("a.jpg", None, None)]),
        (" a.jpg 2x , b.jpg 1.5e0x,", [("a.jpg", None, 2.0), ("b.jpg", None, 1.5)]),
        ("a,b.jpg 1w, c,d.jpg 2w 3h", [("a,b.jpg", 1, None), ("c,d.jpg", 2, None)]),
        ("a.jpg, b.jpg", [("a.jpg", None, None), ("b.jpg", None, None)]),
        ("a.jpg,b.jpg 2x", [("a.jpg,b.jpg", None, 2.0)]),
        (",,, a.jpg,,, b.jpg 1w", [("a.jpg", None, None), ("b.jpg", 1, None)]),
        ("a.jpg 1q, b.jpg 1w 2w, c.jpg 1w 1x, d.jpg 0w, e.jpg -1x", []),
        ("a.jpg (1,2) , b.jpg 1w", [("b.jpg", 1, None)]),
        ("data:,a b 1x, c 2x", [("c", None, 2.0)]),
        ("", []),
    ],
)
def test_srcset_by_the_standard(value, expected):
    assert parse_srcset(value) == [ImageSource(*source) for source in expected]


URLS = st.text("abc/.:?=&%,()-_0й", min_size=1).filter(
    lambda url: not url.startswith(",") and not url.endswith(",")
)
SOURCES = st.builds(ImageSource, URLS, st.integers(1, 99_999)) | st.builds(
    ImageSource, URLS, st.none(), st.integers(1, 800).map(lambda n: n / 100)
)


@given(st.lists(SOURCES, min_size=1), st.sampled_from([",", " , ", ",\n", " ,,"]))
def test_srcset_round_trip(sources, separator):
    written = separator.join(
        f"{s.url} {s.width}w" if s.width else f"{s.url} {s.density}x" for s in sources
    )
    assert parse_srcset(written) == sources


@given(st.lists(SOURCES, min_size=1), st.integers(1, 99_999))
def test_the_best_source_is_the_smallest_that_suffices(sources, useful):
    best = best_source(sources, useful_width=useful)
    assert best is not None
    widths = [source.width for source in sources if source.width]
    if widths:
        assert best.width == min((w for w in widths if w >= useful), default=max(widths))
    else:
        assert best.density == max(source.density for source in sources)


@given(st.text(max_size=40), st.text(max_size=40))
@example("http://[", "//]")
@example("//\u2100.com", "")
@example("http://a\ud800/", "\udfff?\ud800")
@example("http://xn--/", "http://xn--a-ecp.ru/")
def test_resolving_never_raises_and_gives_plain_http_or_a_reason(base, reference):
    for start in (base, PAGE_URL, f"http://{base}", f"//{base}"):
        url, reason = resolve_url(start, reference)
        assert (url is None) != (reason is None)
        if url:
            parts = urlsplit(url)
            assert parts.scheme in ("http", "https")
            assert parts.hostname
            assert url.isascii()
            assert not set(' "<>#\\\t\n') & set(url)
            assert resolve_url(start, url) == (url, None)


PIECES = st.sampled_from(
    ("a", "b.png", ".", "..", "/", "//", "?", "x=1", "#", "%20", ":", "http:", "//h.cz", "h.cz",
     "A.cz", ":80", "@", ";", "é", "+", "'", "1", "&", "\\", "https://h.example.cz")
)  # fmt: skip
STARTS = st.sampled_from(["http://a.b.cz/", "https://x.example/", "http://a.cz", "http://A.cz/"])


@given(STARTS, st.lists(PIECES, max_size=5), st.lists(PIECES, max_size=5))
@example("http://a.b.cz/", ["a", "/", "b.png", "?", "/"], ["a", "/", "b.png", "?", "x=1"])
@example("http://a.b.cz/", ["a"], ["/", "a"])
@example("http://a.b.cz/", [], ["https://h.example.cz", "/", "a", "?", "/"])
def test_plain_addresses_are_resolved_as_all_others(start, path, reference):
    # Of what a fragment follows, everything has to be parsed; resolving drops it.
    base, words = start + "".join(path), "".join(reference)
    parsed = resolve_url(base, words + "#parsed")
    assume("#" not in words and words)
    assert resolve_url(base, words) == parsed
