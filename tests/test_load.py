"""`load_mella` over folders and web servers: what it yields, what it reads, what it refuses."""

import hashlib
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mella import FormatError, RepositoryError, UnknownNameError, WhereError, load_mella
from mella.cache import RangeCache
from mella.errors import OptionError
from mella.index import read_index, write_index
from mella.manifest import MANIFEST, Manifest
from mella.plan import COLUMNS
from mella.schema import METADATA
from mella.shards import encode_sample
from repositories import Cell, Sample, build, manifest_of, sample, samples, serve, stored_order

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("culture", "th", "test"): samples("culture", "th", 2, salt="test"),
    ("culture", "sr", "train"): samples("culture", "sr", 4),
    ("linguistics", "th", "train"): samples("linguistics", "th", 3),
    ("linguistics", "ko", "train"): samples("linguistics", "ko", 3),
}
TRAIN = {cell: stored for cell, stored in CELLS.items() if cell[2] == "train"}
TH_SHARD = "culture/th/culture-th-train-00001-of-00002.tar"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of `datasets`, empty for each test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def copy(repo: Path, tmp_path: Path) -> Path:
    """A repository of its own for a test to damage."""
    return Path(shutil.copytree(repo, tmp_path / "copy"))


def raw(*args: Any, **options: Any) -> list[dict[str, Any]]:
    return list(load_mella(*args, decode=False, **options))


def keys(*args: Any, **options: Any) -> list[str]:
    return [row["key"] for row in load_mella(*args, columns=["key"], **options)]


def keys_of(stored: list[Sample]) -> list[str]:
    return [one.key for one in stored]


def as_row(stored: Sample) -> dict[str, Any]:
    """A sample as it is loaded without decoding, its columns in order."""
    values = {"image": {"bytes": stored.image, "path": f"{stored.key}.jpg"}, **stored.metadata}
    return {name: values[name] for name in COLUMNS}


def size_in_shard(stored: Sample) -> int:
    return encode_sample(stored.image, stored.metadata)[0]["nbytes"]


# What is yielded.


@pytest.mark.parametrize("streaming", [True, False])
def test_every_sample_comes_whole_and_in_order(repo: Path, *, streaming: bool) -> None:
    found = raw("all", repo=repo, streaming=streaming)
    wanted = [as_row(one) for one in stored_order(TRAIN)]
    assert found == wanted
    assert [list(row) for row in found] == [list(COLUMNS)] * len(wanted)


@pytest.mark.parametrize("streaming", [True, False])
def test_columns_have_the_types_of_the_schema(repo: Path, *, streaming: bool) -> None:
    loaded = load_mella("th", repo=repo, streaming=streaming)
    kind = datasets.IterableDataset if streaming else datasets.Dataset
    assert isinstance(loaded, kind)
    assert loaded.split == "train"
    assert loaded.features["image"] == datasets.Image()
    types = {name: feature.dtype for name, feature in loaded.features.items() if name != "image"}
    assert types == {
        **dict.fromkeys(METADATA.names, "string"),
        **dict.fromkeys(("width", "height"), "int32"),
        "bytes": "int64",
        **{name: "float64" for name in METADATA.names if name.endswith("_score")},
    }
    assert list(loaded.features) == list(COLUMNS)


@pytest.mark.parametrize("streaming", [True, False])
def test_an_image_is_decoded(repo: Path, *, streaming: bool) -> None:
    loaded = load_mella("th", "culture", repo=repo, streaming=streaming)
    for row, one in zip(loaded, stored_order(CELLS)[6:], strict=False):
        assert row["image"].size == (row["width"], row["height"])
        with PIL.Image.open(io.BytesIO(one.image)) as image:
            assert row["image"].tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("lang", "source", "cells"),
    [
        ("th", "culture", [("culture", "th")]),
        ("th", "both", [("culture", "th"), ("linguistics", "th")]),
        ("ko", "both", [("linguistics", "ko")]),
        (["ko", "th"], "both", [("culture", "th"), ("linguistics", "ko"), ("linguistics", "th")]),
        (("th", "th"), "culture", [("culture", "th")]),
        (iter(["sr", "th"]), "culture", [("culture", "sr"), ("culture", "th")]),
        ("all", "linguistics", [("linguistics", "ko"), ("linguistics", "th")]),
    ],
)
def test_languages_and_sources_are_chosen(
    repo: Path, lang: Any, source: str, cells: list[tuple[str, str]]
) -> None:
    wanted = {cell: TRAIN[cell] for cell in TRAIN if cell[:2] in cells}
    assert keys(lang, source, repo=repo) == keys_of(stored_order(wanted))


