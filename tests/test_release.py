"""Releases: several builds in one repository, whole after every one of them, whatever happened."""

import json
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curated import BUILD, build, contents, curate, put
from mella import load_mella
from mella.builders.curate.pack import TARS
from mella.builders.curate.release import ReleaseError
from mella.errors import FormatError, RepositoryError
from mella.manifest import MANIFEST, Manifest
from mella.repository import FolderStorage, Repository
from repositories import manifest_of


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def check_whole(out):
    """Every file that the manifest names is there as it says, and no other one."""
    repository = Repository(FolderStorage(out))
    manifest = repository.manifest
    named = {entry.path for entry in (*manifest.shards, *manifest.indexes)}
    there = {path for path in contents(out) if not path.startswith(("provenance/", MANIFEST))}
    assert there - {"tombstones.parquet"} == named
    for entry in manifest.indexes:
        table = pq.read_table(pa.BufferReader(repository.index_file(entry)))
        of_cell = [one for one in manifest.shards if one.cell == entry.cell]
        assert {*table["shard"].to_pylist()} == {one.path for one in of_cell}
        assert table.num_rows == entry.samples == sum(one.samples for one in of_cell)
    for split in ("train", "test"):
        for sample in load_mella("all", repo=out, split=split, decode=False):
            assert sample["image"]["bytes"]


def test_builds_of_several_sources_and_languages_share_a_repository(tmp_path, out):
    first = curate(tmp_path / "a", ["th 12", "sr 5"])
    put(first, tmp_path / "a", out, langs=("th", "sr"))
    second = curate(tmp_path / "b", ["th 9"], source="linguistics")
    put(second, tmp_path / "b", out, source="linguistics")
    third = curate(tmp_path / "c", ["vi 7"])
    made = put(third, tmp_path / "c", out, langs=("vi",))
    assert made == manifest_of(out)
    counted = Counter[tuple[str, str]]()
    for entry in made.indexes:
        counted[entry.source, entry.lang] += entry.samples
    assert counted == {
        ("culture", "sr"): 5,
        ("culture", "th"): 12,
        ("culture", "vi"): 7,
        ("linguistics", "th"): 9,
    }
    check_whole(out)


def test_a_build_with_fewer_shards_replaces_its_own_and_nothing_else(tmp_path, out):
    put(curate(tmp_path / "a", ["th 40", "vi 9"]), tmp_path / "a", out, langs=("th", "vi"))
    before = contents(out)
    put(curate(tmp_path / "b", ["th 3"], shards=(10**6, 10**5)), tmp_path / "b", out)
    after = contents(out)
    assert sum(path.startswith("culture/th/") for path in after) < sum(
        path.startswith("culture/th/") for path in before
    )
    assert {p: d for p, d in after.items() if "/vi/" in p} == {
        p: d for p, d in before.items() if "/vi/" in p
    }
    check_whole(out)


def test_a_language_of_which_nothing_is_left_goes_only_if_allowed(tmp_path, out):
    put(curate(tmp_path / "a", ["th 9", "vi 9"]), tmp_path / "a", out, langs=("th", "vi"))
    before = contents(out)
    emptied = curate(tmp_path / "b", ["vi 9"])
    with pytest.raises(ReleaseError, match=r"no culture sample in th, .*--allow-empty"):
        put(emptied, tmp_path / "b", out, langs=("th", "vi"))
    assert contents(out) == before
    put(emptied, tmp_path / "b", out, langs=("th", "vi"), allow_empty=True)
    assert {lang for _, lang, _ in manifest_of(out).cells()} == {"vi"}
    check_whole(out)


def test_two_releases_into_one_folder_wait_for_each_other(tmp_path, out):
    langs = ("th", "vi", "sr", "cs")
    made = {lang: curate(tmp_path / lang, [f"{lang} 9"]) for lang in langs}
    with ThreadPoolExecutor(len(langs)) as pool:
        for _ in range(5):
            shutil.rmtree(out, ignore_errors=True)
            together = [
                pool.submit(put, stages, tmp_path / lang, out, langs=(lang,))
                for lang, stages in made.items()
            ]
            for one in together:
                one.result()
            assert {lang for _, lang, _ in manifest_of(out).cells()} == set(langs)
            check_whole(out)


def test_a_build_without_samples_is_a_repository_all_the_same(work, out):
    assert put(curate(work, ["th 0"]), work, out) == Manifest()
    (level, _) = json.loads(contents(out)["provenance/culture/th/funnel.json"])["levels"]
    assert (level["rows"], level["kept"]) == (0, 0)


def test_again_or_elsewhere_gives_the_same_bytes(tmp_path):
    once = contents(build(tmp_path / "a", ["th 12", "vi 12"]))
    assert contents(build(tmp_path / "a", ["th 12", "vi 12"])) == once
    assert contents(build(tmp_path / "b", ["th 12", "vi 12"])) == once


def test_another_file_system_gets_copies(tmp_path, work, out, monkeypatch):
    stages = curate(work, ["th 12"])
    put(stages, work, tmp_path / "linked")

    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    put(stages, work, out)
    assert contents(out) == contents(tmp_path / "linked")
    assert all(path.stat().st_nlink == 1 for path in out.rglob("*.tar"))


