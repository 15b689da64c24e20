"""Packing: whole tars that every reader opens, the same bytes whoever writes them."""

import io
import json
import tarfile

import pytest
import webdataset
from PIL import Image

from curated import BUILD, MADE, Sizes, build, contents, curate, sample_row
from mella.builders.curate.pack import PackParams, pack_step
from mella.builders.engine.step import StepError
from mella.index import read_index
from mella.schema import METADATA
from mella.shards import read_shard, sample_key
from stepping import apply

WANTED = ["th 40", "vi 25", "sr 3"]
SHARD = "culture/th/culture-th-train-00000-of-00001.tar"
COLUMNS = [*MADE.names, "key", "shard", "split"]


def packed_rows(count):
    rows = [sample_row("th", number) for number in range(count)]
    for row in rows:
        row |= {"key": sample_key("culture", "th", row["sha256"], row["text"]), "split": "train"}
    return [{**row, "shard": SHARD} for row in rows]


def pack(folder, rows):
    return apply(pack_step(PackParams("culture", BUILD), COLUMNS, folder), rows)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return build(tmp_path_factory.mktemp("whole"), WANTED)


def test_a_sample_is_stored_with_all_that_is_known_of_it(tmp_path):
    (row,) = packed_rows(1)
    (made,) = pack(tmp_path, [row])
    (stored,) = read_shard(tmp_path / made["tar_sha256"])
    assert stored.image == row["image"]
    assert stored.text == row["text"]
    assert stored.metadata == {name: made[name] for name in METADATA.names}
    known = {**row, "source": "culture", "build": BUILD}
    assert stored.metadata == {name: known.get(name) for name in METADATA.names}


def test_samples_lie_in_the_order_of_their_keys_whatever_order_they_came_in(tmp_path):
    rows = packed_rows(7)
    first, second = pack(tmp_path / "a", rows), pack(tmp_path / "b", rows[::-1])
    assert first == second
    assert [row["key"] for row in first] == sorted(row["key"] for row in rows)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [*contents(tmp_path / "a")] == [first[0]["tar_sha256"]]
    assert first[0]["tar_bytes"] == len(contents(tmp_path / "a")[first[0]["tar_sha256"]])


def test_one_call_may_hold_several_shards(tmp_path):
    rows = packed_rows(6)
    for row in rows[3:]:
        row["shard"] = SHARD.replace("train", "test")
    made = pack(tmp_path, rows)
    assert len({row["tar_sha256"] for row in made}) == len(contents(tmp_path)) == 2
    assert all(row["shard"] == SHARD for row in made if row["key"] in {r["key"] for r in rows[:3]})


def test_a_sample_that_does_not_fit_leaves_no_half_tar(tmp_path):
    rows = packed_rows(3)
    rows[2]["sha256"] = "0" * 64
    with pytest.raises(ValueError, match="sha256"):
        pack(tmp_path, rows)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(workers=2),
        Sizes(part_rows=3),
        Sizes(bucket_rows=5),
        Sizes(workers=2, part_rows=4, bucket_rows=9),
    ],
    ids=str,
)
def test_the_same_bytes_whatever_the_workers_and_the_parts(tmp_path, repository, sizes):
    assert contents(build(tmp_path, WANTED, sizes=sizes)) == contents(repository)


def test_the_same_bytes_whatever_order_the_inputs_came_in(tmp_path, repository):
    again = contents(build(tmp_path, WANTED[::-1]))
    whole = contents(repository)
    data = [path for path in whole if not path.startswith("provenance/")]
    assert [again[path] for path in data] == [whole[path] for path in data]


def test_a_step_that_fails_is_named(tmp_path):
    with pytest.raises(StepError, match=r"'make' failed on 1 rows.*th many"):
        curate(tmp_path, ["th many"])


def test_every_tar_opens_in_tarfile_and_webdataset(repository):
    tars = sorted(repository.rglob("*.tar"))
    assert len(tars) > 8
    for tar in tars:
        ours = [*read_shard(tar)]
        members = {}
        with tarfile.open(tar) as plain:
            for one in plain:
                file = plain.extractfile(one)
                assert file is not None
                members[one.name] = file.read()
        theirs = [*webdataset.WebDataset(str(tar), shardshuffle=False, empty_check=False)]
        assert [one["__key__"] for one in theirs] == [one.key for one in ours]
        for sample, other in zip(ours, theirs, strict=True):
            assert other["jpg"] == members[f"{sample.key}.jpg"] == sample.image
            assert other["txt"].decode() == sample.text
            assert json.loads(other["json"]) == sample.metadata
            assert Image.open(io.BytesIO(sample.image)).size == (24, 24)


def test_the_index_says_where_every_member_lies(repository):
    for file in sorted((repository / "index").rglob("*.parquet")):
        for row in read_index(file.read_bytes(), str(file)).to_pylist():
            tar = (repository / row["shard"]).read_bytes()
            image = tar[row["jpg_offset"] :][: row["jpg_size"]]
            text = tar[row["txt_offset"] :][: row["txt_size"]]
            document = tar[row["json_offset"] :][: row["json_size"]]
            assert text.decode() == row["text"]
            assert json.loads(document) == {name: row[name] for name in METADATA.names}
            assert len(image) == row["bytes"]
            assert tar[row["offset"] :].startswith(f"{row['key']}.jpg".encode())