def test_a_split_is_chosen(repo: Path) -> None:
    assert keys("th", repo=repo, split="test") == keys_of(CELLS["culture", "th", "test"])
    assert load_mella("th", repo=repo, split="test").split == "test"
    assert load_mella("th", repo=repo, split="test", streaming=False).split == "test"


def test_all_has_languages_that_only_the_repository_knows(copy: Path) -> None:
    text = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(text.replace('"lang": "ko"', '"lang": "xx"'))
    stored = stored_order({cell: TRAIN[cell] for cell in TRAIN if cell[0] == "linguistics"})
    assert sorted(keys("all", "linguistics", repo=copy)) == sorted(keys_of(stored))


def test_columns_are_chosen(repo: Path) -> None:
    th = stored_order({("culture", "th", "train"): CELLS["culture", "th", "train"]})
    for streaming in (True, False):
        rows = list(
            load_mella(
                "th",
                "culture",
                repo=repo,
                columns=("quality_score", "text", "text"),
                streaming=streaming,
            )
        )
        assert rows == [
            {"text": one.metadata["text"], "quality_score": one.metadata["quality_score"]}
            for one in th
        ]
    only = list(load_mella("th", "culture", repo=repo, columns=["image"], decode=False))
    assert only == [{"image": as_row(one)["image"]} for one in th]
    assert [row["text"] for row in load_mella("th", "culture", repo=repo, columns="text")] == [
        one.metadata["text"] for one in th
    ]


# Filters.


@pytest.mark.parametrize("streaming", [True, False])
def test_a_filter_keeps_the_samples_it_holds_for(repo: Path, *, streaming: bool) -> None:
    wanted = [
        as_row(one)
        for one in stored_order(TRAIN)
        if one.metadata["category"] == "food" and one.metadata["quality_score"] < 0.4
    ]
    assert wanted
    for where in (
        "category == 'food' and quality_score < 0.4",
        (pc.field("category") == "food") & (pc.field("quality_score") < 0.4),
    ):
        assert raw("all", repo=repo, where=where, streaming=streaming) == wanted


def test_serbian_is_chosen_by_its_script(repo: Path) -> None:
    stored = stored_order({("culture", "sr", "train"): CELLS["culture", "sr", "train"]})
    for script, letters in (("Cyrl", "Манастир"), ("Latn", "Manastir")):
        rows = raw("sr", repo=repo, where=f"script == '{script}'")
        assert [row["key"] for row in rows] == [
            one.key for one in stored if one.metadata["script"] == script
        ]
        assert len(rows) == 2
        assert all(row["text"].startswith(letters) for row in rows)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_filter_that_holds_for_none_gives_an_empty_data_set(
    repo: Path, *, streaming: bool
) -> None:
    loaded = load_mella("th", repo=repo, where="width > 9000", streaming=streaming)
    assert list(loaded) == []
    assert loaded.split == "train"
    assert loaded.features == load_mella("th", repo=repo).features


def test_takedowns_are_never_yielded(tmp_path: Path) -> None:
    stored = CELLS["culture", "th", "train"]
    gone = [stored[0].key, stored[3].key, "unknown"]
    repo = build(tmp_path / "r", {("culture", "th", "train"): stored}, tombstones=gone)
    left = [key for key in keys_of([*stored[::2], *stored[1::2]]) if key not in gone]
    for streaming in (True, False):
        assert keys("th", repo=repo, streaming=streaming) == left
        rows = raw("th", repo=repo, streaming=streaming)
        assert [row["key"] for row in rows] == left
    everything = build(
        tmp_path / "all", {("culture", "th", "train"): stored}, tombstones=keys_of(stored)
    )
    assert list(load_mella("th", repo=everything)) == []


# What is read: a web server counts.


def test_a_filter_comes_before_any_image_byte(repo: Path) -> None:
    chosen = stored_order({("culture", "th", "train"): CELLS["culture", "th", "train"]})[1]
    with serve(repo) as server:
        loaded = load_mella("th", "culture", repo=server.url, where=f"key == '{chosen.key}'")
        assert server.read(".tar") == {}
        assert [row["key"] for row in loaded] == [chosen.key]
        # The one sample, to the byte, from the one shard that has it.
        assert list(server.read(".tar").values()) == [size_in_shard(chosen)]
        assert list(server.read(".parquet")) == ["/index/culture/th/train.parquet"]


