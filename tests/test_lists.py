"""Lists of hosts and hashes: what is named is rejected, what is not is kept, files are checked."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mella.builders.culture.fetch.fetcher import Fetcher, FetchParams
from mella.builders.culture.images.picture import ImageRules, StoredImage, normalise_image
from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.hashes import HashesParams, hashes_step
from mella.builders.curate.hosts import hosts_step
from mella.builders.curate.lists import (
    HostRules,
    ListError,
    hash_lists,
    host_lists,
    host_names,
    read_hashes,
    read_hosts,
)
from pictures import picture, save
from stepping import apply, reasons
from web_site import Site

ANY = ImageRules(min_bytes=0, min_deviation=0)


@pytest.fixture
def listed(tmp_path):
    """Return a function that writes lists and returns their files."""

    def write(deny="", allow=""):
        (tmp_path / "deny.txt").write_text(deny, "utf-8")
        (tmp_path / "allow.txt").write_text(allow, "utf-8")
        return (tmp_path / "deny.txt",), (tmp_path / "allow.txt",)

    return write


def hosts_of(deny, allow=()):
    return HostRules(frozenset(deny), frozenset(allow))


def hosts_of_lists(files):
    return hosts_step(host_lists(*files))


# HostRules


@pytest.mark.parametrize(
    ("entry", "denied", "kept"),
    [
        ("example.org", ["example.org", "a.example.org", "b.a.example.org"],
         ["example.com", "notexample.org", "example.org.cz", "org"]),
        ("*.example.org", ["a.example.org", "b.a.example.org"], ["example.org", "xexample.org"]),
        ("xxx", ["a.xxx", "b.a.xxx"], ["xxx.org", "a.xxxx"]),
        ("10.0.0.1", ["10.0.0.1"], ["110.0.0.1", "10.0.0.11", "0.0.1"]),
        ("2001:db8::1", ["2001:db8::1", "2001:db8:0:0::1"], ["2001:db8::2"]),
        ("*", ["example.org", "10.0.0.1", "2001:db8::1"], []),
    ],
)  # fmt: skip
def test_an_entry_stands_for_a_host_and_what_is_below(listed, entry, denied, kept):
    hosts = HostRules(read_hosts(listed(entry)[0]), frozenset())
    assert [host for host in denied + kept if hosts.denies(host)] == denied


def test_the_most_specific_entry_decides():
    hosts = hosts_of(
        {"example.org", "bad.good.example.org", "both.net"}, {"good.example.org", "both.net"}
    )
    assert hosts.denies("example.org")
    assert hosts.denies("other.example.org")
    assert not hosts.denies("good.example.org")
    assert not hosts.denies("a.good.example.org")
    assert hosts.denies("bad.good.example.org")
    assert hosts.denies("both.net")


def test_a_list_of_what_alone_is_allowed():
    hosts = hosts_of({"*"}, {"museum.cz", "*.gov.vn"})
    wanted = ["museum.cz", "sbirky.museum.cz", "a.gov.vn"]
    assert [host for host in [*wanted, "gov.vn", "blog.cz"] if not hosts.denies(host)] == wanted


def test_subdomains_alone_are_more_specific_than_all():
    assert not hosts_of({"example.org"}, {"*.example.org"}).denies("a.example.org")
    assert hosts_of({"example.org"}, {"*.example.org"}).denies("example.org")


def test_hosts_are_compared_as_urls_have_them(listed):
    files = listed("﻿# remarks\n\n  ПРИМЕР.РФ  # one more\r\nBücher.Example.\n*.ไทย\n")
    assert read_hosts(files[0]) == {
        "xn--e1afmkfd.xn--p1ai", "xn--bcher-kva.example", "*.xn--o3cw4h",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["https://example.org/", "example.org/path", "0.0.0.0 example.org", "ads*.example.org",
     "a..example", "user@example.org", "♥/", "*.10.0.0.1", "exa mple.org", "a" * 64 + ".org"],
)  # fmt: skip
def test_a_line_that_is_no_host_is_named(listed, line):
    files = listed(f"# hosts\nexample.org\n{line}\n")
    with pytest.raises(ListError, match=r"deny\.txt, line 3: .* is not a host such as"):
        hosts_of_lists(files)


def test_a_list_that_is_not_there_or_not_utf8_is_named(tmp_path):
    with pytest.raises(ListError, match=r"none\.txt is no list"):
        hosts_of_lists(((tmp_path / "none.txt",), ()))
    (tmp_path / "list.txt").write_bytes("příklad.cz".encode("iso-8859-2"))
    with pytest.raises(ListError, match=r"list\.txt is no list in UTF-8"):
        hosts_of_lists(((), (tmp_path / "list.txt",)))


def test_a_page_a_domain_or_an_image_on_a_denied_host_rejects_the_row(listed):
    step = hosts_of_lists(listed("blog.example.org\ncdn.net\nпример.рф", "good.cdn.net"))
    rows = [
        {"page_url": "https://a.org/", "domain": "a.org", "image_host": "b.org"},
        {"page_url": "https://Blog.example.org:8080/x", "domain": "example.org"},
        {"page_url": "https://www.example.org/", "domain": "example.org", "image_host": "b.org"},
        {"page_url": "https://a.org/", "domain": "a.org", "image_host": "img.cdn.net"},
        {"page_url": "https://a.org/", "domain": "a.org", "image_host": "good.cdn.net"},
        {"page_url": "https://пример.рф/", "domain": None, "image_host": None},
        {"page_url": None, "domain": None, "image_host": None},
    ]
    denied = "denied:host"
    assert reasons(apply(step, rows)) == [None, denied, None, denied, None, denied, None]


def test_a_subdomain_is_allowed_though_its_domain_is_denied(listed):
    rows = [
        {"page_url": "https://good.example.org/", "image_host": "good.example.org"},
        {"page_url": "https://bad.example.org/", "image_host": "bad.example.org"},
        {"page_url": "https://else.net/", "image_host": "else.net"},
    ]
    step = hosts_of_lists(listed("example.org", "good.example.org"))
    assert reasons(apply(step, rows)) == [None, "denied:host", None]
    only = hosts_of_lists(listed("*", "good.example.org"))
    assert reasons(apply(only, rows)) == [None, "denied:host", "denied:host"]


def test_a_denied_host_is_asked_for_nothing_whatever_redirects_to_it(listed, tmp_path):
    site = Site()
    try:
        elsewhere = site.url.replace("127.0.0.1", "localhost")
        site.pages["/good.jpg"] = (200, {"Content-Type": "image/jpeg"}, b"an image")
        site.pages["/there.jpg"] = (302, {"Location": f"{elsewhere}/good.jpg"}, b"")
        lists = host_lists(*listed("localhost"))
        store = str(tmp_path / "store")
        params = FetchParams(contact="me@a.example", allow_private=True, per_host_delay_s=0.0)
        urls = [f"{site.url}/good.jpg", f"{site.url}/there.jpg", f"{elsewhere}/good.jpg"]
        free = Fetcher(replace(params, store=store)).fetch(urls)
        assert [one.reason for one in free] == [None, None, None]
        site.visits.clear()
        bound = Fetcher(replace(params, hosts=lists)).fetch(urls)
        assert [one.reason for one in bound] == [None, "fetch:denied_host", "fetch:denied_host"]
        assert {visit.host for visit in site.visits} == {"127.0.0.1"}
        # Nor is what is in the store of any use.
        stored = Fetcher(replace(params, hosts=lists, store=store)).fetch(urls)
        assert [one.reason for one in stored] == [one.reason for one in bound]
    finally:
        site.close()


def test_without_lists_all_hosts_pass():
    row = {"page_url": "https://a.org/", "domain": "a.org", "image_host": "b.org"}
    assert reasons(apply(hosts_of_lists(((), ())), [row])) == [None]


LABELS = st.lists(st.from_regex(r"[a-z]{1,3}", fullmatch=True), min_size=1, max_size=5)


@given(LABELS, LABELS)
def test_a_host_is_named_by_itself_and_all_above_it(labels, other):
    host, entry = ".".join(labels), ".".join(other)
    below = host == entry or host.endswith("." + entry)
    names = list(host_names(host))
    assert (entry in names) == below
    assert (f"*.{entry}" in names) == (below and host != entry)
    assert (names[0], names[-1]) == (host, "*")


# What a step's key depends on


def test_what_lists_say_is_the_key_and_not_how(listed, tmp_path):
    key = hosts_of_lists(listed("a.org\nb.org", "c.org")).key("")
    assert hosts_of_lists(listed("# by hand\nB.org\n\na.org # x\n", "c.org")).key("") == key
    (tmp_path / "more.txt").write_text("b.org")
    moved = ((listed("a.org", "c.org")[0][0], tmp_path / "more.txt"),
                      (tmp_path / "allow.txt",))  # fmt: skip
    assert hosts_of_lists(moved).key("") == key
    for deny, allow in (("a.org", "c.org"), ("a.org\nb.org", ""), ("a.org\nb.org\nc.org", "")):
        assert hosts_of_lists(listed(deny, allow)).key("") != key


def test_a_distance_is_part_of_the_key_of_hashes(listed):
    files = listed("0" * 64)
    near = HashesParams(alike=ClustersParams(max_distance=3))
    keys = {hashes_step(one, hash_lists(*files)).key("") for one in (HashesParams(), near)}
    assert len(keys) == 2


# Hashes


def row(data):
    image = normalise_image(data, ANY)
    assert isinstance(image, StoredImage)
    return {
        "sha256": hashlib.sha256(image.data).hexdigest(),
        "original_sha256": hashlib.sha256(data).hexdigest(),
        "phash": image.phash,
    }


def judged(files, *rows, **params):
    return reasons(apply(hashes_step(HashesParams(**params), hash_lists(*files)), rows))


def flip(phash, *bits):
    return f"{int(phash, 16) ^ sum(1 << bit for bit in bits):016x}"


@pytest.mark.parametrize("name", ["sha256", "original_sha256"])
def test_a_listed_file_is_rejected_and_no_other(listed, name):
    bad, good = (row(save(picture(seed=seed), "PNG")) for seed in (1, 2))
    files = listed(f"# found in June\n{bad[name].upper()}\n")
    assert judged(files, bad, good) == ["denied:hash", None]


def test_copies_of_a_listed_picture_are_rejected(listed):
    image = picture(size=(800, 600))
    copies = [row(save(image.resize(size), "JPEG", quality=q))
              for size, q in (((800, 600), 60), ((400, 300), 85), ((240, 180), 95))]  # fmt: skip
    other = row(save(picture(size=(800, 600), seed=5), "JPEG"))
    files = listed(row(save(image, "PNG"))["phash"])
    assert judged(files, *copies, other) == ["denied:hash"] * 3 + [None]


def test_the_distance_is_kept_exactly(listed):
    one = row(save(picture(), "PNG"))
    rows = [{**one, "phash": flip(one["phash"], *range(count))} for count in range(8)]
    files = listed(one["phash"])
    kept = judged(files, *rows, alike=ClustersParams(max_distance=5)).count(None)
    assert kept == 2
    assert judged(files, *rows, alike=ClustersParams(max_distance=0)).count(None) == 7


def test_a_hash_that_says_little_rejects_only_what_has_the_same(listed):
    flat = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(flat).ellipse((90, 90, 110, 110), fill="red")
    one = row(save(flat, "PNG"))
    near = {**one, "phash": flip(one["phash"], 63)}
    assert judged(listed(one["phash"]), one, near) == ["denied:hash", None]


def test_a_look_alike_can_be_allowed_but_not_a_listed_file(listed):
    one = row(save(picture(), "PNG"))
    other = {**row(save(picture(), "JPEG", quality=60)), "phash": one["phash"]}
    for allowed in (other["sha256"], other["original_sha256"]):
        assert judged(listed(one["phash"], allowed), one, other) == ["denied:hash", None]
    assert judged(listed(one["phash"], one["phash"]), one, other) == [None, None]
    assert judged(listed(one["sha256"], one["sha256"]), one) == ["denied:hash"]


def test_rows_without_a_hash_pass(listed):
    files = listed("0" * 64 + "\n" + "a" * 16)
    assert judged(files, {"sha256": None, "original_sha256": None, "phash": None}) == [None]
    assert judged(((), ()), row(save(picture(), "PNG"))) == [None]


@pytest.mark.parametrize(
    "line", ["a" * 63, "a" * 32, "g" * 64, "a" * 64 + " x.jpg", "0x" + "a" * 16]
)
def test_a_line_that_is_no_hash_is_named(listed, line):
    with pytest.raises(ListError, match=r"deny\.txt, line 2: .* is not a SHA-256"):
        hash_lists(*listed("\n" + line))


@given(st.sets(st.from_regex(r"[0-9a-f]{64}|[0-9a-f]{16}", fullmatch=True), max_size=9))
def test_lists_read_back_as_they_were_written(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("lists") / "list"
    path.write_text(
        "\r\n".join(f"{entry.upper()}  # {number}" for number, entry in enumerate(entries))
    )
    assert read_hashes([path]) == entries
