"""The whole pipeline on the embedded mini-web: build both sources, load them back, show them."""

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from mella.builders.build import plan_build, run_build
from mella.builders.console import Bars, funnel_table, repository_table
from mella.builders.engine.ledger import funnel
from mella.builders.miniweb.contact_sheet import write_contact_sheet
from mella.manifest import Manifest
from mella.schema import SPLITS

_HERE = Path(__file__).parent
MATERIAL = ("culture.toml", "linguistics.toml", "miniweb.warc.gz", "captions.jsonl")
"""What a demo folder starts from; recipes that are there already stay as they are."""


def run_demo(folder: Path, workers: int, console: Console) -> None:
    """Build, load and show.

    Args:
        folder: Where everything goes: recipes, `work`, the repository `data`, the contact sheet.
        workers: Processes.
        console: Where tables are shown.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in MATERIAL:
        if not (folder / name).exists():
            shutil.copyfile(_HERE / name, folder / name)
    data = folder / "data"
    for recipe in (folder / "culture.toml", folder / "linguistics.toml"):
        build = plan_build(recipe, folder / "work" / recipe.stem)
        bars = Bars(console)
        with bars.progress:
            manifest = run_build(build, data, workers, bars.show)
        console.print(funnel_table(funnel(build.stages()), f"{recipe}: what became of every row"))
    samples = _load(data, manifest)
    console.print(repository_table(manifest, f"{data}: samples"))
    page, picture = write_contact_sheet(samples, folder)
    console.print(f"Loaded {len(samples)} samples back with load_mella. Look at them:")
    console.print(f"  {page}\n  {picture}", soft_wrap=True)


def _load(data: Path, manifest: Manifest) -> list[dict[str, Any]]:
    from mella import load_mella

    samples = []
    for split in SPLITS:
        if any(entry.split == split for entry in manifest.indexes):
            loaded = load_mella("all", repo=data, split=split, decode=False)
            samples += [{**sample, "image": sample["image"]["bytes"]} for sample in loaded]
    return samples