def test_without_the_image_no_shard_is_read(repo: Path) -> None:
    with serve(repo) as server:
        rows = list(load_mella("th", repo=server.url, columns=["text", "key", "width"]))
        assert len(rows) == 10
        assert server.read(".tar") == {}
        assert sorted(server.read("")) == [
            "/index/culture/th/train.parquet",
            "/index/linguistics/th/train.parquet",
            "/manifest.json",
        ]


def test_a_piece_is_read_when_it_is_needed(tmp_path: Path) -> None:
    # 200 KB an image, in pieces of about 8 MB.
    stored = samples("culture", "th", 60, side=480)
    repo = build(tmp_path, {("culture", "th", "train"): stored}, shards=1)
    size = sum(map(size_in_shard, stored))
    with serve(repo) as server:
        loaded = load_mella("th", repo=server.url, decode=False)
        assert loaded.num_shards == -(-size // (8 << 20)) == 2
        rows = iter(loaded)
        next(rows)
        (first,) = server.read(".tar").values()
        assert first < size
        assert len([*rows]) == 59
        (all_of_it,) = server.read(".tar").values()
        assert all_of_it == size
        requests = [seen for seen in server.requests if seen.path.endswith(".tar")]
        assert len(requests) <= 2 * -(-(8 << 20) // (2 << 20))


def test_neighbours_are_read_together_and_strangers_are_not(tmp_path: Path) -> None:
    stored = samples("culture", "th", 60, side=480)
    repo = build(tmp_path, {("culture", "th", "train"): stored}, shards=1)
    wanted = [*stored[:2], stored[30]]
    where = f"key in {keys_of(wanted)!r}"
    with serve(repo) as server:
        assert raw("th", repo=server.url, where=where) == [as_row(one) for one in wanted]
        sent = sorted(seen.sent for seen in server.requests if seen.path.endswith(".tar"))
        alone, together = size_in_shard(stored[30]), sum(map(size_in_shard, stored[:2]))
        assert sent == [alone, together]


def test_a_server_without_ranges_gives_the_same_rows(repo: Path) -> None:
    with serve(repo, ranges=False) as server:
        found = raw("all", repo=server.url, where="width == 24")
    assert found == raw("all", repo=repo, where="width == 24")
    assert len(found) == 10


# What is refused, before anything is opened.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lang": "xx"}, "Unknown language 'xx'. Known: ar, cs, hu, ko, ru, sr, th, vi"),
        ({"lang": ["th", "tha"]}, "Unknown language 'tha'. Did you mean 'th'"),
        ({"lang": []}, "Unknown language"),
        ({"lang": "th", "source": "cultural"}, "Unknown source 'cultural'. Did you mean 'culture'"),
        ({"lang": "th", "source": "all"}, "Known: both, culture, linguistics"),
        ({"lang": "th", "split": "dev"}, "Unknown split 'dev'. Known: test, train, validation"),
        ({"lang": "th", "columns": ["txt"]}, "Unknown column 'txt'. Did you mean 'text'"),
        ({"lang": "th", "columns": ["jpg_offset"]}, "Unknown column 'jpg_offset'"),
        ({"lang": "th", "columns": []}, "Unknown column .*none.*Known: "),
        ({"lang": "th", "where": "widht > 3"}, "Unknown column 'widht'. Did you mean 'width'"),
    ],
)
def test_unknown_names_are_refused_first(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_mella(repo="nosuch://place", **options)


def test_a_filter_that_is_none_is_refused_first() -> None:
    with pytest.raises(WhereError, match="where='width >' is not a filter"):
        load_mella("th", repo="nosuch://place", where="width >")
    with pytest.raises(WhereError, match="not a filter"):
        load_mella("th", repo="nosuch://place", where=pc.field("width") == "wide")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"lang": "vi"},
            r"has no samples in split 'train' for vi\. It has: culture train: sr th; culture ",
        ),
        ({"lang": ["th", "vi", "ar"]}, "for ar, vi"),
        ({"lang": "sr", "source": "linguistics"}, "no linguistics samples .* for sr"),
        ({"lang": "sr", "split": "test"}, "no samples in split 'test' for sr"),
        ({"lang": "all", "split": "validation"}, "'validation' for any language. It has: "),
    ],
)
def test_what_the_repository_lacks_is_named_with_what_it_has(
    repo: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RepositoryError, match=message):
        load_mella(repo=repo, **options)


