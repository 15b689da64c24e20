"""Every way to get the package: wheel from sdist, editable, from the root of the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TASK = """
import sys
from pathlib import Path
import pyarrow as pa
import mella, mella.builders.cli
from mella import load_mella
from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.runner import Pipeline, run
import mella.builders.miniweb

def main():
    sample = next(iter(load_mella("th", source="culture")))
    assert sample["text"] and sample["image"].size[0] > 90
    # Steps are pickled, and unpickled in spawned processes.
    warc = str(Path(mella.builders.miniweb.__file__).parent / "miniweb.warc.gz")
    inputs = pa.table({"path": [warc, warc], "name": ["a", "b"]})
    pipeline = Pipeline((records_step(RecordsParams()),), inputs, "digest")
    with LocalExecutor(2) as executor:
        stages = run(pipeline, Path(sys.argv[1]), executor)
    assert sum(part.kept for part in stages[0].parts()) > 400
    print(mella.__file__)

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git would hand out."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    for name in ("mella", "builders"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    """Built from the sdist, as an index would serve both."""
    out = tmp_path_factory.mktemp("dist")
    # Without --wheel or --sdist, `build` makes the wheel from the sdist.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout]
    subprocess.run(command, check=True, capture_output=True)
    assert len(list(out.glob("*.tar.gz"))) == 1
    return next(out.glob("*.whl"))


class Environment:
    """A virtual environment that sees the dependencies of this one, but not its mella."""

    def __init__(self, folder):
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        site = Path(
            sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
        )
        # Paths named in a .pth are searched, but the .pth files in them are not read: so this
        # environment's editable mella stays out of sight.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def install(self, *what):
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        command = [*pip, "--no-deps", "--no-build-isolation", "--ignore-installed", *what]
        subprocess.run(command, check=True, capture_output=True)

    def run(self, *arguments, cwd):
        hidden = ("PYTHONPATH", "MELLA_REPO", "COVERAGE_PROCESS_START")
        env = {name: value for name, value in os.environ.items() if name not in hidden}
        command = [self.python, *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "env")


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "task.py").write_text(TASK)
    return folder


def test_the_wheel_from_the_sdist(wheel, environment, elsewhere):
    environment.install(wheel)
    where = environment.run("task.py", elsewhere / "work", cwd=elsewhere)
    assert Path(where).is_relative_to(environment.python.parent.parent)
    shown = environment.run("-m", "mella.builders.cli", "--help", cwd=elsewhere)
    assert shown == ""  # a module, not a script: the command is `mella-build`
    command = environment.python.parent / "mella-build"
    listed = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "explain" in listed.stdout


def test_the_editable_install(checkout, environment, elsewhere):
    environment.install("--editable", checkout)
    where = environment.run("task.py", elsewhere / "work", cwd=elsewhere)
    assert Path(where) == checkout / "mella" / "__init__.py"


def test_the_root_of_the_checkout_without_any_install(checkout, environment, elsewhere):
    code = "import mella.builders.engine.step as s; print(s.Step.__module__)"
    assert environment.run("-c", code, cwd=checkout) == "mella.builders.engine.step"
    guard = "try:\n    import builders\nexcept ImportError as e:\n    print(e)"
    assert "mella.builders" in environment.run("-c", guard, cwd=checkout)


def test_the_wheel_holds_everything_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    packaged = {name for name in names if name.startswith("mella/")}
    expected = set()
    for folder, prefix in ((ROOT / "mella", "mella"), (ROOT / "builders", "mella/builders")):
        for file in folder.rglob("*"):
            inside = file.relative_to(folder)
            if file.is_file() and "__pycache__" not in inside.parts:
                expected.add(f"{prefix}/{inside.as_posix()}")
    expected = {name for name in expected if not name.startswith("mella/builders/builders/")}
    assert packaged == expected
    licenses = {Path(name).name for name in names if "/licenses/" in name}
    assert licenses == {"LICENSE", "NOTICE", "OFL.txt"}
