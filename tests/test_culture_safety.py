"""A whole build of the mini-web with lists, scores, blurred faces, and a cut by a score."""

import pyarrow.compute as pc
import pytest

from built_miniweb import built
from mella.builders.build import plan_build, run_build
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import outcomes, segments
from mella.builders.recipe import RecipeError
from mella.metadata import load_index

__all__ = ["built"]

MOST = 0.01  # some of the emoji lie above it
MORE = """
[hosts]
deny = ["hosts.txt"]

[hashes]
deny = ["hashes.txt"]

[safety]
backend = "opennsfw"
faces = "nudenet"
blur_faces = true

[cuts]
require = ["nsfw_score"]
nsfw_score = { most = MOST }
""".replace("MOST", str(MOST))


def rejects(build):
    """Return the rejected rows of all levels by reason."""
    return {
        reject.reason: reject.rows for level in funnel(build.stages()) for reject in level.rejects
    }


def test_lists_scores_and_cuts_in_a_build(built, tmp_path):
    thai = load_index("th", "culture", repo=built.folder / "data").to_table().to_pylist()
    listed, equal, like = thai[0]["domain"], thai[-1]["sha256"], thai[-2]["phash"]
    assert listed not in {thai[-1]["domain"], thai[-2]["domain"]}
    (tmp_path / "hosts.txt").write_text(f"{listed} # withdrawn\n")
    (tmp_path / "hashes.txt").write_text(f"{equal}\n{like}\n")
    recipe, work = built.copy("culture", tmp_path, MORE)
    build = plan_build(recipe, work)
    run_build(build, tmp_path / "data", 1)

    found = rejects(build)
    assert found["denied:host"] >= 1
    assert found["denied:hash"] >= 2
    now = load_index("all", "culture", repo=tmp_path / "data").to_table()
    assert listed not in now["domain"].to_pylist()
    assert equal not in now["sha256"].to_pylist()
    assert like not in now["phash"].to_pylist()
    assert pc.max(now["nsfw_score"]).as_py() <= MOST
    assert now["nsfw_score"].null_count == 0

    (images,) = (level for level in segments(build.stages()) if level[0].name == "images")
    columns = ["nsfw_score", "faces", "faces_blurred", "category"]
    rows = [
        row
        for part in images[0].parts()
        for row in outcomes(images, part.name, columns).to_pylist()
        if row["nsfw_score"] is not None
    ]
    assert [row["faces_blurred"] for row in rows] == [row["faces"] > 0 for row in rows]
    assert {row["faces_blurred"] for row in rows} == {True, False}
    above = [row["nsfw_score"] > MOST for row in rows]
    cut = [row["reason"] == "cut:nsfw_score" for row in rows]
    early = [row["reason"] in ("duplicate:image", "duplicate:near", "denied:hash") for row in rows]
    assert [one for one, gone in zip(above, early, strict=True) if not gone] == [
        one for one, gone in zip(cut, early, strict=True) if not gone
    ]
    assert 0 < sum(cut) < len(rows)
    assert found["cut:nsfw_score"] == sum(cut)


def test_what_was_published_with_blurred_faces_can_be_withdrawn(built, tmp_path):
    (tmp_path / "hosts.txt").write_text("")
    (tmp_path / "hashes.txt").write_text("")
    recipe, work = built.copy("culture", tmp_path, MORE.replace(f"{MOST}", "1.0"))
    run_build(plan_build(recipe, work), tmp_path / "data", 1)
    plain = load_index("all", "culture", repo=built.folder / "data").to_table()["sha256"]
    now = load_index("all", "culture", repo=tmp_path / "data").to_table()["sha256"]
    blurred = {*now.to_pylist()} - {*plain.to_pylist()}
    assert blurred
    (tmp_path / "hashes.txt").write_text("\n".join(blurred))
    build = plan_build(recipe, work)
    run_build(build, tmp_path / "data", 1)
    left = load_index("all", "culture", repo=tmp_path / "data").to_table()["sha256"]
    assert blurred.isdisjoint(left.to_pylist())
    assert rejects(build)["denied:hash"] >= len(blurred)


def test_a_cut_by_a_score_that_nothing_makes_is_an_error(built, tmp_path):
    recipe, work = built.copy("culture", tmp_path, "[cuts]\nnsfw_score = { most = 0.5 }\n")
    with pytest.raises(RecipeError, match=r"no such score while \[safety\] backend = \"none\""):
        plan_build(recipe, work)


def test_another_entry_in_a_list_is_another_build(built, tmp_path):
    (tmp_path / "hosts.txt").write_text("a.example\n")
    (tmp_path / "hashes.txt").write_text("")
    recipe, work = built.copy("culture", tmp_path, MORE)

    def key(name):
        build = plan_build(recipe, work)
        return next(stage.key for stage in build.stages() if stage.name == name)

    hosts, hashes = key("hosts"), key("hashes")
    (tmp_path / "hashes.txt").write_text("0" * 64 + "\n")
    assert key("hosts") == hosts
    assert key("hashes") != hashes
    hashes = key("hashes")
    (tmp_path / "hashes.txt").write_text("# nothing new\n" + "0" * 64 + "\n")
    assert key("hashes") == hashes