def test_an_empty_repository_says_so(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(Manifest().to_json())
    with pytest.raises(RepositoryError, match="It has: nothing"):
        load_mella("all", repo=tmp_path)


# Damage: what comes before it is yielded, then an error names the shard and the key.


def until_error(
    repo: Path, error: type[Exception], *, streaming: bool
) -> tuple[list[str], Exception]:
    found: list[str] = []
    with pytest.raises(error) as caught:
        found.extend(
            row["key"] for row in load_mella("th", "culture", repo=repo, streaming=streaming)
        )
    return found, caught.value


def order_of_th() -> list[Sample]:
    stored = CELLS["culture", "th", "train"]
    return [*stored[::2], *stored[1::2]]  # shard 0 has four, shard 1 three


@pytest.mark.parametrize("streaming", [True, False])
def test_a_missing_shard_is_named(copy: Path, *, streaming: bool) -> None:
    (copy / TH_SHARD).unlink()
    found, error = until_error(copy, RepositoryError, streaming=streaming)
    assert found == (keys_of(order_of_th()[:4]) if streaming else [])
    assert f"{copy} has no {TH_SHARD}. The manifest names it" in str(error)


@pytest.mark.parametrize("left", [0, 700, 5000])
def test_a_shard_cut_short_is_named_with_the_sample(copy: Path, left: int) -> None:
    content = (copy / TH_SHARD).read_bytes()
    (copy / TH_SHARD).write_bytes(content[:left])
    index = read_index((copy / "index/culture/th/train.parquet").read_bytes(), "index")
    ends = pc.add(index["offset"], index["nbytes"]).to_pylist()[4:]
    whole = 4 + sum(end <= left for end in ends)
    found, error = until_error(copy, FormatError, streaming=True)
    assert found == keys_of(order_of_th()[:whole])
    cut = rf"{copy}/{TH_SHARD} is cut short at sample {order_of_th()[whole].key}\. Fetch or build"
    assert re.match(cut, str(error))
    # Where shards are fetched whole, their size is checked first.
    found, error = until_error(copy, FormatError, streaming=False)
    assert found == []
    assert f"{TH_SHARD} is not the file that the manifest names" in str(error)


@pytest.mark.parametrize("streaming", [True, False])
def test_a_changed_byte_is_named_with_the_sample(copy: Path, *, streaming: bool) -> None:
    victim = order_of_th()[5]
    content = (copy / TH_SHARD).read_bytes()
    place = content.index(victim.image) + 40
    changed = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    (copy / TH_SHARD).write_bytes(changed)
    found, error = until_error(copy, FormatError, streaming=streaming)
    assert found == keys_of(order_of_th()[:5])
    assert f"{TH_SHARD} has other bytes than the index says at sample {victim.key}" in str(error)


def test_damaged_samples_are_left_out_and_named_where_that_is_asked_for(copy: Path) -> None:
    victim = order_of_th()[5]
    content = (copy / TH_SHARD).read_bytes()
    (copy / TH_SHARD).write_bytes(content.replace(victim.image, victim.image[::-1]))
    with pytest.warns(UserWarning, match=f"Sample {victim.key} of culture/th is left out: .*other"):
        found = keys_of_rows(load_mella("th", "culture", repo=copy, on_error="skip", decode=False))
    assert found == [key for key in keys_of(order_of_th()) if key != victim.key]


def test_images_that_cannot_be_decoded_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    good = samples("culture", "th", 5)
    bad = sample("culture", "th", good[2].image[:-200], "ภาพครึ่งเดียว")
    cells = {("culture", "th", "train"): [*good[:2], bad, *good[3:]]}
    repo = build(tmp_path / "repo", cells)
    with pytest.warns(UserWarning, match=f"Sample {bad.key} of culture/th is left out: .*tar at"):
        found = keys_of_rows(load_mella("th", "culture", repo=repo, on_error="skip"))
    assert sorted(found) == sorted(one.key for one in good if one is not good[2])


def test_options_of_streaming_are_refused_without_it(repo: Path, tmp_path: Path) -> None:
    for options in ({"on_error": "skip"}, {"cache": RangeCache(tmp_path, 1 << 20)}):
        with pytest.raises(OptionError, match="are for streaming"):
            load_mella("th", repo=repo, streaming=False, **options)


def keys_of_rows(rows: Any) -> list[str]:
    return [row["key"] for row in rows]


def with_index(folder: Path, column: str, values: list[Any]) -> Path:
    """Give the Thai index other values in one column, and the manifest that belongs to it."""
    path = folder / "index/culture/th/train.parquet"
    table = read_index(path.read_bytes(), str(path))
    place = table.column_names.index(column)
    field = table.schema.field(column)
    write_index(table.set_column(place, field, pa.array(values, field.type)), path)
    data = path.read_bytes()
    before = manifest_of(folder)
    indexes = [
        replace(entry, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        if entry.path == "index/culture/th/train.parquet"
        else entry
        for entry in before.indexes
    ]
    (folder / MANIFEST).write_text(replace(before, indexes=tuple(indexes)).to_json())
    return folder


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("shard", ["/etc/passwd"] * 7, "points to the shard '/etc/passwd', not in the manifest"),
        ("shard", ["culture/th/x.tar"] * 7, "points to the shard 'culture/th/x.tar'"),
        ("offset", [-512] * 7, "points outside the .* bytes of the shard culture/th/"),
        ("offset", [2**62] * 7, "points outside"),
        ("nbytes", [2**40] * 7, "points outside"),
        ("nbytes", [2**63 - 1] * 7, "points outside"),
        ("nbytes", [-1] * 7, "points outside"),
        ("nbytes", [0] * 7, "points outside"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(
    copy: Path, column: str, values: list[Any], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        load_mella("th", repo=with_index(copy, column, values))


@pytest.mark.parametrize("shards", [0, 1])
def test_an_index_without_rows_is_read(tmp_path: Path, shards: int) -> None:
    empty = build(tmp_path, {("culture", "th", "train"): []}, shards=shards)
    assert list(load_mella("th", repo=empty)) == []


# Map-style: no copy is made, so what is read is what is there.


def test_no_copy_is_made(repo: Path, copy: Path, cache: Path) -> None:
    first = raw("th", repo=repo, streaming=False)
    assert raw("th", repo=copy, streaming=False) == first
    assert not [*cache.rglob("*.arrow")]


def test_other_questions_have_other_answers(repo: Path) -> None:
    everything = raw("th", repo=repo, streaming=False)
    assert raw("th", repo=repo, streaming=False, where="width == 24") == [
        row for row in everything if row["width"] == 24
    ]
    assert raw("th", "culture", repo=repo, streaming=False) == [
        row for row in everything if row["source"] == "culture"
    ]
    assert list(load_mella("th", repo=repo, streaming=False, columns=["key"])) == [
        {"key": row["key"]} for row in everything
    ]
    decoded = load_mella("th", repo=repo, streaming=False)[0]["image"]
    assert decoded.size == (24, 24)
    assert load_mella("th", repo=repo, streaming=False, split="test").split == "test"


@pytest.mark.parametrize(
    "changed", [{"license": "CC0-1.0"}, {"quality_score": 0.75}, {"category": None}]
)
def test_a_folder_built_anew_is_read_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    cell = ("culture", "th", "train")
    folder = build(tmp_path / "r", {cell: CELLS[cell]})
    before = raw("th", repo=folder, streaming=False)
    shutil.rmtree(folder)
    build(folder, {cell: [Sample(one.image, {**one.metadata, **changed}) for one in CELLS[cell]]})
    after = raw("th", repo=folder, streaming=False)
    assert after == [{**row, **changed} for row in before]


def test_a_takedown_reaches_what_was_loaded_before(tmp_path: Path) -> None:
    cell = ("culture", "th", "train")
    folder = build(tmp_path / "r", {cell: CELLS[cell]})
    assert len(raw("th", repo=folder, streaming=False)) == 7
    build(folder, {cell: CELLS[cell]}, tombstones=[CELLS[cell][0].key])
    assert len(raw("th", repo=folder, streaming=False)) == 6


def test_a_shard_that_is_mended_is_read(copy: Path) -> None:
    content = (copy / TH_SHARD).read_bytes()
    (copy / TH_SHARD).write_bytes(content[:3000])
    with pytest.raises(FormatError):
        load_mella("th", "culture", repo=copy, streaming=False)
    (copy / TH_SHARD).write_bytes(content)
    assert len(raw("th", "culture", repo=copy, streaming=False)) == 7
