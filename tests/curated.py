"""A toy build for tests: samples made out of numbers, and all that the two pipelines share.

stages = curate(work, ["th 12"])           # twelve Thai samples, through to the tars
manifest = put(stages, work, out)          # into a repository
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella.builders.curate.duplicates import DuplicatesParams, duplicates_step
from mella.builders.curate.pack import TARS, PackParams, pack_step
from mella.builders.curate.release import Release, release
from mella.builders.curate.shelve import ShelveParams, shelve_step
from mella.builders.curate.split import SplitParams, split_step
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.parts import Stage
from mella.builders.engine.runner import Pipeline, run
from mella.builders.engine.step import REASON, Step
from mella.manifest import Manifest
from repositories import TEXTS, photo

BUILD = "0123456789abcdef"
INPUTS = pa.schema([pa.field("wanted", pa.string())])
MADE = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("text", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("license", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("image", pa.large_binary()),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),
        REASON,
    ]
)


@dataclass(frozen=True)
class MakeParams:
    """Nothing to choose."""


@dataclass(frozen=True)
class Sizes:
    """What may differ between two runs that shall come to the same."""

    workers: int = 1
    part_rows: int = 4096
    bucket_rows: int = 100_000


def sample_row(lang: str, number: int) -> dict[str, Any]:
    """A sample as the steps before `duplicates` hand it on."""
    image = photo(f"{lang} {number}")
    return {
        "id": f"{lang}-{number:04d}",
        "lang": lang,
        "text": f"{TEXTS[lang]} {number}",
        "domain": f"site{number % 5}.{lang}.example",
        "license": "CC0-1.0" if number % 2 else None,
        "language_score": number / 8,
        "image": image,
        "sha256": hashlib.sha256(image).hexdigest(),
        "width": 24,
        "height": 24,
        "bytes": len(image),
    }


def make(table: pa.Table, _: MakeParams, __: None) -> Iterator[pa.Table]:
    """Make the samples that inputs such as "th 12" ask for."""
    for wanted in table["wanted"].to_pylist():
        lang, count = wanted.split()
        yield pa.Table.from_pylist([sample_row(lang, n) for n in range(int(count))], schema=MADE)


def curate(
    work: Path,
    wanted: Sequence[str],
    *,
    source: str = "culture",
    shards: tuple[int, int] = (12_000, 4000),
    sizes: Sizes = Sizes(),
) -> list[Stage]:
    """Make samples and pack them; `shards` are the greatest and the least bytes of one."""
    most, least = shards
    first = Step(
        "make", 1, make, INPUTS, MADE, MakeParams(), expands=True, part_rows=sizes.part_rows
    )
    after = (
        duplicates_step(DuplicatesParams()),
        split_step(SplitParams(validation=0, test=0.3)),
        shelve_step(ShelveParams(source, max_bytes=most, min_bytes=least)),
    )
    columns = [*MADE.names, *(name for step in after for name in step.writes.names)]
    pack = pack_step(PackParams(source, BUILD), columns, work / TARS)
    by = [replace(step, bucket_rows=sizes.bucket_rows) for step in (*after, pack)]
    inputs = pa.table({"wanted": list(wanted)}, schema=INPUTS)
    digest = hashlib.sha256(repr(wanted).encode()).hexdigest()
    with LocalExecutor(sizes.workers) as executor:
        return run(Pipeline((first, *by), inputs, digest), work, executor)


def put(
    stages: list[Stage],
    work: Path,
    out: Path,
    *,
    source: str = "culture",
    langs: tuple[str, ...] = ("th",),
    allow_empty: bool = False,
) -> Manifest:
    """Put what was packed into a repository."""
    about = Release(source, langs, "# a recipe\n", BUILD, (("make", 1), ("pack", 1)))
    return release(stages, work / TARS, out, about, allow_empty=allow_empty)


def build(folder: Path, wanted: Sequence[str], **more: Any) -> Path:
    """Make samples and put them into the repository `folder / "data"`, which is returned."""
    langs = tuple(one.split()[0] for one in wanted)
    stages = curate(folder / "work", wanted, **more)
    put(stages, folder / "work", folder / "data", langs=langs)
    return folder / "data"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
