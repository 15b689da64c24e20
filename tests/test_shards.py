"""Shards: what is written is read back, by mella and by others, and damage is named."""

import hashlib
import io
import json
import os
import tarfile
import unicodedata
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st

from mella.errors import FormatError
from mella.schema import METADATA
from mella.shards import (
    BLOCK,
    ShardWriter,
    encode_sample,
    index_path,
    read_shard,
    sample_key,
    shard_path,
)
from mella.shards import Sample as Stored
from repositories import Sample, samples

THREE = samples("culture", "th", 3)


FIXED = Sample(
    b"any bytes",
    {
        **dict.fromkeys(METADATA.names),
        "key": "k0",
        "lang": "th",
        "source": "culture",
        "text": "ช้าง",
        "width": 2,
        "height": 3,
        "bytes": 9,
        "sha256": hashlib.sha256(b"any bytes").hexdigest(),
        "language_score": 0.25,
    },
)


def write(path: Path, stored: Iterable[Sample]) -> list[dict[str, int]]:
    with ShardWriter(path) as writer:
        return [writer.write(image, metadata) for image, metadata in stored]


def tar(stored: Iterable[Sample]) -> bytes:
    """The bytes of a shard."""
    blocks = (encode_sample(image, metadata)[1] for image, metadata in stored)
    return b"".join(blocks) + bytes(2 * BLOCK)


