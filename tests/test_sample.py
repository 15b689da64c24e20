"""The embedded sample: there, small, whole, and what the pipelines make of the mini-web."""

import io
from pathlib import Path

import pytest
from PIL import Image

import mella
from mella import load_mella
from mella.repository import open_repository
from mella.schema import SOURCES, SPLITS
from mella.shards import read_shard
from mella.text import dominant_script

SAMPLE = Path(mella.__file__).parent / "sample"
pytestmark = pytest.mark.filterwarnings("ignore:No repo= given")

LANGS = ("ar", "cs", "hu", "ko", "ru", "sr", "th", "vi")


def test_it_is_small():
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) < 2_000_000


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_language_has_both_sources_in_both_splits(lang, source, split):
    samples = list(load_mella(lang, source, split=split))
    assert samples
    for sample in samples:
        assert (sample["lang"], sample["source"]) == (lang, source)
        assert sample["image"].size == (sample["width"], sample["height"])
        assert dominant_script(sample["text"]) == sample["script"]
        assert (sample["text_en"] is None) == (source == "culture")
        assert sample["license"]


def test_serbian_comes_in_both_scripts():
    assert {row["script"] for row in load_mella("sr", columns=["script"])} == {"Cyrl", "Latn"}


def test_no_image_is_in_two_splits():
    images = {
        split: {row["sha256"] for row in load_mella("all", split=split, columns=["sha256"])}
        for split in ("train", "test")
    }
    assert not images["train"] & images["test"]


def test_shards_and_index_agree():
    manifest = open_repository(SAMPLE).manifest
    keys = {row["key"] for s in SPLITS[::2] for row in load_mella("all", split=s, columns=["key"])}
    stored = [sample for entry in manifest.shards for sample in read_shard(SAMPLE / entry.path)]
    assert {sample.key for sample in stored} == keys
    assert len(stored) == len(keys) == sum(entry.samples for entry in manifest.indexes)
    for sample in stored:
        Image.open(io.BytesIO(sample.image)).verify()


def test_it_is_the_default_and_says_so(monkeypatch):
    monkeypatch.delenv("MELLA_REPO", raising=False)
    with pytest.warns(UserWarning, match="sample embedded in mella") as caught:
        assert next(iter(load_mella("th", source="culture")))["lang"] == "th"
    assert [warning.filename for warning in caught] == [__file__]
