"""Both pipelines on the mini-web, end to end: every row accounted for, the same bytes whatever."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from built_miniweb import SOURCES, built
from curated import contents
from mella import load_mella
from mella.builders.build import plan_build, run_build
from mella.builders.engine.ledger import funnel
from mella.builders.miniweb.choices import read_choices
from mella.builders.miniweb.demo import MATERIAL
from mella.builders.miniweb.flaws import FLAWS
from mella.builders.miniweb.pages import address_of
from mella.errors import FormatError
from mella.languages import languages
from mella.shards import read_shard
from mella.text import normalise
from stories import explain

__all__ = ["built"]  # a fixture

# Where the candidate of each bad case ends: as what, at which step, and why.
ENDS = {
    "logo": ("candidates", "text", "text:boilerplate"),
    "spacer": ("images", "images", "image:too_few_bytes"),
    "file_name": ("candidates", "text", "text:file_name"),
    "english_alt": ("candidates", "language", "language:script"),
    "other_language": ("candidates", "language", "language:other:sk"),
    "price": ("candidates", "text", "text:price"),
    "keywords": ("candidates", "text", "text:list"),
    "mojibake": ("samples", None, None),  # repaired
    "contact": ("candidates", "text", "text:personal_data"),
    "empty_alt": ("candidates", "candidates", "candidate:no_text"),
    "html_as_image": ("images", "images", "image:not_found"),
    "truncated": ("images", "images", "image:truncated"),
    "missing": ("images", "images", "image:not_found"),
    "not_archived": ("images", "images", "image:not_found"),
    "animated": ("images", "images", "image:animated"),
    "banner": ("images", "images", "image:aspect"),
    "svg": ("images", "images", "image:not_found"),
    # The longest text of a repeated image is kept: here, that of the repetition.
    "duplicate": ("samples", None, None),
    "revisit": ("samples", None, None),
    # Who fetches obeys robots.txt; what an archive holds was fetched.
    "robots_txt": ("samples", None, None),
    "x_robots_tag": ("images", "image_consent", "consent:image_noai"),
    "page_noai": ("candidates", "consent", "consent:noai"),
}
PLACED = {flaw.case: (page, flaw) for page in read_choices().pages for flaw in page.flaws}


SPLITS = ("train", "test")


def samples(built, source, *splits):
    """The samples of a source, each with the split that it is in."""
    return [
        {**sample, "split": split}
        for split in splits or SPLITS
        for sample in load_mella("all", source=source, split=split, repo=built.data, decode=False)
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_all_languages_come_out_in_both_splits(built, source):
    for split in ("train", "test"):
        loaded = samples(built, source, split)
        assert {sample["lang"] for sample in loaded} == {*languages()}
        assert {sample["source"] for sample in loaded} == {source}


@pytest.mark.parametrize("source", SOURCES)
def test_what_was_built_keeps_what_the_format_promises(built, source):
    tars = sorted((built.data / source).rglob("*.tar"))
    keys = []
    for tar in tars:
        for sample in read_shard(tar):
            assert sample.text == normalise(sample.text) != ""
            assert sample.metadata["language_score"] >= 0.5
            keys.append(sample.key)
    assert len({*keys}) == len(keys) > 60


def test_no_image_is_in_two_splits_of_either_source(built):
    splits = {(one["sha256"], one["split"]) for source in SOURCES for one in samples(built, source)}
    assert len({image for image, _ in splits}) == len(splits)


@pytest.mark.parametrize("source", SOURCES)
def test_every_row_has_one_end(built, source):
    stages = built.stages(source)
    levels = funnel(stages)
    for level in levels:
        assert level.kept + sum(reject.rows for reject in level.rejects) == level.rows
    packed = sum(part.rows for part in stages[-1].parts())
    indexes = (built.data / "index" / source).rglob("*.parquet")
    assert levels[-1].kept == packed == sum(pq.read_metadata(path).num_rows for path in indexes)


def test_every_bad_case_is_expected_somewhere():
    assert {*ENDS, "data_uri"} == {*FLAWS} == {*PLACED}


@pytest.mark.parametrize("case", ENDS)
def test_a_bad_case_ends_where_it_should(built, case):
    page, flaw = PLACED[case]
    url = address_of(page, flaw.src)
    *_, story = [
        story
        for story in explain(built.stages("culture"), url)
        if story.row.get("page_url") == page.url
    ]
    assert (story.unit, story.step, story.reason) == ENDS[case]


def test_an_image_inside_a_page_is_counted(built):
    page, _ = PLACED["data_uri"]
    stories = explain(built.stages("culture"), page.url)
    assert "candidate:data_uri" in {story.reason for story in stories}


@pytest.mark.parametrize("case", ["duplicate", "revisit"])
def test_of_a_repeated_image_one_is_kept(built, case):
    page, flaw = PLACED[case]
    (story, *_) = [
        story
        for story in explain(built.stages("culture"), address_of(page, flaw.src))
        if story.unit == "images"
    ]
    same = [
        other
        for other in explain(built.stages("culture"), story.row["sha256"])
        if other.unit == "images" and other.row["lang"] == page.lang
    ]
    assert Counter(other.reason for other in same)[None] == 1
    assert {other.reason for other in same} == {None, "duplicate:image"}


def test_the_bad_captions_are_told_from_the_good_ones(built):
    rejected = Counter(
        (reject.step, reject.reason)
        for level in funnel(built.stages("linguistics"))
        for reject in level.rejects
    )
    assert {reason for reason in rejected if not reason[1].startswith("join:")} == {
        ("checks", "caption:empty"),
        ("checks", "caption:language:other:ru"),
        ("checks", "caption:loop"),
        ("checks", "caption:untranslated"),
    }
    assert ("join", "join:no_image") in rejected


def test_a_linguistics_sample_shows_the_image_of_a_culture_sample(built):
    culture = {one["sha256"]: one["image"]["bytes"] for one in samples(built, "culture")}
    for one in samples(built, "linguistics"):
        assert one["image"]["bytes"] == culture[one["sha256"]]
        assert one["text_en"]
        assert one["captioner"]


def test_the_contact_sheet_is_a_picture(built):
    with Image.open(built.folder / "contact-sheet.png") as sheet:
        assert min(sheet.size) > 300


def test_no_temporary_file_is_left(built):
    assert not [path for path in built.folder.rglob("*") if path.name.endswith(".tmp")]
    assert not [*built.folder.rglob("shuffle")]
    for source in SOURCES:
        assert all(len(path.name) == 64 for path in (built.work(source) / "tars").iterdir())


# Again, elsewhere, interrupted


def command(*arguments):
    # A signal that was ignored where the tests were started is not to be ignored here.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mella.builders.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", start, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def stop_when(process, folder, pattern, with_signal):
    """Send the process a signal as soon as something of this name is there."""
    while process.poll() is None and not [*folder.glob(pattern)]:
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):  # it came to its end
        os.killpg(process.pid, with_signal)
    _, err = process.communicate()
    return process.returncode, err


def test_killed_at_any_moment_and_run_again_elsewhere_it_comes_to_the_same_bytes(built, tmp_path):
    for name in MATERIAL:
        os.link(built.folder / name, tmp_path / name)
    moments = {
        "culture": ["candidates-*", "language-*/*", "images-*/*", "shelve-*/shuffle/*", "tars/*"],
        "linguistics": ["join-*/shuffle/*", "images-*/part-*"],
    }
    codes = []
    for source, patterns in moments.items():
        recipe, work = tmp_path / f"{source}.toml", tmp_path / "work" / source
        places = [*((work, pattern) for pattern in patterns), (tmp_path / "data", f"{source}/*/*")]
        for folder, pattern in places:
            process = command("run", recipe, "--workers", 2)
            code, err = stop_when(process, folder, pattern, signal.SIGKILL)
            assert code in (0, -signal.SIGKILL), err
            codes.append(code)
        process = command("run", recipe, "--workers", 2)
        _, err = process.communicate()
        assert process.returncode == 0, err
    # On a busy machine one or another signal may come too late.
    assert codes.count(-signal.SIGKILL) > len(codes) // 2
    assert contents(tmp_path / "data") == contents(built.data)


def test_an_interrupted_run_says_how_to_go_on(built, tmp_path):
    recipe, work = built.copy("culture", tmp_path, "\n[records]\nmax_page_bytes = 9_000_000\n")
    shutil.rmtree(*work.glob("records-*"))
    process = command("run", recipe, "--work", work, "--workers", 1)
    code, err = stop_when(process, work, "records-*", signal.SIGINT)
    assert code == 130
    assert "run the same command to go on" in err
    assert "Traceback" not in err


def test_a_second_run_does_nothing(built):
    before = contents(built.folder)
    for source in SOURCES:
        progress: list[Any] = []
        build = plan_build(built.recipe(source), built.work(source))
        run_build(build, built.data, 1, progress.append)
        assert {(one.done, one.total) for one in progress} == {(1, 1)}
    assert contents(built.folder) == before


def test_a_changed_threshold_repeats_only_the_steps_that_depend_on_it(built, tmp_path):
    recipe, work = built.copy("culture", tmp_path)
    recipe.write_text(recipe.read_text("utf-8").replace("test = 0.15", "test = 0.4"), "utf-8")
    build = plan_build(recipe, work)
    todo = [stage.name for stage in build.stages() if not stage.finished()]
    assert todo == ["split", "shelve", "pack"]
    times = {path: path.stat().st_mtime_ns for path in work.rglob("part-*") if path.is_file()}
    manifest = run_build(build, tmp_path / "data", 1)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    held = sum(entry.samples for entry in manifest.indexes if entry.split == "test")
    assert held > 2 * len(samples(built, "culture", "test"))


# A work folder that was tampered with


DAMAGES = {
    "a part that is no Parquet": ("duplicates-*/part-*.parquet", b"no Parquet"),
    "a part cut short": ("images-*/part-*.parquet", None),
    "a manifest that is no JSON": ("duplicates-*/manifest.json", b"{"),
    "a part that is gone": ("duplicates-*/part-*.parquet", ...),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_work_folder_is_an_error_that_says_what_to_do(built, tmp_path, damage):
    recipe, work = built.copy("culture", tmp_path)
    recipe.write_text(recipe.read_text("utf-8").replace("test = 0.15", "test = 0.4"), "utf-8")
    pattern, content = DAMAGES[damage]
    (file,) = work.glob(pattern)
    whole = file.read_bytes()
    file.unlink()
    if content is not ...:
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(FormatError, match=r"damaged.*Remove") as caught:
        run_build(plan_build(recipe, work), tmp_path / "data", 1)
    assert str(work) in str(caught.value)
    assert not (tmp_path / "data" / "manifest.json").exists()


def test_the_advice_for_a_damaged_work_folder_helps(built, tmp_path):
    recipe, work = built.copy("culture", tmp_path)
    for path in work.glob("pack-*/*"):
        path.write_bytes(b"{")
    with pytest.raises(FormatError, match="damaged"):
        run_build(plan_build(recipe, work), tmp_path / "data", 1)
    for path in work.glob("pack-*"):
        path.rename(tmp_path / "removed")
    run_build(plan_build(recipe, work), tmp_path / "data", 1)
    made, whole = contents(tmp_path / "data"), contents(built.data)
    shared = [p for p in whole if "culture" in p and not p.endswith("recipe.toml")]
    assert [made[path] for path in shared] == [whole[path] for path in shared]


def test_the_provenance_tells_the_same_as_the_funnel(built):
    (funnel_file,) = (built.data / "provenance/culture/th").glob("*.json")
    story = json.loads(funnel_file.read_text("utf-8"))
    assert [level["unit"] for level in story["levels"]] == [
        level.unit for level in funnel(built.stages("culture"))
    ]
    assert [step["name"] for step in story["steps"]] == [s.name for s in built.stages("culture")]
