"""The demo, run once for all tests of a session: both sources built from the mini-web.

A test that changes what was built takes a copy of the work folder (`Built.copy`): the inputs stay
where they are, so that the finished steps of the copy count as finished.
"""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from mella.builders import cli
from mella.builders.engine.parts import Stage
from mella.builders.engine.runner import open_run

SOURCES = ("culture", "linguistics")


@dataclass(frozen=True)
class Built:
    """The folder of the demo, and what the command said."""

    folder: Path
    said: str

    @property
    def data(self) -> Path:
        """The repository."""
        return self.folder / "data"

    def recipe(self, source: str) -> Path:
        """The recipe of a source."""
        return self.folder / f"{source}.toml"

    def work(self, source: str) -> Path:
        """The work folder of a source."""
        return self.folder / "work" / source

    def stages(self, source: str) -> list[Stage]:
        """The finished steps of a source."""
        return open_run(self.work(source))

    def copy(self, source: str, to: Path, more: str = "") -> tuple[Path, Path]:
        """Copy a recipe, with more lines, and its work folder; return where they are now."""
        work = shutil.copytree(self.work(source), to / "work")
        text = self.recipe(source).read_text("utf-8")
        for name in ("miniweb.warc.gz", "captions.jsonl", "data"):
            text = text.replace(f'["{name}"]', f'["{self.folder / name}"]')
        recipe = to / f"{source}.toml"
        recipe.write_text(text + more, encoding="utf-8")
        return recipe, work


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The demo in a folder; each test file that imports this gets the same one."""
    folder = tmp_path_factory.getbasetemp() / "built-miniweb"
    said = folder / "said.txt"
    if not said.exists():
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
            cli.main(["demo", "--out", str(folder), "--workers", "1"])
        said.write_text(out.getvalue(), encoding="utf-8")
    return Built(folder, said.read_text("utf-8"))
