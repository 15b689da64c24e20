"""The command line `mella`: what it says, in text and in JSON, and the code it ends with."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from mella import cli
from mella.export_index import FORMATS
from repositories import build, samples, serve

CELLS = {
    ("culture", "th", "train"): samples("culture", "th", 5),
    ("linguistics", "vi", "validation"): samples("linguistics", "vi", 3),
}
COMMANDS: list[list[str]] = [[], ["export"], ["export", "index"]]


class Said(NamedTuple):
    code: object
    out: str
    err: str


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run a command here, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code: object = 0
        try:
            cli.main([*map(str, arguments)])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return build(tmp_path / "data", CELLS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_helps(call, command, flag):
    code, out, err = call(*command, flag)
    assert (code, err) == (0, "")
    assert out.startswith(" ".join(["Usage: mella", *command]))
    assert max(map(len, out.splitlines())) <= 100


def test_these_are_all_commands():
    assert {*cli.cli.commands} == {"export"}
    assert {*cli.export.commands} == {"index"}


def test_version(call):
    assert re.fullmatch(r"mella, version [\w.]+\n", call("--version").out)


def test_it_has_all_formats(call):
    (option,) = (p for p in cli.export_index_command.params if p.name == "format_")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == FORMATS
    help_ = call("export", "index", "--help").out
    assert all(f"\n  {kind} " in help_ for kind in FORMATS)


def test_help_is_light():
    code = """
import sys
from mella.cli import main
try:
    main(["export", "index", "--help"])
except SystemExit:
    pass
print([name for name in ("pyarrow", "datasets", "torch", "huggingface_hub") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", FORMATS)
def test_it_says_what_it_wrote_and_how_to_read_it(call, repo, tmp_path, kind):
    code, out, err = call("export", "index", "data", "--format", kind)
    assert (code, err) == (0, "")
    first, then, *program = out.splitlines()
    assert first == f"{tmp_path}/data-{kind}: the {kind} index of 8 samples in 4 shards."
    assert then == "Read it:"
    ast.parse("\n".join(program))
    assert f"{tmp_path}/data-{kind}" in out


def test_options_choose(call, repo, tmp_path):
    options = ["--lang", "vi", "--source", "linguistics", "--split", "validation"]
    code, out, _ = call("export", "index", repo, "--format", "energon", "--out", "new", *options)
    assert code == 0
    assert "the energon index of 3 samples in 2 shards" in out
    assert 'split_part="val"' in out
    assert (tmp_path / "new" / ".nv-meta").is_dir()


def test_json(call, repo, tmp_path):
    code, out, err = call("export", "index", repo, "--format", "dali", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "format": "dali",
        "out": str(tmp_path / "data-dali"),
        "repository": str(repo),
        "splits": ["train", "validation"],
        "shards": 4,
        "samples": 8,
        "taken_down": 0,
        "elsewhere": [],
    }


def test_samples_that_were_taken_down_are_told(call, tmp_path):
    gone = CELLS["culture", "th", "train"][0].key
    build(tmp_path / "data", CELLS, tombstones=[gone])
    _, out, _ = call("export", "index", "data", "--format", "dali")
    assert "of 7 samples in 4 shards; 1 that were taken down are not in it." in out


def test_several_languages(call, repo):
    both = call("export", "index", repo, "--format", "dali", "--lang", "th", "--lang", "vi")
    assert "of 8 samples in 4 shards" in both.out


@pytest.mark.parametrize("kind", FORMATS)
def test_shards_that_are_elsewhere_are_told(call, repo, kind):
    with serve(repo) as server:
        code, _, err = call("export", "index", server.url, "--format", kind, "--out", "new")
    assert code == 0
    if kind == "wids":  # reads URLs
        assert err == ""
    else:
        assert err.startswith("Note: 4 of the 4 shards are not on this machine")
        assert "culture/th/culture-th-train-00000-of-00002.tar" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["exprt"], 2, "No such command 'exprt'"),
        (["export", "index"], 2, "Missing argument 'REPO'"),
        (["export", "index", "data"], 2, "Missing option '--format'"),
        (["export", "index", "data", "--format", "zip"], 2, "'zip' is not one of"),
        (["export", "index", "nowhere", "--format", "dali"], 1, "Error: repo='nowhere' is neither"),
        (["export", "index", "data", "--format", "dali", "--lang", "xx"], 1, "language 'xx'"),
        (["export", "index", "data", "--format", "dali", "--split", "val"], 1, "split 'val'"),
        (["export", "index", "data", "--format", "dali", "--out", "data/x"], 1, "--out"),
    ],
)
def test_errors(call, repo, arguments, code, message):
    said = call(*arguments)
    assert (said.code, said.out) == (code, "")
    assert message in said.err
    assert "Traceback" not in said.err
    if code == 1:
        assert said.err.startswith("Error: ")
        assert len(said.err.splitlines()) == 1


def test_being_stopped(call, monkeypatch, repo):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mella.export_index.open_repository", stop)
    said = call("export", "index", "data", "--format", "dali")
    assert (said.code, said.err.strip()) == (130, "Stopped.")