def test_provenance_says_how_a_language_was_made(work, out):
    put(curate(work, ["th 12"]), work, out)
    files = contents(out)
    assert files["provenance/culture/th/recipe.toml"] == b"# a recipe\n"
    story = json.loads(files["provenance/culture/th/funnel.json"])
    assert (story["build"], story["languages"]) == (BUILD, ["th"])
    assert story["steps"] == [{"name": "make", "version": 1}, {"name": "pack", "version": 1}]
    for level in story["levels"]:
        assert level["rows"] == level["kept"] + sum(one["rows"] for one in level["rejects"])


def test_takedowns_outlive_a_rebuild(work, out):
    stages = curate(work, ["th 12"])
    manifest = put(stages, work, out)
    (out / MANIFEST).write_text(
        Manifest(manifest.shards, manifest.indexes, "tombstones.parquet").to_json()
    )
    assert put(stages, work, out).tombstones == "tombstones.parquet"


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_tar_that_is_not_there_any_more_leaves_the_manifest_as_it_was(
    tmp_path, work, out, damage
):
    put(curate(tmp_path / "a", ["th 3"]), tmp_path / "a", out)
    before = (out / MANIFEST).read_bytes()
    stages = curate(work, ["th 30", "vi 5"])
    tar = next((work / TARS).iterdir())
    tar.unlink()
    if damage == "short":
        tar.write_bytes(b"short")
    with pytest.raises(FormatError, match=r"missing or damaged\. Remove the folder .*pack-"):
        put(stages, work, out, langs=("th", "vi"))
    assert (out / MANIFEST).read_bytes() == before


def test_the_advice_for_a_missing_tar_helps(tmp_path, work, out):
    stages = curate(work, ["th 30"])
    for tar in (work / TARS).iterdir():
        tar.unlink()
    for path in stages[-1].path.iterdir():
        path.unlink()
    stages[-1].path.rmdir()
    put(curate(work, ["th 30"]), work, out)
    assert contents(out) == contents(build(tmp_path / "other", ["th 30"]))


def changed(manifest, **fields):
    return json.dumps({**json.loads(manifest.to_json()), **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a web app"}', "not the manifest of a mella repository"),
        ("not JSON", "is not JSON"),
        (changed(Manifest(), format_version="2.0"), "Install a newer mella"),
        (changed(Manifest(), format_version="1.10"), "give another folder"),
    ],
    ids=["foreign", "broken", "major", "minor"],
)
def test_a_folder_with_a_manifest_that_cannot_be_replaced_stays_as_it_is(work, out, text, message):
    out.mkdir()
    (out / MANIFEST).write_text(text)
    with pytest.raises(FormatError, match=message):
        put(curate(work, ["th 3"]), work, out)
    assert contents(out) == {MANIFEST: text.encode()}


def test_a_file_is_no_folder(work, out):
    out.write_text("a file")
    with pytest.raises(RepositoryError, match="not a folder"):
        put(curate(work, ["th 3"]), work, out)


def test_what_a_killed_run_left_is_swept_and_what_is_not_ours_is_not(work, out, tmp_path):
    stages = curate(work, ["th 12"])
    put(stages, work, out)
    whole = contents(out)
    (path,) = {entry.path for entry in manifest_of(out).shards if "00000-of" in entry.path} - {
        entry.path for entry in manifest_of(out).shards if "train" in entry.path
    }
    tar = out / path
    left = [
        out / ".manifest.json.77.tmp",
        tar.with_name(f".{tar.name}.77.tmp"),
        out / "index/culture/th/.train.parquet.77.tmp",
        out / "provenance/culture/th/.recipe.toml.77.tmp",
        tar.with_name("culture-th-train-00000-of-00099.tar"),  # of a count that is no more
        out / "index/culture/th/validation.parquet",
    ]
    kept = [
        out / ".git/.index.77.tmp",
        out / "linguistics/th/.linguistics-th-train-00000-of-00001.tar.77.tmp",
        out / "culture/th/.notes.tmp",
        out / "culture/th/notes.txt",
        out / "culture/vi/culture-vi-train-00000-of-00001.tar",
    ]
    for file in (*left, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"left")
    put(stages, work, out)
    ours = {file.relative_to(out).as_posix() for file in kept}
    assert contents(out) == {**whole, **dict.fromkeys(ours, b"left")}


def test_a_link_that_a_killed_run_left_is_not_written_through(work, out):
    stages = curate(work, ["th 12"])
    whole = contents(build(out.parent / "whole", ["th 12"]))
    tars = sorted((work / TARS).iterdir())
    # A process with this one's number linked other tars where the first ones were to come.
    for entry in manifest_of(out.parent / "whole" / "data").shards:
        temporary = out / entry.path
        temporary = temporary.with_name(f".{temporary.name}.{os.getpid()}.tmp")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        os.link(next(tar for tar in tars if tar.name != entry.sha256), temporary)
    packed = contents(work / TARS)
    put(stages, work, out)
    assert contents(work / TARS) == packed
    assert contents(out) == whole
