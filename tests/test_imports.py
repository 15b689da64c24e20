"""How the package hangs together: imports run one way, and `import mella` is light."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READING = sorted((ROOT / "mella").glob("*.py")) + sorted((ROOT / "mella" / "sample").glob("*.py"))


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", READING, ids=lambda file: file.name)
def test_nothing_that_reads_imports_the_builders(file):
    assert not [name for name in imported(file) if name.startswith("mella.builders")]


@pytest.mark.parametrize("file", sorted((ROOT / "builders").rglob("*.py")), ids=str)
def test_builders_import_no_tests(file):
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")}
    assert not [name for name in imported(file) if name.partition(".")[0] in tests]


def test_steps_do_not_import_those_of_the_other_pipeline_but_for_text_and_pictures():
    culture = [
        name
        for file in (ROOT / "builders" / "culture").glob("*.py")
        for name in imported(file)
        if name.startswith("mella.builders.linguistics")
    ]
    assert not culture


def run(code):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_import_is_light():
    heavy = ("torch", "datasets", "pyarrow", "numpy", "PIL", "huggingface_hub", "pandas", "rich")
    loaded = run(f"import sys, mella; print([n for n in {heavy} if n in sys.modules])")
    assert loaded.strip() == "[]"


def test_loading_needs_nothing_that_only_building_needs():
    building = ("aiohttp", "fastwarc", "selectolax", "lingua", "msgspec", "torch")
    code = f"""
import sys
from mella import load_mella
next(iter(load_mella("th", source="culture")))
print([n for n in {building} if n in sys.modules])
"""
    loaded = set(ast.literal_eval(run(code).splitlines()[-1]))
    # `datasets` loads aiohttp and torch by itself where they are installed.
    assert loaded <= {"aiohttp", "torch"}


# What only some users want: imported where it is used, and asked for by name where it is missing.
OPTIONAL = {"cykooz_resizer", "torch"}


def test_what_reads_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    modules = {"PIL": "pillow", "cykooz_resizer": "cykooz-resizer"}
    used = {name.partition(".")[0] for file in READING for name in imported(file)}
    outside = used - {*sys.stdlib_module_names, "mella"}
    needed = {modules.get(name, name) for name in outside - OPTIONAL}
    assert needed <= names(project["dependencies"])
    optional = names(extras["fast"]) | names(extras["train"])
    assert {modules.get(name, name) for name in outside & OPTIONAL} <= optional


def names(requirements):
    return {re.split(r"[\[<>=]", one)[0].lower() for one in requirements}
