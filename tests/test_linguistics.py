"""The linguistics pipeline: images and captions that meet, checks that tell good captions."""

import hashlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curated import build as build_culture
from mella import load_mella
from mella.builders.build import plan_build, run_build
from mella.builders.culture.images.picture import ImageRules
from mella.builders.curate.split import SplitParams, split_of
from mella.builders.engine.ledger import funnel
from mella.builders.linguistics.entries import ENTRIES, EntriesParams, entries_step
from mella.builders.linguistics.images import PoolParams, images_step
from mella.builders.linguistics.join import JoinParams, join_step
from mella.builders.linguistics.split import split_step
from mella.builders.miniweb.captions import read_captions
from mella.builders.recipe import RecipeError
from mella.manifest import MANIFEST, Manifest
from mella.repository import FolderStorage, Repository
from mella.schema import TOMBSTONES
from pictures import picture, save
from repositories import manifest_of, photo
from stepping import apply, reasons
from stories import explain

CAPTIONS = [caption for caption in read_captions() if not caption.flaw]
TEXT_OF = {caption.lang: caption.text for caption in CAPTIONS}
ENGLISH_OF = {caption.lang: caption.en for caption in CAPTIONS}
CODES = tuple(TEXT_OF)
SHA = "0123456789abcdef" * 4


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def listed(path, kind):
    return apply(
        entries_step(EntriesParams(CODES)), [{"path": str(path), "name": path.name, "kind": kind}]
    )


def lines(file, *rows):
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("\n".join(texts))
    return file


# The list of what there is


def test_every_line_of_a_table_becomes_a_row_with_its_number(tmp_path):
    good = {"sha256": SHA.upper(), "lang": "th", "text": "วัด", "captioner": "c", "other": [1]}
    table = lines(
        tmp_path / "captions.jsonl",
        good,
        "not JSON",
        "",
        "[1, 2]",
        {**good, "text": 3},
        {**good, "text": None},
        {"lang": "th", "text": "วัด"},
        {**good, "sha256": "00ff"},
        {**good, "translator": ["t"]},
        {**good, "text": "half a \ud83d"},
        {**good, "lang": "xx"},
        {**good, "text": ""},
        "[" * 100_000,
    )
    rows = {row["id"]: row for row in listed(table, "captions")}
    malformed = [2, 4, 5, 6, 7, 8, 9, 10, 13]
    assert {one: row["reason"] for one, row in rows.items()} == {
        "captions.jsonl:1": None,
        **{f"captions.jsonl:{number}": "captions:malformed" for number in malformed},
        "captions.jsonl:11": "captions:language_not_wanted",
        "captions.jsonl:12": None,  # judged with the other texts
    }
    first = rows["captions.jsonl:1"]
    assert (first["file_sha256"], first["lang"], first["text"]) == (SHA, "th", "วัด")
    assert (first["captioner"], first["translator"], first["text_en"]) == ("c", None, None)


def test_a_table_may_be_parquet(tmp_path):
    file = tmp_path / "captions.parquet"
    rows = [
        {"sha256": SHA, "lang": "th", "text": "วัด", "pixels": b"\xff"},
        {"sha256": None, "lang": "th", "text": "วัด", "pixels": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), file)
    made = listed(file, "captions")
    assert reasons(made) == [None, "captions:malformed"]
    assert made[0]["text"] == "วัด"


@given(st.binary(max_size=200))
def test_any_bytes_make_a_row_for_each_line_that_is_not_blank(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("any") / "captions.jsonl"
    file.write_bytes(data)
    wanted = [line for line in data.split(b"\n") if line.strip()]
    assert reasons(listed(file, "captions")) == ["captions:malformed"] * len(wanted)


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("missing.jsonl", "captions", "input:FileNotFoundError"),
        ("broken.parquet", "captions", "input:ArrowInvalid"),
        ("nothing", "release", "input:RepositoryError"),
    ],
)
def test_an_input_that_cannot_be_read_is_one_row(tmp_path, name, kind, reason):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no PAR1")
    (made,) = listed(tmp_path / name, kind)
    assert (made["kind"], made["reason"]) == ("input", reason)
    assert name in made["id"]


def test_a_parquet_file_with_broken_text_is_one_row(tmp_path):
    file = tmp_path / "captions.parquet"
    broken = pa.array([b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"sha256": [SHA], "lang": ["th"], "text": broken}), file)
    (made,) = listed(file, "captions")
    assert made["reason"] == "input:UnicodeDecodeError"


