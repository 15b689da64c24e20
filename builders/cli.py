"""`mella-build`: make data sets, and explain how they were made."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from mella.builders import console as views
from mella.builders.build import damage_named, plan_build, run_build
from mella.builders.culture.discover.forecast_view import forecast_table
from mella.builders.engine.ledger import funnel, funnel_by
from mella.builders.engine.parts import write_atomically
from mella.builders.engine.runner import open_run
from mella.builders.foresee import foresee
from mella.builders.report.page import write_page
from mella.builders.report.story import trace
from mella.errors import MellaError
from mella.ranks import cores
from mella.schema import SPLITS

RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
FINISHED = click.argument("build", type=click.Path(path_type=Path))
WORK = click.option(
    "--work",
    type=click.Path(path_type=Path),
    help="Folder for what the steps write.  [default: work/NAME beside the recipe]",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the repository to put the samples into.  [default: data beside the recipe]",
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=cores,
    show_default="the cores of this machine",
    help="Processes. Each loads language models of about 0.9 GB.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, no tables.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mella")
def cli() -> None:
    """Make image-text data sets from web pages, or from images and their captions.

    A build is a RECIPE: a TOML file that says what goes in, in which languages, and by which rules.
    `mella-build demo` writes two small ones to start from, and runs them.

    \b
    mella-build demo                              everything once, on an embedded mini-web
    mella-build plan mella-demo/culture.toml      what a build would do
    mella-build run mella-demo/culture.toml       do it; run again to go on after a stop
    mella-build funnel mella-demo/culture.toml    how many rows each rule rejected
    mella-build explain mella-demo/culture.toml URL   what became of one page or image
    mella-build run --replay mella-demo/culture.toml  other thresholds, nothing fetched or scored
    """  # noqa: D301 - click knows the character \b: keep these lines as they are


@cli.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("mella-demo"),
    show_default=True,
    help="Folder to write to.",
)
@WORKERS
def demo(out: Path, workers: int) -> None:
    """Build both sources in all eight languages from the embedded mini-web, and load them back.

    Needs no network. The recipes that it writes into the folder are made to be changed and run
    again.
    """
    from mella.builders.miniweb.demo import run_demo

    run_demo(out, workers, views.output())


@cli.command()
@RECIPE
@WORK
@WORKERS
@click.option(
    "--rates",
    type=click.Path(path_type=Path),
    help="A finished build (recipe or work folder), to foresee from what came of its pages.",
)
@click.option(
    "--forecast/--no-forecast",
    "foresees",
    default=True,
    help="Whether the index of a crawl is asked what the build comes to.  [default: forecast]",
)
@JSON
def plan(
    recipe: Path,
    work: Path | None,
    workers: int,
    rates: Path | None,
    *,
    foresees: bool,
    as_json: bool,
) -> None:
    """Show the steps of RECIPE and which have finished; run nothing.

    A build that begins with the index of a crawl ([inputs] common_crawl) is foreseen too: pages,
    bytes and hosts by language are counted in the index; what comes of a page, and so the samples
    and the hours, are taken from the finished build that --rates names, or are unknown.
    """
    build = plan_build(recipe, work or _work_of(recipe))
    foreseen = foresee(build, rates and _folder_of(rates), workers) if foresees else None
    steps, stages = build.pipeline.steps, build.stages()
    if as_json:
        rows = [
            {**stage.to_json(), "version": step.version, "finished": stage.finished()}
            for step, stage in zip(steps, stages, strict=True)
        ]
        _write_json(
            {
                "build": build.about.build,
                "work": str(build.work),
                "steps": rows,
                "forecast": foreseen and asdict(foreseen),
            }
        )
        return
    title = (
        f"{recipe}: {build.about.source} in {' '.join(build.about.langs)}, "
        f"build {build.about.build}, {build.pipeline.inputs.num_rows} inputs"
    )
    views.output().print(views.plan_table(stages, [step.version for step in steps], title))
    if foreseen is not None:
        views.output().print(forecast_table(foreseen, "What the build comes to"))


@cli.command("run")
@RECIPE
@WORK
@OUT
@WORKERS
@click.option(
    "--allow-empty",
    is_flag=True,
    help="Replace the samples of a language even if the build keeps none in it.",
)
@click.option(
    "--replay",
    is_flag=True,
    help="Only cut stored scores anew: stop if anything before the cut would have to run.",
)
@JSON
def run_command(
    recipe: Path,
    work: Path | None,
    out: Path | None,
    workers: int,
    *,
    allow_empty: bool,
    replay: bool,
    as_json: bool,
) -> None:
    """Run RECIPE and put the samples into a repository.

    What has finished is not done again: stopped or killed, run the same command to go on. A changed
    threshold repeats just the steps that depend on it. With --replay, nothing is fetched or scored:
    change [cuts] in the recipe, and see within seconds what other thresholds keep.
    """
    build = plan_build(recipe, work or _work_of(recipe))
    out = out or recipe.parent / "data"
    bars = views.Bars(views.output(stderr=True))
    with bars.progress:
        manifest = run_build(build, out, workers, bars.show, allow_empty=allow_empty, replay=replay)
    there = {entry.lang for entry in manifest.indexes if entry.source == build.about.source}
    if empty := [lang for lang in build.about.langs if lang not in there]:
        click.echo(f"Warning: no {build.about.source} sample in {', '.join(empty)}.", err=True)
    if as_json:
        levels = [asdict(level) for level in funnel(build.stages())]
        _write_json({"build": build.about.build, "out": str(out), "levels": levels})
        return
    console = views.output()
    console.print(views.funnel_table(funnel(build.stages()), f"{recipe}: what became of every row"))
    console.print(views.repository_table(manifest, f"{out}: samples"))
    made = [entry for entry in manifest.indexes if entry.source == build.about.source]
    if made:
        one = min(made, key=lambda entry: SPLITS.index(entry.split))
        options = f"source={one.source!r}, split={one.split!r}, repo={str(out)!r}"
        click.echo(f"Load it:  load_mella({one.lang!r}, {options})")


@cli.command("funnel")
@FINISHED
@click.option("--by", type=click.Choice(["lang"]), help="Tell the rows of each language apart.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with all languages, rejected examples, scores and cut lines to this file.",
)
@JSON
def funnel_command(build: Path, by: str | None, page: Path | None, *, as_json: bool) -> None:
    """Show what became of every row of BUILD: a recipe that was run, or the work folder of one.

    Rows whose language is not known yet are counted under "-". The page that --html writes is one
    file that loads nothing else. It quotes pages, so treat it as you would treat the pages.
    """
    folder = _folder_of(build)
    title = f"{build}: what became of every row"
    with damage_named(folder):
        stages = open_run(folder)
        if page is not None:
            write_atomically(page, lambda path: write_page(stages, str(build), path))
        levels = funnel(stages)
        apart = funnel_by(stages, by) if by else []
    if as_json and by:
        _write_json([{value: asdict(one) for value, one in level.items()} for level in apart])
    elif as_json:
        _write_json([asdict(level) for level in levels])
    elif by:
        views.output().print(views.funnel_by_table(apart, title))
    else:
        views.output().print(views.funnel_table(levels, title))
    if page is not None:
        click.echo(f"Wrote {page}.", err=True)


@cli.command("explain")
@FINISHED
@click.argument("needle")
@JSON
def explain_command(build: Path, needle: str, *, as_json: bool) -> None:
    """Tell the whole story of what NEEDLE names, in BUILD (a recipe, or its work folder).

    NEEDLE is the address of a page or an image, the key of a sample, or the SHA-256 of an image.
    The story goes from the page it came from to the sample that was made of it, with what each step
    found and which of them rejected it. Ends with code 1 where there is no such row.
    """
    folder = _folder_of(build)
    with damage_named(folder):
        stages = open_run(folder)
        chapters = trace(stages, needle)
    if as_json:
        _write_json([asdict(chapter) for chapter in chapters])
    else:
        for chapter in chapters:
            views.output().print(views.chapter_table(chapter))
    if unfinished := [stage.name for stage in stages if not stage.finished()]:
        click.echo(f"Not finished, so more may follow: {', '.join(unfinished)}.", err=True)
    if not chapters:
        raise click.ClickException(
            f"No row of {build} has the URL, key or hash {needle!r}. Give it in full, as the page "
            "or the index writes it."
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error ends it with its message and code 1."""
    try:
        cli.main(args=arguments, prog_name="mella-build", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped. What has finished is kept: run the same command to go on.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (MellaError, OSError) as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(1)


def _work_of(recipe: Path) -> Path:
    return recipe.parent / "work" / recipe.stem


def _folder_of(build: Path) -> Path:
    return build if build.is_dir() else _work_of(build)


def _write_json(document: object) -> None:
    click.echo(json.dumps(document, indent=1, ensure_ascii=False))
