"""A whole build of the mini-web with lists, scores, blurred faces, and a cut by a score."""

import pyarrow.compute as pc

from built_miniweb import built
from mella.builders.build import plan_build, run_build
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import outcomes, segments
from mella.metadata import load_index

__all__ = ["built"]

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
nsfw_score = { most = 0.5 }
"""


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
    assert pc.max(now["nsfw_score"]).as_py() <= 0.5
    assert now["nsfw_score"].null_count == 0

    (images,) = (level for level in segments(build.stages()) if level[0].name == "images")
    columns = ["nsfw_score", "faces", "faces_blurred", "category"]
    rows = [
        row
        for part in images[0].parts()
        for row in outcomes(images, part.name, columns).to_pylist()
        if row["nsfw_score"] is not None
    ]
    assert {row["faces_blurred"] for row in rows} <= {row["faces"] > 0 for row in rows}
    cut = {row["nsfw_score"] > 0.5 for row in rows if row["reason"] == "cut:nsfw_score"}
    assert cut <= {True}
    assert found.get("cut:nsfw_score", 0) == sum(row["reason"] == "cut:nsfw_score" for row in rows)


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
