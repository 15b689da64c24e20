"""The manifest: it round-trips, and one from a stranger is not believed blindly."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.errors import FormatError, MellaError
from mella.manifest import Entry, Manifest
from mella.schema import FORMAT_VERSION, SOURCES, SPLITS

_names = st.text("abcz019_-", min_size=1, max_size=8)
_entries = st.builds(
    Entry,
    path=st.lists(_names, min_size=1, max_size=4).map("/".join),
    source=st.sampled_from(SOURCES),
    lang=st.sampled_from(["ar", "th"]),
    split=st.sampled_from(SPLITS),
    bytes=st.integers(0, 2**63),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    samples=st.integers(0, 2**40),
)
_manifests = st.builds(
    Manifest,
    shards=st.lists(_entries, max_size=4, unique_by=lambda entry: entry.path).map(tuple),
    indexes=st.lists(_entries, max_size=4, unique_by=lambda entry: entry.cell).map(tuple),
    tombstones=st.none() | _names,
)

SHARD = Entry("culture/th/a-0.tar", "culture", "th", "train", 10, "ab" * 32, 2)
INDEX = Entry("index/culture/th/train.parquet", "culture", "th", "train", 5, "cd" * 32, 2)
WHOLE = Manifest((SHARD,), (INDEX,), "tombstones.parquet")


def read(document: Any) -> Manifest:
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    return Manifest.from_json(text, "here/manifest.json")


def document(**changed: Any) -> dict[str, Any]:
    return {**json.loads(WHOLE.to_json()), **changed}


def shard(**changed: Any) -> dict[str, Any]:
    return document(shards=[{**document()["shards"][0], **changed}])


@given(manifest=_manifests)
def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert read(manifest.to_json()) == manifest
    assert read(manifest.to_json().encode()) == manifest
    assert read(manifest.to_json()).to_json() == manifest.to_json()


def test_the_text_reads_well_in_a_diff() -> None:
    lines = WHOLE.to_json().splitlines()
    assert ' "format": "mella",' in lines
    assert f' "format_version": "{FORMAT_VERSION}",' in lines
    assert '   "path": "culture/th/a-0.tar",' in lines
    assert WHOLE.to_json().endswith("}\n")


def test_cells_name_the_indexes() -> None:
    test = replace(INDEX, path="index/culture/th/test.parquet", split="test")
    manifest = Manifest((SHARD,), (INDEX, test))
    assert manifest.cells() == [("culture", "th", "test"), ("culture", "th", "train")]
    assert manifest.index("culture", "th", "test") == test
    assert manifest.index("culture", "vi", "test") is None


def cell(source: str, lang: str, name: str = "0") -> tuple[Entry, Entry]:
    """A shard and the index of one cell."""
    return (
        replace(SHARD, path=f"{source}/{lang}/{name}.tar", source=source, lang=lang),
        replace(INDEX, path=f"index/{source}/{lang}/train.parquet", source=source, lang=lang),
    )


def test_the_languages_of_one_source_are_replaced_and_all_else_kept() -> None:
    th, vi, other = cell("culture", "th"), cell("culture", "vi"), cell("linguistics", "th")
    shards, indexes = zip(th, vi, other, strict=True)
    before = Manifest(shards, indexes, "tombstones.parquet")
    new = cell("culture", "th", "new")
    after = before.with_cells([new[0]], [new[1]], "culture", ["th", "ko"])
    assert after == replace(before, shards=(new[0], vi[0], other[0]))
    assert before.with_cells([], [], "culture", ["th"]) == replace(
        before, shards=(vi[0], other[0]), indexes=(vi[1], other[1])
    )


def test_a_newer_minor_version_is_read_and_what_it_adds_passed_over() -> None:
    newer = shard(colour="red") | {"format_version": "1.7", "licence": "CC0-1.0"}
    assert read(newer) == replace(WHOLE, format_version="1.7")


def test_a_newer_major_version_asks_for_a_newer_mella() -> None:
    with pytest.raises(FormatError, match=r"2\.0; this package reads 1\.0.*pip install -U mella"):
        read(document(format_version="2.0", shards="in another form"))


HOSTILE = [
    "../../etc/passwd",
    "culture/../../x.tar",
    "/etc/passwd",
    "culture//x.tar",
    "culture/./x.tar",
    "culture/x.tar/",
    "",
    ".",
    "..",
    ".hidden",
    "C:/x.tar",
    "culture\\..\\x.tar",
    "http://example.org/x.tar",
    "file:///etc/passwd",
    "culture/%2e%2e/x.tar",
    "culture/x.tar?token=1",
    "culture/x.tar#part",
    "culture/x.tar\n",
    "culture/x\0.tar",
    "~/x.tar",
    "culture/*.tar",
    "culture::zip",
    "culture/\u0e20.tar",
    7,
    None,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_stays_inside_the_repository(path: Any) -> None:
    index = {**document()["indexes"][0], "path": path}
    for wrong in (shard(path=path), document(indexes=[index])):
        with pytest.raises(FormatError, match=r"here/manifest.json is damaged.*not allowed"):
            read(wrong)
    if path is not None:
        with pytest.raises(FormatError, match="not allowed"):
            read(document(tombstones=path))


JUNK: dict[str, tuple[Any, str]] = {
    "nothing": ("", "not JSON"),
    "no JSON": ("{", "not JSON"),
    "no UTF-8": (b"\xff\xfe\xfd", "not JSON"),
    "nested too deep": ("[" * 200_000, "not JSON"),
    "a list": ([], "not the manifest of a mella repository"),
    "a number": (3, "not the manifest of a mella repository"),
    "another manifest": ({"version": 2, "files": []}, "not the manifest of a mella repository"),
    "another format": (document(format="zarr"), "not the manifest of a mella repository"),
    "no version": (document(format_version=None), "no format version, but None"),
    "a number as version": (document(format_version=1.0), "no format version, but 1.0"),
    "a version of another form": (document(format_version="1"), "no format version, but '1'"),
    "no shards": ({k: v for k, v in document().items() if k != "shards"}, "lacks 'shards'"),
    "shards that are no list": (document(shards=3), "damaged"),
    "shards that are null": (document(shards=None), "damaged"),
    "shards that are a text": (document(shards="abc"), "damaged"),
    "a shard that is no object": (document(shards=[3]), "damaged"),
    "a shard without size": (
        document(shards=[{k: v for k, v in document()["shards"][0].items() if k != "bytes"}]),
        "lacks 'bytes'",
    ),
    "a size as text": (shard(bytes="10"), "The bytes of culture/th/a-0.tar is '10'"),
    "a negative size": (shard(bytes=-1), "The bytes of .* is -1"),
    "a size with a fraction": (shard(bytes=1.5), "The bytes of .* is 1.5"),
    "a truth value as count": (shard(samples=True), "The samples of .* is True"),
    "a language that is no text": (shard(lang=["th"]), "The lang of"),
    "a hash that is none": (shard(sha256="abc"), "The sha256 of .* is 'abc'"),
    "a shard twice": (document(shards=document()["shards"] * 2), "a-0.tar' more than once"),
    "a cell twice": (document(indexes=document()["indexes"] * 2), "more than once"),
}


@pytest.mark.parametrize(("junk", "message"), JUNK.values(), ids=JUNK)
def test_what_is_no_manifest_is_named(junk: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read(junk)
    assert str(caught.value).startswith("here/manifest.json ")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(name=st.sampled_from(sorted(document())), value=_json, inside=st.booleans())
def test_any_change_is_read_or_is_an_error_of_mella(name: str, value: Any, *, inside: bool) -> None:
    entry_name = {"format": "path", "shards": "lang", "tombstones": "bytes"}.get(name, "samples")
    changed = shard(**{entry_name: value}) if inside else document(**{name: value})
    try:
        manifest = read(changed)
    except MellaError:
        return
    assert read(manifest.to_json()) == manifest
