"""`mella`: work with data sets from the command line."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mella.errors import MellaError

if TYPE_CHECKING:
    from mella.export_index import Exported

_READ = {
    "wids": """\
import wids
data = wids.ShardListDataset("{out}/{split}.json")
data[0][".txt"]""",
    "dali": """\
index = sorted(Path("{out}").glob("*/*/*-{split}-*.idx"))
tars = [Path("{tars}") / file.relative_to("{out}").with_suffix(".tar") for file in index]
jpg, txt = fn.readers.webdataset(
    paths=[*map(str, tars)], index_paths=[*map(str, index)], ext=["jpg", "txt"]
)""",
    "energon": """\
from megatron.energon import WorkerConfig, get_loader, get_train_dataset
data = get_train_dataset(
    "{out}",
    split_part="{part}",
    worker_config=WorkerConfig.default_worker_config(num_workers=2),
    batch_size=8,
    shuffle_buffer_size=100,
    max_samples_per_sequence=100,
)
batch = next(iter(get_loader(data)))""",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mella")
def cli() -> None:
    """Work with image-text data sets: REPO is a folder, a URL or a Hugging Face Hub id.

    \b
    mella export index data --format dali         index files for NVIDIA DALI
    mella export index org/name --format wids     for wids, straight from the Hub

    Exit codes: 0 done, 1 it could not be done (the message says why), 2 the command is not
    understood, 130 stopped.
    """  # noqa: D301 - click knows the character \b: keep these lines as they are


@cli.group()
def export() -> None:
    """Write what other programs want of a data set."""


@export.command("index")
@click.argument("repo")
@click.option(
    "--format",
    "format_",
    required=True,
    type=click.Choice(["wids", "dali", "energon"]),
    help="The reader to write for.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to write: a new one, outside the data set.  [default: ./NAME-FORMAT]",
)
@click.option(
    "--lang",
    multiple=True,
    metavar="CODE",
    help="A language; may be given several times.  [default: all]",
)
@click.option("--source", default="both", show_default=True, help="culture, linguistics or both.")
@click.option("--split", default="all", show_default=True, help="train, validation, test or all.")
@click.option("--revision", help="Branch, tag or commit of a data set on the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, no text.")
def export_index_command(
    repo: str,
    *,
    format_: str,
    out: Path | None,
    lang: tuple[str, ...],
    source: str,
    split: str,
    revision: str | None,
    as_json: bool,
) -> None:
    """Write the index files that another reader wants of the shards of REPO.

    The shards are plain WebDataset tars: `webdataset` and `datasets` read them as they are. Other
    readers want an index beside them. It is made from the index of REPO, without reading a tar:

    \b
    wids      SPLIT.json for each split
    dali      PATH.idx for each shard PATH.tar, as wds2idx writes it
    energon   .nv-meta, PATH.tar.idx, and links to the shards, as energon prepare writes it

    Samples that were taken down are left out, or the command refuses.

    \b
    mella export index data --format energon --out data-energon
    mella export index org/name --format wids --lang th --lang vi --split train
    """  # noqa: D301
    from mella.export_index import export_index

    done = export_index(
        repo,
        format_,
        out,
        lang=list(lang) or "all",
        source=source,
        split=split,
        revision=revision,
    )
    if as_json:
        document = {**asdict(done), "out": str(done.out)}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        click.echo(
            f"{done.out}: the {done.format} index of {done.samples} samples in {done.shards} shards"
            f"{f'; {done.taken_down} that were taken down are not in it' * bool(done.taken_down)}."
        )
        click.echo(f"Read it:\n{_how_to_read(done)}")
    if done.elsewhere and done.format != "wids":
        click.echo(_where_to_put_shards(done), err=True)


def _how_to_read(done: "Exported") -> str:
    split = done.splits[0]
    return _READ[done.format].format(
        out=done.out,
        split=split,
        part="val" if split == "validation" else split,
        tars=done.repository if Path(done.repository).is_dir() else "FOLDER-OF-SHARDS",
    )


def _where_to_put_shards(done: "Exported") -> str:
    """Say what is still needed where the shards are not on this machine."""
    into = f"into {done.out}" if done.format == "energon" else "into a folder"
    return (
        f"Note: {len(done.elsewhere)} of the {done.shards} shards are not on this machine, and "
        f"{done.format} reads files. Copy them {into}, each by its path in {done.repository}, such "
        f"as {done.elsewhere[0]}. (From the Hub: hf download ID --repo-type dataset --revision "
        "COMMIT --local-dir FOLDER.)"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error ends it with its message and code 1."""
    try:
        cli.main(args=arguments, prog_name="mella", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (MellaError, OSError) as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(1)