def tar_of(*members: tuple[str, bytes]) -> bytes:
    """A tar with any members, headed just as mella does."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    # tarfile fills up to 10 KB.
    content = file.getvalue().rstrip(b"\0")
    return content + bytes(-len(content) % BLOCK + 2 * BLOCK)


def members(stored: Sample, **changed: bytes) -> list[tuple[str, bytes]]:
    """The members of a sample as they lie in a shard, some changed."""
    document = json.dumps(stored.metadata, ensure_ascii=False).encode()
    text = stored.metadata["text"].encode()
    contents = {"jpg": stored.image, "txt": text, "json": document, **changed}
    return [(f"{stored.key}.{member}", content) for member, content in contents.items()]


def read(path: Path, content: bytes) -> list[Sample]:
    path.write_bytes(content)
    return [Sample(one.image, one.metadata) for one in read_shard(path)]


_VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    pa.int32(): st.integers(0, 2**31 - 1),
    pa.int64(): st.integers(0, 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
}


@st.composite
def any_samples(draw: st.DrawFn) -> list[Sample]:
    """All that the format allows: any bytes as an image, any values, different keys."""
    made = []
    for image in draw(st.lists(st.binary(max_size=1100), max_size=4, unique=True)):
        values = {
            column.name: draw(
                _VALUES[column.type] | (st.none() if column.nullable else st.nothing())
            )
            for column in METADATA
        }
        text = unicodedata.normalize("NFC", str(values["text"]))
        sha256 = hashlib.sha256(image).hexdigest()
        key = sample_key("culture", "th", sha256, text)
        true = {"key": key, "text": text, "bytes": len(image), "sha256": sha256}
        made.append(Sample(image, {**values, **true}))
    return made


# What is written is read.


@given(stored=any_samples())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, stored: list[Sample]
) -> None:
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    write(path, stored)
    back = list(read_shard(path))
    assert [Sample(one.image, one.metadata) for one in back] == stored
    assert [(one.key, one.text) for one in back] == [(s.key, s.metadata["text"]) for s in stored]


@given(stored=any_samples())
def test_tarfile_reads_the_same_members(stored: list[Sample]) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(stored))) as archive:
        infos = archive.getmembers()
        contents = [(info.name, archive.extractfile(info).read()) for info in infos]  # type: ignore[union-attr]
    wanted = [
        (f"{one.key}.{member}", content)
        for one in stored
        for member, content in (("jpg", one.image), ("txt", one.metadata["text"].encode()))
    ]
    assert [one for one in contents if not one[0].endswith(".json")] == wanted
    documents = [json.loads(content) for name, content in contents if name.endswith(".json")]
    assert documents == [one.metadata for one in stored]
    assert [list(document) for document in documents] == [METADATA.names] * len(stored)
    plain = {(i.mode, i.uid, i.gid, i.mtime, i.uname, i.type) for i in infos}
    assert plain <= {(0o644, 0, 0, 0, "", tarfile.REGTYPE)}


@given(stored=any_samples())
def test_the_location_is_where_the_bytes_lie(
    tmp_path_factory: pytest.TempPathFactory, stored: list[Sample]
) -> None:
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    locations = write(path, stored)
    content = path.read_bytes()
    at = 0
    for one, where in zip(stored, locations, strict=True):
        assert where["offset"] == at
        at += where["nbytes"]
        found = {
            member: content[where[f"{member}_offset"] :][: where[f"{member}_size"]]
            for member in ("jpg", "txt", "json")
        }
        assert (found["jpg"], found["txt"].decode()) == (one.image, one.metadata["text"])
        assert json.loads(found["json"]) == one.metadata
    assert content[at:] == bytes(2 * BLOCK)


def test_webdataset_reads_the_same_samples(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", THREE)
    found = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [(one["__key__"], one["jpg"]) for one in found] == [(s.key, s.image) for s in THREE]
    assert [one["txt"].decode() for one in found] == [s.metadata["text"] for s in THREE]
    assert [json.loads(one["json"]) for one in found] == [s.metadata for s in THREE]
    assert {tuple(name for name in one if "__" not in name) for one in found} == {
        ("jpg", "txt", "json")
    }


@pytest.mark.parametrize("streaming", [True, False])
def test_datasets_reads_the_same_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, streaming: bool
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write(tmp_path / "a.tar", THREE)
    loaded = datasets.load_dataset(
        "webdataset", data_files=[str(tmp_path / "a.tar")], split="train", streaming=streaming
    )
    found = list(loaded.cast_column("jpg", datasets.Image(decode=False)))
    assert [(one["__key__"], one["jpg"]["bytes"]) for one in found] == [
        (s.key, s.image) for s in THREE
    ]
    assert [one["txt"] for one in found] == [s.metadata["text"] for s in THREE]
    assert [one["json"] for one in found] == [s.metadata for s in THREE]
    assert all(
        one["jpg"].size == (s.metadata["width"],) * 2 for one, s in zip(loaded, THREE, strict=True)
    )


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    reordered = [Sample(s.image, dict(reversed(s.metadata.items()))) for s in THREE]
    for name, stored in (("a.tar", THREE), ("b.tar", reordered)):
        write(tmp_path / name, stored)
    first = (tmp_path / "a.tar").read_bytes()
    assert (tmp_path / "b.tar").read_bytes() == first
    write(tmp_path / "a.tar", THREE)
    assert (tmp_path / "a.tar").read_bytes() == first


def test_the_bytes_of_a_shard_stay_what_they_are() -> None:
    # Where they change, shards that were published cannot be built again: a new format version.
    digest = hashlib.sha256(tar([FIXED])).hexdigest()
    assert digest == "f5447267543c3e907f3015c48e1afd33941cb93f1335eeb8ff108929e9743c6b"


def test_the_writer_knows_size_hash_and_count(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "new" / "a.tar") as writer:
        for image, metadata in THREE:
            writer.write(image, metadata)
    content = (tmp_path / "new" / "a.tar").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert (writer.samples, writer.nbytes, writer.sha256) == (3, len(content), digest)


def test_an_empty_shard_is_a_tar_without_members(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", [])
    assert list(read_shard(tmp_path / "a.tar")) == []
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == []


def test_paths_say_what_a_file_holds() -> None:
    assert shard_path("culture", "th", "train", 3, 16) == (
        "culture/th/culture-th-train-00003-of-00016.tar"
    )
    assert index_path("linguistics", "sr", "test") == "index/linguistics/sr/test.parquet"


def test_a_key_is_that_of_its_content() -> None:
    hashes = ("ab" * 32, "cd" * 32)
    parts = product(("culture", "linguistics"), ("th", "vi"), hashes, ("text", "text 2"))
    keys = {sample_key(*part) for part in parts}
    assert len(keys) == 2**4
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


# Writing that ends too soon leaves nothing.


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_what_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write(tmp_path / "a.tar", THREE[:1])
    before = (tmp_path / "a.tar").read_bytes()

    def interrupted() -> None:
        with ShardWriter(tmp_path / "a.tar") as writer:
            writer.write(*THREE[1])
            raise error

    with pytest.raises(error):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == before


def test_a_full_disk_at_the_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a.tar", THREE)
    assert list(tmp_path.iterdir()) == []


# What does not follow the format is not written.

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a dot in the key": ({"key": "a.b"}, "A key has .* got 'a.b'"),
    "a slash in the key": ({"key": "../a"}, "A key has"),
    "an empty key": ({"key": ""}, "A key has"),
    "a key of upper case": ({"key": "ABC"}, "A key has"),
    "a long key": ({"key": "a" * 65}, "A key has"),
    "a key that is no text": ({"key": 7}, "A key has"),
    "an unknown column": ({"colour": "red"}, "unknown columns: colour"),
    "no text": ({"text": None}, "Column 'text' of sample .* is a string"),
    "a number as text": ({"license": 4}, "Column 'license' .* or None, got 4"),
    "text as a number": ({"width": "24"}, "Column 'width' .* int32 .* got '24'"),
    "a number too large": ({"width": 2**31}, "Column 'width'"),
    "a negative number": ({"height": -1}, "Column 'height'"),
    "a truth value": ({"width": True}, "Column 'width'"),
    "a whole number as a score": ({"quality_score": 1}, "Column 'quality_score' .* double"),
    "not a number": ({"quality_score": float("nan")}, "Column 'quality_score'"),
    "infinity": ({"quality_score": float("inf")}, "Column 'quality_score'"),
    "half a character": ({"text": "a\ud800"}, "Column 'text'"),
    "text in another normal form": ({"text": "e\u0301"}, "normal form C"),
    "the size of another image": ({"bytes": 5}, "bytes=5, but that of its image is"),
    "the hash of another image": ({"sha256": "00" * 32}, "but that of its image is"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_metadata_that_does_not_follow_the_schema_is_refused(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with ShardWriter(tmp_path / "a.tar") as writer:
        with pytest.raises(FormatError, match=message):
            writer.write(THREE[0].image, {**THREE[0].metadata, **wrong})
        writer.write(*THREE[1])  # the shard goes on without it
    assert [one.key for one in read_shard(tmp_path / "a.tar")] == [THREE[1].key]


def test_a_missing_column_is_named() -> None:
    metadata = dict(THREE[0].metadata)
    del metadata["license"], metadata["width"]
    with pytest.raises(FormatError, match="lacks the columns width, license"):
        encode_sample(THREE[0].image, metadata)


def test_a_key_comes_once(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "a.tar") as writer:
        writer.write(*THREE[0])
        with pytest.raises(FormatError, match=rf"a.tar already has a sample {THREE[0].key}"):
            writer.write(*THREE[0])


# Damage is named, with the shard and the last whole sample.


@given(length=st.integers(0, len(tar(THREE)) - 1))
def test_a_shard_cut_short_gives_its_whole_samples_and_an_error(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    path.write_bytes(tar(THREE)[:length])
    found: list[Stored] = []
    with pytest.raises(FormatError) as caught:
        found.extend(read_shard(path))
    keys = [one.key for one in THREE]
    assert [one.key for one in found] == keys[: len(found)]
    last = keys[len(found) - 1] if found else "none"
    assert str(caught.value).startswith(f"{path}: ")
    assert f"Last whole sample: {last}." in str(caught.value)


@given(data=st.data())
def test_a_changed_byte_never_passes_for_an_image_or_text(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(tar(THREE))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("shards") / "a.tar"
    try:
        found = read(path, bytes(content))
    except FormatError:
        return
    # The change fell on a value in the JSON, which nothing in a shard vouches for.
    assert [(s.key, s.image, s.metadata["text"]) for s in found] == [
        (s.key, s.image, s.metadata["text"]) for s in THREE
    ]


FIRST, SECOND, THIRD = (members(one) for one in THREE)
DAMAGED: dict[str, tuple[bytes, str]] = {
    "a member missing": (
        tar_of(*FIRST, *SECOND[:2], *THIRD),
        "Expected the members jpg, txt, json",
    ),
    "the last member missing": (tar_of(*FIRST, *SECOND[:2]), "Expected the members"),
    "another order": (tar_of(*FIRST, SECOND[1], SECOND[0], SECOND[2]), "Expected the members"),
    "another kind of member": (
        tar_of(*FIRST, (f"{THREE[1].key}.png", b""), *SECOND[1:]),
        "Expected the members .* found .*png",
    ),
    "members of two keys": (tar_of(*FIRST, SECOND[0], THIRD[1], SECOND[2]), "Expected the members"),
    "a folder in the name": (
        tar_of(*FIRST, *((f"x/{name}", content) for name, content in SECOND)),
        "another key or text",
    ),
    "a text that is not UTF-8": (
        tar_of(*FIRST, *members(THREE[1], txt=b"\xff\xfe")),
        "is unreadable: .*utf-8",
    ),
    "another text": (tar_of(*FIRST, *members(THREE[1], txt=b"other")), "another key or text"),
    "metadata that is not JSON": (
        tar_of(*FIRST, *members(THREE[1], json=b"{")),
        "is unreadable: Expecting",
    ),
    "metadata nested too deep": (
        tar_of(*FIRST, *members(THREE[1], json=b"[" * 100_000)),
        "is unreadable: .*recursion",
    ),
    "metadata that is no object": (
        tar_of(*FIRST, *members(THREE[1], json=b"[]")),
        "no.* JSON object",
    ),
    "metadata that is empty": (
        tar_of(*FIRST, *members(THREE[1], json=b"{}")),
        "lacks the columns key, lang",
    ),
    "a number that is too large": (
        tar_of(
            *FIRST,
            *members(
                THREE[1],
                json=json.dumps({**THREE[1].metadata, "width": 10**400}).encode(),
            ),
        ),
        "Column 'width'",
    ),
    "another image": (
        tar_of(*FIRST, *members(THREE[1], jpg=THREE[2].image)),
        "but that of its image",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_wrong_members_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    shard = read_shard(path)
    assert next(shard).key == THREE[0].key
    with pytest.raises(FormatError, match=message) as caught:
        next(shard)
    assert str(caught.value).startswith(f"{path}: ")
    assert f"Last whole sample: {THREE[0].key}." in str(caught.value)


def with_header(header: bytes) -> bytes:
    """A shard whose second sample has this first header, with a checksum that fits."""
    content = tar(THREE[1:])
    blank = header[:148] + b" " * 8 + header[156:]
    header = header[:148] + b"%06o\0 " % sum(blank) + header[156:]
    return tar(THREE[:1])[: -2 * BLOCK] + header + content[BLOCK:]


HEADER = tar(THREE[1:])[:BLOCK]
HEADERS = {
    "a size that is no number": HEADER[:124] + b"twelve bytes" + HEADER[136:],
    "a negative size": HEADER[:124] + b"-0000000001\0" + HEADER[136:],
    "a size with an underscore": HEADER[:124] + b"0000000_100\0" + HEADER[136:],
    "a binary size": HEADER[:124] + b"\x80" + bytes(10) + b"\x40" + HEADER[136:],
    "a name that is not UTF-8": b"\xff" * 100 + HEADER[100:],
    "a symbolic link": HEADER[:156] + b"2" + b"/etc/passwd".ljust(100, b"\0") + HEADER[257:],
    "a folder": HEADER[:156] + b"5" + HEADER[157:],
    "a prefix to the name": HEADER[:345] + b"other".ljust(155, b"\0") + HEADER[500:],
    "another owner": HEADER[:108] + b"0001000\0" + HEADER[116:],
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_of_another_program_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "a.tar"
    assert read(path, with_header(HEADER)) == THREE
    path.write_bytes(with_header(header))
    shard = read_shard(path)
    assert next(shard).key == THREE[0].key
    with pytest.raises(FormatError, match=f"after member {THREE[0].key}.json is damaged or"):
        next(shard)


def test_a_size_beyond_the_file_is_not_believed(tmp_path: Path) -> None:
    huge = with_header(HEADER[:124] + b"77777777777\0" + HEADER[136:])
    with pytest.raises(FormatError, match=f"cut short inside member {THREE[1].key}.jpg"):
        read(tmp_path / "a.tar", huge)


@pytest.mark.parametrize("junk", [b"", b"\0" * BLOCK, b"not a tar", b"\x1f\x8b" * 600])
def test_what_is_no_tar_is_named(tmp_path: Path, junk: bytes) -> None:
    with pytest.raises(FormatError, match=r"a.tar: The .* Last whole sample: none"):
        read(tmp_path / "a.tar", junk)


def test_what_fills_a_block_is_zeros(tmp_path: Path) -> None:
    content = bytearray(tar(THREE))
    content[-2 * BLOCK - 1] = 1  # the last byte of the last block of the last member
    with pytest.raises(
        FormatError, match=f"Member {THREE[2].key}.json is damaged: it is not padded"
    ):
        read(tmp_path / "a.tar", bytes(content))


def test_a_tar_goes_no_further_than_its_end(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not end in two empty blocks"):
        read(tmp_path / "a.tar", tar(THREE) + b"more")
