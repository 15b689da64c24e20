"""The command line: what it says, in tables and in JSON, and the code it ends with."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from built_miniweb import SOURCES, built
from mella import load_mella
from mella.builders import cli
from mella.builders.build import plan_build
from mella.builders.console import chapter_table, output
from mella.builders.report.story import Chapter, Verdict
from mella.languages import languages

__all__ = ["built"]  # a fixture

COMMANDS = ("demo", "plan", "run", "funnel", "explain")
PAGE = "http://kuchyne.cs.example/"


@pytest.fixture
def call(capsys):
    """Run a command here; return its code, what it said, and what it said of errors."""

    def run(*arguments):
        code: object = 0
        try:
            cli.main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def installed(*arguments, **environment):
    command = Path(sys.executable).with_name("mella-build")
    return subprocess.run(
        [command, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_installed_command_helps():
    done = installed("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in done.stdout
    assert re.fullmatch(r"mella-build, version [\w.]+\n", installed("--version").stdout)


def test_these_are_all_commands():
    assert {*cli.cli.commands} == {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_helps(call, name, flag):
    code, out, err = call(name, flag)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: mella-build {name}")
    assert len(out.splitlines()) > 6


@pytest.mark.parametrize(
    "arguments",
    [
        ["pland"],
        ["plan"],
        ["plan", "--jsonn", "a.toml"],
        ["run", "a.toml", "--workers", "0"],
        ["run", "a.toml", "--workers", "many"],
        ["explain", "a.toml"],
        ["demo", "--out", __file__],
        [],
    ],
    ids=" ".join,
)
def test_a_wrong_use_ends_with_code_2(call, arguments):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: mella-build" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "gone.toml"], "There is no recipe"),
        (["run", "gone.toml"], "There is no recipe"),
        (["plan", "."], "is a folder"),
        (["funnel", "gone.toml"], "holds no build"),
        (["explain", ".", "key"], "holds no build"),
    ],
    ids=str,
)
def test_an_error_is_one_line_and_code_1(call, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_an_error_of_the_system_is_told_like_others(call, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "plan_build", full)
    assert call("plan", "a.toml") == (1, "", "Error: [Errno 28] No space left on device\n")


def test_an_interrupt_ends_with_code_130(call, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "plan_build", interrupt)
    code, _, err = call("run", "a.toml")
    assert code == 130
    assert "run the same command to go on" in err


def test_the_demo_shows_what_it_did(built):
    for code in languages():
        assert re.search(rf"^│ {code}   │", built.said, re.MULTILINE)
    assert "Loaded 241 samples back" in built.said
    assert str(built.folder / "contact-sheet.html") in built.said
    assert "100.0%" in built.said


@pytest.mark.parametrize("source", SOURCES)
def test_plan_shows_the_steps_and_runs_nothing(call, built, source, tmp_path):
    recipe, work = built.recipe(source), tmp_path / "work"
    code, out, _ = call("plan", recipe, "--work", work)
    assert code == 0
    assert not work.exists()
    assert "to do" in out
    assert "finished" not in out
    code, out, _ = call("plan", recipe)
    assert all(stage.name in out and stage.key in out for stage in built.stages(source))
    assert out.count("finished") == len(built.stages(source))


def test_plan_in_json(call, built):
    code, out, err = call("plan", built.recipe("culture"), "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["work"] == str(built.work("culture"))
    assert [step["name"] for step in document["steps"]] == [
        stage.name for stage in built.stages("culture")
    ]
    assert all(step["finished"] and step["version"] >= 1 for step in document["steps"])


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_says_where_the_samples_are(call, built, source, tmp_path):
    out_folder = tmp_path / "data [1]"
    code, out, err = call("run", built.recipe(source), "--out", out_folder, "--workers", 1)
    assert code == 0
    assert "pack: 1 of 1 tasks" in err
    assert f"{out_folder}: samples" in out
    said = out.splitlines()[-1].removeprefix("Load it:  ")
    (sample, *_) = eval(said, {"load_mella": load_mella})  # what a reader would do
    assert sample["source"] == source


def test_a_run_in_json(call, built, tmp_path):
    arguments = ("run", built.recipe("culture"), "--out", tmp_path / "data", "--json")
    code, out, _ = call(*arguments)
    document = json.loads(out)
    assert code == 0
    assert document["out"] == str(tmp_path / "data")
    assert [level["unit"] for level in document["levels"]][-1] == "samples"


def test_a_run_into_what_cannot_be_replaced_stops_before_it_starts(call, built, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    arguments = ("run", built.recipe("culture"), "--work", tmp_path / "work", "--out", tmp_path)
    code, _, err = call(*arguments)
    assert code == 1
    assert "is not the manifest of a mella repository" in err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("source", SOURCES)
def test_the_funnel_sums_to_all(call, built, source):
    code, out, err = call("funnel", built.recipe(source), "--json")
    assert (code, err) == (0, "")
    for level in json.loads(out):
        assert level["rows"] == level["kept"] + sum(one["rows"] for one in level["rejects"])
    of_folder = call("funnel", built.work(source), "--json")
    assert of_folder == (0, out, "")
    code, table, _ = call("funnel", built.recipe(source))
    assert code == 0
    for level in json.loads(out):
        for one in level["rejects"]:
            assert re.search(rf"│ {one['step']} +│ {one['reason']} +│ +{one['rows']} │", table)


@pytest.mark.parametrize("source", SOURCES)
def test_the_funnel_of_each_language_sums_to_the_whole(call, built, source):
    code, out, err = call("funnel", built.recipe(source), "--by", "lang", "--json")
    assert (code, err) == (0, "")
    whole = json.loads(call("funnel", built.recipe(source), "--json")[1])
    for level, apart in zip(whole, json.loads(out), strict=True):
        assert {*apart} <= {"-", *languages()}
        for name in ("rows", "kept"):
            assert sum(one[name] for one in apart.values()) == level[name]
    assert {*json.loads(out)[-1]} == {*languages()}  # every sample has a language
    code, table, _ = call("funnel", built.recipe(source), "--by", "lang")
    assert code == 0
    kept = [one["kept"] for _, one in sorted(json.loads(out)[-1].items())]
    cells = " │ +".join(map(str, [*kept, sum(kept)]))
    assert re.search(rf"│ kept +│ (?: +│ )? *{cells} │", table)


def test_the_funnel_is_a_page_too(call, built, tmp_path):
    page = tmp_path / "pages" / "funnel.html"
    code, out, err = call("funnel", built.recipe("culture"), "--html", page)
    assert (code, err) == (0, f"Wrote {page}.\n")
    assert "what became of every row" in out
    text = page.read_text("utf-8")
    assert text.startswith("<!doctype html>")
    for found in ("text:boilerplate", "duplicate:image", "language_score", "data:image/jpeg"):
        assert found in text
    again = tmp_path / "again.html"
    assert call("funnel", built.recipe("culture"), "--html", again, "--json")[0] == 0
    assert again.read_text("utf-8") == text


def test_a_replay_without_a_cut_says_so(call, built, tmp_path):
    data = tmp_path / "data"
    code, out, err = call("run", built.recipe("linguistics"), "--replay", "--out", data)
    assert (code, out) == (1, "")
    assert "no cut step" in err
    assert not data.exists()


def stories(call, built, needle, source="culture"):
    code, out, err = call("explain", built.recipe(source), needle, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_row_is_found_by_every_name_it_has(call, built):
    (story,) = [
        one
        for one in stories(call, built, "http://kuchyne.cs.example/img/logo.png")
        if one["unit"] == "candidates"
    ]
    assert (story["step"], story["reason"]) == ("text", "text:boilerplate")
    sample = next(iter(load_mella("cs", source="culture", repo=built.data)))
    for name in ("key", "sha256", "image_url", "page_url"):
        found = stories(call, built, sample[name])
        assert sample["key"] in {one["row"].get("key") for one in found}
    sample = next(iter(load_mella("cs", source="linguistics", repo=built.data)))
    assert stories(call, built, sample["key"], "linguistics")


def test_a_story_is_a_table_with_whole_lines(call, built):
    sample = next(iter(load_mella("th", source="culture", repo=built.data)))
    code, out, err = call("explain", built.recipe("culture"), sample["key"])
    assert (code, err) == (0, "")
    assert re.search(r"^#1 records: kept$", out, re.MULTILINE)
    assert re.search(r"^#\d candidates: kept, from #1$", out, re.MULTILINE)
    assert re.search(r"^#\d images: kept, from #\d$", out, re.MULTILINE)
    assert re.search(r"^#\d samples: kept, from #\d$", out, re.MULTILINE)
    for name in ("image_url", "sha256", "text"):
        assert re.search(rf"│ {name} +│ {re.escape(sample[name])} +│", out)


def test_what_no_row_has_ends_with_code_1(call, built):
    code, out, err = call("explain", built.recipe("culture"), "http://[/none]")
    assert (code, out) == (1, "")
    assert "'http://[/none]'" in err
    code, out, err = call("explain", built.recipe("culture"), "http://none.example/", "--json")
    assert (code, json.loads(out)) == (1, [])


def test_an_unfinished_build_has_stories_but_no_funnel(call, built, tmp_path):
    recipe, work = built.copy("culture", tmp_path)
    steps = [step.name for step in plan_build(recipe, work).pipeline.steps]
    undone = steps[steps.index("images") :]
    for name in undone:
        for path in work.glob(f"{name}-*"):
            path.rename(tmp_path / name)
    code, out, err = call("funnel", work)
    assert (code, out) == (1, "")
    assert "has not finished. Run the build again" in err
    code, out, err = call("explain", work, "http://kuchyne.cs.example/img/logo.png")
    assert code == 0
    assert "rejected by text: text:boilerplate" in out
    assert err == f"Not finished, so more may follow: {', '.join(undone)}.\n"
    assert call("plan", recipe, "--work", work)[1].count("to do") == len(undone)


def test_a_damaged_build_is_told_apart(call, built, tmp_path):
    _, work = built.copy("culture", tmp_path)
    (part,) = work.glob("text-*/part-*.parquet")
    part.write_bytes(b"no Parquet")
    code, _, err = call("explain", work, "http://kuchyne.cs.example/img/logo.png")
    assert code == 1
    assert "damaged" in err
    (work / "run.json").write_text("{")
    for arguments in (["funnel", work], ["explain", work, "key"]):
        code, _, err = call(*arguments)
        assert code == 1
        assert "damaged" in err


def test_a_pipe_gets_whole_lines_and_no_colours(built):
    done = installed("funnel", built.recipe("culture"), COLUMNS="20", FORCE_COLOR="")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert f"{built.recipe('culture')}: what became of every row" in done.stdout
    assert re.search(r"│ records +│ media_type:text/plain +│", done.stdout)


def test_a_reader_that_goes_away_is_no_error_to_talk_about(built):
    command = Path(sys.executable).with_name("mella-build")
    done = subprocess.run(
        ["sh", "-c", f"'{command}' explain '{built.work('culture')}' '{PAGE}' --json | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_texts_are_shown_as_they_are(capsys):
    text = "[/img] [bold]x[/] :smile: \\"
    row = {"alt": text, "[/url]": 1}
    verdicts = (Verdict("candidates", row, None),)
    output().print(chapter_table(Chapter(1, (), "candidates", None, None, verdicts, row)))
    said = capsys.readouterr().out
    assert f" {text} " in said
    assert "[/url]" in said


def test_a_terminal_keeps_its_width(monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("COLUMNS", "61")
    assert output().width == 61


@pytest.mark.parametrize("command", ["funnel", "explain"])
def test_what_was_never_built_is_not_called_damaged(call, tmp_path, command):
    code, _, error = call(command, tmp_path / "nope", *(["x"] if command == "explain" else []))
    assert code == 1
    assert "holds no build" in error
    assert "damaged" not in error


def test_a_build_that_keeps_nothing_takes_nothing_away(call, built, tmp_path):
    recipe = tmp_path / "culture.toml"
    text = (built.folder / "culture.toml").read_text()
    recipe.write_text(text.replace("min_side = 96", "min_side = 5000"))
    for name in ("miniweb.warc.gz", "data", "work"):
        source = built.folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    before = (tmp_path / "data" / "manifest.json").read_bytes()
    code, _, error = call("run", recipe, "--workers", 1)
    assert (code, "--allow-empty" in error) == (1, True)
    assert (tmp_path / "data" / "manifest.json").read_bytes() == before


def test_a_repository_cannot_lie_in_a_work_folder(call, built, tmp_path):
    recipe = built.folder / "culture.toml"
    code, _, error = call("run", recipe, "--work", tmp_path, "--out", tmp_path / "data")
    assert (code, "--out" in error) == (1, True)


def test_without_the_packages_for_building_it_says_what_to_install():
    code = (
        "import sys; sys.modules['selectolax'] = None; import mella.builders.entry as e; e.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'mella[build]'" in done.stderr
