"""What `mella-build` shows: progress bars and tables, on a terminal or in a file.

Texts of pages and paths stand in the tables as they are: `rich` would take words in brackets for
its markup, and names between colons for emoji.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mella.builders.engine.ledger import Level
from mella.builders.engine.parts import Stage
from mella.builders.engine.runner import Progress as Done
from mella.builders.report.story import Chapter
from mella.manifest import Manifest

_WIDE = 10_000
_LONG = 600  # characters of a value, the text of a page for one; JSON has them all


def output(*, stderr: bool = False) -> Console:
    """Return the console to print on; a file or a pipe gets whole lines, however long."""
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    return console


class Bars:
    """A progress bar for each step, on a terminal; elsewhere, a line for each that has finished."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.tasks: dict[str, int] = {}
        self.progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def show(self, done: Done) -> None:
        """Show how far a step is."""
        if done.step not in self.tasks:
            self.tasks[done.step] = self.progress.add_task(done.step, total=done.total)
        task = self.progress.tasks[self.tasks[done.step]]
        self.progress.update(task.id, completed=done.done, total=done.total)
        if done.done == done.total and not self.console.is_terminal:
            self.console.print(f"{done.step}: {done.done} of {done.total} tasks")


def funnel_table(levels: Sequence[Level], title: str) -> Group:
    """Return what became of every row; the shares of each kind of row sum to 100 %."""
    table = Table()
    table.add_column("step")
    table.add_column("reason")
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    for level in levels:
        table.add_section()
        for reject in level.rejects:
            table.add_row(reject.step, reject.reason, *_count(reject.rows, level.rows))
        table.add_row("", "kept", *_count(level.kept, level.rows), style="green")
        table.add_row("", level.unit, *_count(level.rows, level.rows), style="bold")
    return _titled(title, table)


def plan_table(stages: Sequence[Stage], versions: Sequence[int], title: str) -> Group:
    """Return the steps of a build, and which have finished."""
    table = Table()
    for name in ("step", "version", "key", "state"):
        table.add_column(name)
    for stage, version in zip(stages, versions, strict=True):
        state = "finished" if stage.finished() else "begun" if stage.path.exists() else "to do"
        table.add_row(stage.name, str(version), stage.key, state)
    return _titled(title, table)


def repository_table(manifest: Manifest, title: str) -> Group:
    """Return the samples of a repository by language, source and split."""
    table = Table()
    columns = sorted({(entry.source, entry.split) for entry in manifest.indexes})
    table.add_column("lang")
    for source, split in columns:
        table.add_column(f"{source}\n{split}", justify="right")
    for lang in sorted({entry.lang for entry in manifest.indexes}):
        entries = [manifest.index(source, lang, split) for source, split in columns]
        table.add_row(lang, *(str(entry.samples) if entry else "" for entry in entries))
    return _titled(title, table)


def funnel_by_table(levels: Sequence[Mapping[str, Level]], title: str) -> Group:
    """Return what became of every row, a column for each value that they are told apart by."""
    table = Table()
    values = sorted({value for level in levels for value in level})
    for name in ("step", "reason"):
        table.add_column(name)
    for name in (*values, "all"):
        table.add_column(name, justify="right")
    for level in filter(None, levels):
        table.add_section()
        first = next(iter(level.values()))
        for number, reject in enumerate(first.rejects):
            rows = {value: one.rejects[number].rows for value, one in level.items()}
            table.add_row(reject.step, reject.reason, *_counts(rows, values))
        kept = {value: one.kept for value, one in level.items()}
        table.add_row("", "kept", *_counts(kept, values), style="green")
        rows = {value: one.rows for value, one in level.items()}
        table.add_row("", first.unit, *_counts(rows, values), style="bold")
    return _titled(title, table)


def chapter_table(chapter: Chapter) -> Group:
    """Return all that is known of one row: what each step wrote, and where it ended."""
    end = f"rejected by {chapter.step}: {chapter.reason}" if chapter.step else "kept"
    origin = "".join(f", from #{number}" for number in chapter.came_from)
    table = Table(show_header=False)
    for verdict in chapter.verdicts:
        table.add_section()
        shown = {name: _shown(value) for name, value in verdict.wrote.items()}
        if verdict.reason is not None:
            shown["reason"] = verdict.reason
        for number, (name, value) in enumerate(shown.items()):
            table.add_row("" if number else verdict.step, name, Text(value))
        if not shown:
            table.add_row(verdict.step, "", "passed")
    return _titled(f"#{chapter.number} {chapter.unit}: {end}{origin}", table)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_shown(one) for one in value)
    if isinstance(value, dict):
        return " ".join(f"{name}={one}" for name, one in value.items() if one is not None)
    text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text):,} characters)"


def _titled(title: str, table: Table) -> Group:
    # A title of the table itself would be folded to the width of the table.
    return Group(Text(title, style="italic"), table)


def _count(rows: int, of: int) -> tuple[str, str]:
    return f"{rows:,}", f"{rows / of:.1%}" if of else ""


def _counts(of: Mapping[str, int], values: Sequence[str]) -> list[str]:
    return [f"{of[value]:,}" if of.get(value) else "" for value in values] + [
        f"{sum(of.values()):,}"
    ]