def test_a_folder_lists_its_files_in_order_whatever_they_are(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.jpg", "a.txt", "sub/c.png"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"a name in Latin-1")
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone")
    rows = {row["id"].partition(":")[2]: row for row in listed(tmp_path, "folder")}
    assert [*rows] == ["a.txt", "b.jpg", "caf?.jpg", "sub/c.png"]
    assert rows["sub/c.png"]["file_sha256"] == sha256(b"sub/c.png")
    assert (rows["b.jpg"]["offset"], rows["b.jpg"]["size"]) == (0, 5)
    assert rows["caf?.jpg"]["reason"] == "pool:unreadable"
    assert {row["reason"] for name, row in rows.items() if name != "caf?.jpg"} == {None}


def test_a_release_lists_its_culture_images_but_not_those_taken_down(tmp_path):
    data = build_culture(tmp_path, ["th 12", "vi 2"])
    manifest = manifest_of(data)
    index = pq.read_table(data / "index/culture/th/train.parquet")
    gone = index["key"][0].as_py()
    pq.write_table(pa.Table.from_pylist([{"key": gone}], TOMBSTONES), data / "tombstones.parquet")
    changed = Manifest(manifest.shards, manifest.indexes, "tombstones.parquet")
    (data / MANIFEST).write_text(changed.to_json())
    rows = listed(data, "release")
    assert len(rows) == 14
    assert {row["id"] for row in rows if row["reason"] == "pool:taken_down"} == {f"data:{gone}"}
    for row in rows:
        tar = Path(row["path"]).read_bytes()
        assert sha256(tar[row["offset"] :][: row["size"]]) == row["file_sha256"]
    assert Counter(row["split"] for row in rows) == {
        split: sum(e.samples for e in manifest.indexes if e.split == split)
        for split in ("train", "test")
    }


# Captions and images meet


def image(name, sha=SHA, **about):
    return {"kind": "image", "id": name, "file_sha256": sha, "path": name, **about}


def caption(name, lang="th", sha=SHA):
    return {"kind": "caption", "id": name, "file_sha256": sha, "lang": lang, "text": name}


def joined(*rows):
    made = apply(join_step(JoinParams()), list(rows))
    return [(row["id"], row["path"], row["reason"]) for row in made]


def test_each_caption_gets_its_image():
    assert joined(caption("a"), caption("b", "vi"), image("i")) == [
        ("a", "i", None),
        ("b", "i", None),
    ]


def test_what_stands_alone_says_so():
    assert joined(caption("a", sha="0" * 64), image("i", sha="1" * 64)) == [
        ("a", None, "join:no_image"),
        ("i", "i", "join:no_caption"),
    ]


def test_of_equal_files_the_one_counts_that_a_release_knows():
    made = joined(image("copy"), caption("a"), image("i", image_url="https://a.example/i.jpg"))
    assert made == [("a", "i", None), ("copy", "copy", "join:repeated_image")]


@given(
    st.lists(
        st.builds(
            lambda kind, sha: (image if kind else caption)("x", sha=sha * 64),
            st.booleans(),
            st.sampled_from("abc"),
        ),
        max_size=12,
    )
)
def test_every_caption_makes_one_pair_and_every_image_is_in_one_or_says_why_not(rows):
    rows = [{**row, "id": f"{row['kind']}{n}", "path": f"{n}"} for n, row in enumerate(rows)]
    made = apply(join_step(JoinParams()), rows)
    captions = [row["id"] for row in rows if row["kind"] == "caption"]
    ids = [row["id"] for row in made]
    assert sorted(one for one in ids if one.startswith("caption")) == sorted(captions)
    used = {row["path"] for row in made if row["id"].startswith("caption")} - {None}
    alone = [one.removeprefix("image") for one in ids if one.startswith("image")]
    assert sorted([*used, *alone]) == sorted(r["path"] for r in rows if r["kind"] == "image")


# Images


def read_images(rows, **rules):
    return apply(images_step(PoolParams(ImageRules(min_side=16, **rules))), rows)


def wanted(file, data=None):
    data = file.read_bytes() if data is None else data
    return {"path": str(file), "offset": 0, "size": len(data), "file_sha256": sha256(data)}


def test_a_jpeg_keeps_its_bytes_and_another_format_is_transcoded(tmp_path):
    jpeg, png = photo("a", 64), save(picture("RGBA", (64, 48)), "PNG")
    for name, data in (("a.jpg", jpeg), ("b.png", png)):
        (tmp_path / name).write_bytes(data)
    first, second = read_images([wanted(tmp_path / "a.jpg"), wanted(tmp_path / "b.png")])
    assert (first["image"], first["sha256"]) == (jpeg, sha256(jpeg))
    assert (second["original_format"], second["width"], second["height"]) == ("png", 64, 48)
    assert second["sha256"] == sha256(second["image"]) != sha256(png)
    assert second["bytes"] == len(second["image"])


def test_what_is_wrong_with_an_image_is_said(tmp_path):
    whole = photo("whole", 64)
    files = {
        "cut.jpg": whole[:-400],
        "text.jpg": b"This is no image." * 40,
        "tiny.png": save(picture(size=(20, 9)), "PNG"),
        "empty.jpg": b"",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    rows = [wanted(tmp_path / name) for name in files]
    (tmp_path / "changed.jpg").write_bytes(photo("new", 64))
    rows += [wanted(tmp_path / "changed.jpg", whole), wanted(tmp_path / "gone.jpg", b"gone")]
    made = read_images(rows)
    assert reasons(made) == [
        "image:truncated",
        "image:not_an_image",
        "image:too_small",
        "image:empty",
        "image:changed",
        "image:unreadable",
    ]
    assert made[0]["width"] == 64


def test_an_image_of_a_release_keeps_the_format_it_was_found_in(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo("a", 64))
    (made,) = read_images([{**wanted(tmp_path / "a.jpg"), "original_format": "webp"}])
    assert made["original_format"] == "webp"


def test_an_image_stays_in_the_split_that_a_release_has_it_in(tmp_path):
    params = SplitParams(validation=0.2, test=0.2)
    images = [f"{number:064x}" for number in range(60)]
    of = {image: split_of(image, params) for image in images}
    moved = {image: "test" if of[image] == "train" else "train" for image in images[:20]}
    rows = [{"kind": "image", "id": one, "file_sha256": one, "split": moved[one]} for one in moved]
    rows += [{"kind": "image", "id": one, "file_sha256": one} for one in images]
    rows.append({"kind": "image", "id": "b", "file_sha256": images[0], "split": "validation"})
    pq.write_table(pa.Table.from_pylist(rows, schema=ENTRIES), tmp_path / "part.parquet")
    step = split_step(params, entries_step(EntriesParams(CODES)))
    made = apply(step, [{"sha256": one} for one in images], side=[tmp_path / "part.parquet"])
    strictest = moved[images[0]].replace("train", "validation")
    expected = {**of, **moved, images[0]: strictest}
    assert [row["split"] for row in made] == [expected[one] for one in images]


# All together


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A build with every kind of input, good and bad, into the repository it takes images from."""
    folder = tmp_path_factory.mktemp("linguistics")
    data = build_culture(folder, ["th 12", "sr 4"])
    pool = folder / "pool"
    (pool / "sub").mkdir(parents=True)
    culture = [*load_mella("th", source="culture", repo=data, decode=False)]
    test = [*load_mella("th", source="culture", split="test", repo=data, decode=False)]
    files = {
        "a.jpg": photo("a", 64),
        "b.png": save(picture(size=(64, 48)), "PNG"),
        "broken.jpg": photo("broken", 64)[:-400],
        "alone.jpg": photo("alone", 64),
        "again.jpg": culture[0]["image"]["bytes"],
        "sub/a.jpg": photo("a", 64),
    }
    for name, content in files.items():
        (pool / name).write_bytes(content)
    about = {name: sha256(content) for name, content in files.items()}
    thai, korean = ([c.text for c in CAPTIONS if c.lang == lang] for lang in ("th", "ko"))
    lines(
        folder / "captions.jsonl",
        {"sha256": about["a.jpg"], "lang": "th", "text": thai[0]},
        {"sha256": about["a.jpg"], "lang": "th", "text": thai[0] + thai[1]},
        {"sha256": about["b.png"], "lang": "ko", "text": korean[0], "captioner": "c"},
        {"sha256": about["broken.jpg"], "lang": "th", "text": thai[1]},
        {"sha256": about["a.jpg"], "lang": "ko", "text": "짧다"},
        {"sha256": SHA, "lang": "th", "text": thai[1]},
        {"sha256": about["a.jpg"], "lang": "vi", "text": "Một bông hoa"},
        "{",
    )
    rows = [{"sha256": one["sha256"], "lang": "ko", "text": korean[1]} for one in (*culture, *test)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "captions.parquet")
    recipe = folder / "linguistics.toml"
    recipe.write_text(
        'source = "linguistics"\nlanguages = ["th", "ko"]\n'
        '[inputs]\npool = ["pool", "data"]\ncaptions = ["captions.*"]\n'
        "[images.rules]\nmin_side = 16\n"
    )
    build = plan_build(recipe, folder / "work2")
    before = {path: path.read_bytes() for path in (data / "culture").rglob("*.tar")}
    run_build(build, data, 1)
    assert {path: path.read_bytes() for path in (data / "culture").rglob("*.tar")} == before
    return recipe, build, data


def end_of(build, name):
    (*_, story) = explain(build.stages(), name)
    return story.step, story.reason


def test_every_entry_of_a_build_has_one_end(whole):
    _, build, _ = whole
    assert {
        name: end_of(build, name)
        for name in (
            *(f"captions.jsonl:{number}" for number in range(1, 9)),
            *(f"pool:{name}" for name in ("alone.jpg", "sub/a.jpg", "again.jpg")),
        )
    } == {
        "captions.jsonl:1": ("duplicates", "duplicate:image"),
        "captions.jsonl:2": (None, None),
        "captions.jsonl:3": (None, None),
        "captions.jsonl:4": ("images", "image:truncated"),
        "captions.jsonl:5": ("checks", "caption:too_short"),
        "captions.jsonl:6": ("join", "join:no_image"),
        "captions.jsonl:7": ("entries", "captions:language_not_wanted"),
        "captions.jsonl:8": ("entries", "captions:malformed"),
        "pool:alone.jpg": ("join", "join:no_caption"),
        "pool:sub/a.jpg": ("join", "join:repeated_image"),
        "pool:again.jpg": ("join", "join:repeated_image"),
    }
    for level in funnel(build.stages()):
        assert level.kept + sum(one.rows for one in level.rejects) == level.rows


def test_what_was_built_is_in_the_repository_beside_the_images_it_is_of(whole):
    _, _, data = whole
    splits = ("train", "test")
    culture = {
        one["sha256"]: (one, split)
        for split in splits
        for one in load_mella("th", source="culture", split=split, repo=data, decode=False)
    }
    made = [
        (one, split)
        for split in splits
        for one in load_mella("all", source="linguistics", split=split, repo=data, decode=False)
        if one["sha256"] in culture
    ]
    assert len(made) == len(culture) == 12
    for one, split in made:
        other, its_split = culture[one["sha256"]]
        assert split == its_split
        assert one["image"]["bytes"] == other["image"]["bytes"]
        for name in ("domain", "license", "image_url", "page_url"):
            assert one[name] == other[name]
    files = [*load_mella("all", source="linguistics", repo=data, decode=False)]
    (png,) = [one for one in files if one["original_format"] == "png"]
    assert (png["captioner"], png["lang"], png["script"]) == ("c", "ko", "Hang")


def test_writing_into_the_pool_itself_does_not_make_another_build(whole):
    recipe, build, data = whole
    again = plan_build(recipe, build.work)
    assert again.about.build == build.about.build
    assert all(stage.finished() for stage in again.stages())
    repository = Repository(FolderStorage(data))
    assert {source for source, _, _ in repository.manifest.cells()} == {"culture", "linguistics"}


def test_a_takedown_makes_another_build(whole, tmp_path):
    recipe, build, data = whole
    folder = shutil.copytree(recipe.parent, tmp_path / "copy")
    assert plan_build(folder / recipe.name, tmp_path / "work").about.build == build.about.build
    key = next(iter(load_mella("th", source="culture", repo=data)))["key"]
    table = pa.Table.from_pylist([{"key": key}], TOMBSTONES)
    pq.write_table(table, folder / "data/tombstones.parquet")
    manifest = manifest_of(folder / "data")
    changed = Manifest(manifest.shards, manifest.indexes, "tombstones.parquet")
    (folder / "data" / MANIFEST).write_text(changed.to_json())
    assert plan_build(folder / recipe.name, tmp_path / "work").about.build != build.about.build


def test_the_order_in_which_a_recipe_names_its_inputs_does_not_matter(whole):
    recipe, build, _ = whole
    other = recipe.with_name("other.toml")
    other.write_text(recipe.read_text().replace('["pool", "data"]', '["data", "pool"]'))
    again = plan_build(other, build.work)
    assert again.about.build == build.about.build
    assert again.pipeline.inputs.equals(build.pipeline.inputs)


@pytest.mark.parametrize(
    ("work", "out"), [("pool/work", "data"), ("work", "pool"), ("work", "pool/data")]
)
def test_a_folder_of_images_is_not_written_into(tmp_path, work, out):
    (tmp_path / "pool").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "pool/a.jpg")
    lines(tmp_path / "captions.jsonl", "{}")
    recipe = tmp_path / "linguistics.toml"
    recipe.write_text(
        'source = "linguistics"\nlanguages = "all"\n'
        '[inputs]\npool = ["pool"]\ncaptions = ["captions.jsonl"]\n'
    )
    build = plan_build(recipe, tmp_path / work)
    with pytest.raises(RecipeError, match="read as a folder of images"):
        run_build(build, tmp_path / out, 1)
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == ["a.jpg"]
