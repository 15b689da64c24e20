"""Other readers find in our shards what our own reader finds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import webdataset
import wids

import mella
from mella.export_index import export_index
from mella.schema import METADATA, SOURCES
from mella.shards import Sample, read_shard
from repositories import build, manifest_of, samples

SAMPLE = Path(mella.__file__).parent / "sample"
CELLS = {
    ("culture", "sr", "train"): samples("culture", "sr", 7),
    ("culture", "sr", "test"): samples("culture", "sr", 3, salt="test"),
    ("linguistics", "vi", "train"): samples("linguistics", "vi", 5),
}
COLUMNS = datasets.Features(
    {
        "__key__": datasets.Value("string"),
        "__url__": datasets.Value("string"),
        "jpg": datasets.Image(decode=False),
        "txt": datasets.Value("string"),
        "json": dict(datasets.Features.from_arrow_schema(METADATA)),
    }
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return build(tmp_path / "repo", CELLS)


def shards_of(repo: Path, source: str, split: str = "train") -> list[str]:
    entries = manifest_of(repo).shards
    return [str(repo / e.path) for e in entries if (e.source, e.split) == (source, split)]


def ours(shards: Sequence[str]) -> list[Sample]:
    return [sample for shard in shards for sample in read_shard(Path(shard))]


def with_webdataset(shards: Sequence[str]) -> list[Sample]:
    stream = webdataset.WebDataset(list(shards), shardshuffle=False, empty_check=False)
    return [
        Sample(one["__key__"], one["jpg"], one["txt"].decode(), json.loads(one["json"]))
        for one in stream
    ]


def with_datasets(shards: Sequence[str], *, streaming: bool, home: Path) -> list[Sample]:
    rows: Any = datasets.load_dataset(
        "webdataset",
        data_files={"train": list(shards)},
        split="train",
        features=COLUMNS,
        streaming=streaming,
        cache_dir=str(home),
    )
    return [Sample(one["__key__"], one["jpg"]["bytes"], one["txt"], one["json"]) for one in rows]


@pytest.mark.parametrize("source", SOURCES)
def test_webdataset_reads_the_embedded_sample(source: str) -> None:
    shards = shards_of(SAMPLE, source)
    found = with_webdataset(shards)
    assert found == ours(shards)
    assert {one.metadata["lang"] for one in found} == {
        "ar",
        "cs",
        "hu",
        "ko",
        "ru",
        "sr",
        "th",
        "vi",
    }


def test_webdataset_decodes(repo: Path) -> None:
    shards = shards_of(repo, "culture")
    decoded = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
    for one, (image, text, metadata) in zip(
        ours(shards), decoded.to_tuple("jpg", "txt", "json"), strict=True
    ):
        assert image.size == (one.metadata["width"], one.metadata["height"])
        assert (text, metadata) == (one.text, one.metadata)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_datasets_reads_the_embedded_sample(
    source: str, *, streaming: bool, tmp_path: Path
) -> None:
    shards = shards_of(SAMPLE, source)
    assert with_datasets(shards, streaming=streaming, home=tmp_path) == ours(shards)


def test_datasets_reads_columns_that_begin_empty(tmp_path: Path) -> None:
    made = samples("culture", "sr", 9)
    for number, one in enumerate(made):
        one.metadata["license"] = "CC0-1.0" if number > 6 else None
    repo = build(tmp_path / "repo", {("culture", "sr", "train"): made}, shards=1)
    found = with_datasets(shards_of(repo, "culture"), streaming=True, home=tmp_path)
    assert [one.metadata["license"] for one in found] == [None] * 7 + ["CC0-1.0"] * 2


def test_an_export_does_not_disturb_datasets(repo: Path, tmp_path: Path) -> None:
    for kind in ("wids", "dali", "energon"):
        export_index(repo, kind, tmp_path / kind)
    found: Any = datasets.load_dataset("webdataset", data_dir=str(repo / "culture"), streaming=True)
    assert set(found) == {"train", "test"}  # it knows them by the names of the shards
    for split, rows in found.items():
        expected = ours(shards_of(repo, "culture", split))
        assert [row["__key__"] for row in rows] == [one.key for one in expected]


def test_wids_reads_by_number(repo: Path, tmp_path: Path) -> None:
    export_index(repo, "wids", tmp_path / "wids")
    for split in ("train", "test"):
        data: Any = wids.ShardListDataset(
            str(tmp_path / "wids" / f"{split}.json"),
            cache_dir=str(tmp_path),
            transformations=[read],
        )
        shards = [one for source in SOURCES for one in shards_of(repo, source, split)]
        expected = ours(shards)
        assert len(data) == len(expected)
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
        assert [data[number] for number in order] == [expected[number] for number in order]
        data.close()


def test_wids_tells_the_sources_apart(repo: Path, tmp_path: Path) -> None:
    export_index(repo, "wids", tmp_path / "wids", split="train")
    data: Any = wids.ShardListDataset(
        str(tmp_path / "wids" / "train.json"),
        cache_dir=str(tmp_path),
        transformations=[lambda sample: sample["__dataset__"]],
    )
    assert data.dataset_name == "repo-train"
    assert [data[number] for number in range(12)] == ["culture-sr"] * 7 + ["linguistics-vi"] * 5
    data.close()


def read(sample: dict[str, Any]) -> Sample:
    """What wids gives: the key, and a file for each member."""
    image, text, metadata = (sample[f".{member}"].read() for member in ("jpg", "txt", "json"))
    return Sample(sample["__key__"], image, text.decode(), json.loads(metadata))
