"""The whole story of a row, over all levels of a build."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pytest

from built_miniweb import built
from mella import load_mella
from mella.builders.culture.addresses import resolve_url
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.parts import read_part
from mella.builders.engine.runner import Pipeline, run
from mella.builders.engine.step import Step
from mella.builders.report.story import trace

__all__ = ["built"]  # a fixture


def units(chapters):
    return [chapter.unit for chapter in chapters]


@pytest.fixture(scope="module")
def sample(built):
    return next(iter(load_mella("th", source="culture", repo=built.data, decode=False)))


def test_a_key_leads_back_to_the_page(built, sample):
    record, candidate, image, last = trace(built.stages("culture"), sample["key"])
    assert units([record, candidate, image, last]) == [
        "records", "candidates", "images", "samples",
    ]  # fmt: skip
    assert [one.came_from for one in (record, candidate, image, last)] == [(), (1,), (2,), (3,)]
    assert record.row["url"] == candidate.row["page_url"] == sample["page_url"]
    assert candidate.row["id"] == image.row["id"]
    assert {one.reason for one in (record, candidate, image, last)} == {None}
    steps = [verdict.step for verdict in candidate.verdicts]
    assert steps == [*("candidates", "hosts", "text", "repetition", "language", "consent")]
    assert candidate.verdicts[4].wrote["language_score"] == candidate.row["language_score"]


def test_an_image_url_leads_both_ways_and_to_its_own_record(built, sample):
    chapters = trace(built.stages("culture"), sample["image_url"])
    assert sorted(units(chapters)) == ["candidates", "images", "records", "records", "samples"]
    assert {one.row["kind"] for one in chapters if one.unit == "records"} == {"image", "page"}


def test_a_page_leads_to_all_that_came_of_it(built, sample):
    stages = built.stages("culture")
    chapters = trace(stages, sample["page_url"])
    named = [one for one in chapters if one.unit == "candidates"]
    assert len(named) > 1
    assert {one.came_from for one in named} == {(1,)}
    assert chapters[0].unit == "records"
    numbers = [one.number for one in chapters]
    assert numbers == [*range(1, len(chapters) + 1)]
    for chapter in chapters:
        assert all(number < chapter.number for number in chapter.came_from)


def test_the_other_images_of_a_page_are_not_told_of(built, sample):
    chapters = trace(built.stages("culture"), sample["sha256"])
    assert {one.row["sha256"] for one in chapters if one.unit == "images"} == {sample["sha256"]}
    candidates = [one for one in chapters if one.unit == "candidates"]
    assert len(candidates) == units(chapters).count("images")


def test_a_rejected_row_shows_what_was_found_and_where_it_ended(built):
    url = "http://kuchyne.cs.example/img/logo.png"
    (chapter,) = [one for one in trace(built.stages("culture"), url) if one.unit == "candidates"]
    assert (chapter.step, chapter.reason) == ("text", "text:boilerplate")
    assert [(one.step, one.reason) for one in chapter.verdicts] == [
        ("candidates", None),
        ("hosts", None),
        ("text", "text:boilerplate"),
    ]
    assert chapter.verdicts[2].wrote["text"] == "logo"
    assert resolve_url(url, url)[0] == chapter.row["image_url"]


def test_a_caption_and_its_image_come_before_their_pair(built):
    stages = built.stages("linguistics")
    sample = next(iter(load_mella("sr", source="linguistics", repo=built.data, decode=False)))
    first, second, pair, last = trace(stages, sample["key"])
    assert {first.row["kind"], second.row["kind"]} == {"caption", "image"}
    assert pair.came_from == (1, 2)
    assert last.came_from == (3,)
    # Asked for by the caption, its image is told of, but no caption in another language.
    caption = next(one for one in (first, second) if one.row["kind"] == "caption")
    assert trace(stages, caption.row["id"]) == [first, second, pair, last]


@dataclass(frozen=True)
class Nothing:
    """No parameters."""


INPUT = pa.schema([("n", pa.int64())])
PAGES = pa.schema([("url", pa.string()), ("collected_at", pa.string())])
FOUND = pa.schema([("id", pa.string()), ("page_url", pa.string()), ("collected_at", pa.string())])


def pages(table, _, __):
    for n in table["n"].to_pylist():
        yield pa.table([["http://a.example/"], [f"2026-01-0{n}"]], schema=PAGES)


def find(table, _, __):
    for row in table.to_pylist():
        yield pa.table(
            [[f"id-{row['collected_at']}"], [row["url"]], [row["collected_at"]]], schema=FOUND
        )


def toy(work):
    steps = (
        Step("pages", 1, pages, INPUT, PAGES, Nothing(), expands=True, unit="pages"),
        Step("find", 1, find, PAGES, FOUND, Nothing(), expands=True, unit="finds"),
    )
    inputs = pa.table({"n": [1, 2]}, schema=INPUT)
    digest = hashlib.sha256(b"toy").hexdigest()
    return run(Pipeline(steps, inputs, digest), work, LocalExecutor(1))


def test_a_page_that_was_collected_twice_has_two_stories(tmp_path):
    stages = toy(tmp_path)
    chapters = trace(stages, "http://a.example/")
    assert units(chapters) == ["pages", "finds", "pages", "finds"]
    assert [one.came_from for one in chapters] == [(), (1,), (), (3,)]
    second, found = trace(stages, "id-2026-01-02")
    assert second.row["collected_at"] == found.row["collected_at"] == "2026-01-02"


def test_an_unfinished_build_is_told_as_far_as_it_went(tmp_path):
    stages = toy(tmp_path)
    (stages[1].path / "manifest.json").unlink()
    assert units(trace(stages, "http://a.example/")) == ["pages", "pages"]
    assert trace(stages, "nothing") == []
    names = [part.name for part in stages[0].parts()]
    assert sum(read_part(stages[:1], name, ["url"]).num_rows for name in names) == 2
