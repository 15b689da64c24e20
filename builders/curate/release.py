"""Put packed shards into a repository: tars, indexes, provenance, and last the manifest."""

import hashlib
import io
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.curate.pack import PACKED
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import Stage, read_part, write_atomically
from mella.errors import FormatError
from mella.index import write_index
from mella.manifest import MANIFEST, Entry, Manifest
from mella.schema import INDEX
from mella.shards import index_path


@dataclass(frozen=True)
class Release:
    """What is put into a repository.

    Attributes:
        source: "culture" or "linguistics".
        langs: Languages that were asked for: what the repository had of them is replaced.
        recipe: Text of the recipe.
        build: Hash of the recipe.
    """

    source: str
    langs: tuple[str, ...]
    recipe: str
    build: str


def release(stages: list[Stage], tars: Path, out: Path, about: Release) -> Manifest:
    """Put the samples of a finished build into the repository in the folder `out`.

    Other sources and languages that the folder holds stay as they are. The manifest is written
    last, and only after that the files are removed that it does not name any more.

    Args:
        stages: Of the build; the last one packs.
        tars: Where the packed tars lie; they are linked, or copied to another file system.
        out: Folder of the repository; made where it is missing.
        about: What is put there.

    Returns:
        The manifest of the repository.

    Raises:
        FormatError: `out` holds a manifest that this package cannot read.
    """
    before = _manifest(out)
    shards, indexes = [], []
    for table in _cells(stages[-1]):
        shards += _place_shards(table, tars, out)
        indexes.append(_place_index(table, out))
    _write_provenance(stages, out, about)
    manifest = before.with_cells(shards, indexes, about.source, about.langs)
    _write(out / MANIFEST, manifest.to_json().encode())
    for path in _files(before) - _files(manifest):
        (out / path).unlink(missing_ok=True)
    return manifest


def _manifest(out: Path) -> Manifest:
    file = out / MANIFEST
    return Manifest.from_json(file.read_bytes(), str(file)) if file.exists() else Manifest()


def _files(manifest: Manifest) -> set[str]:
    return {entry.path for entry in (*manifest.shards, *manifest.indexes)}


def _cells(stage: Stage) -> list[pa.Table]:
    """Return the packed rows of each language and split, in the order of their shards."""
    parts = [read_part([stage], part.name, PACKED.names) for part in stage.parts()]
    table = pa.concat_tables([PACKED.empty_table(), *(part.cast(PACKED) for part in parts)])
    table = table.sort_by([("shard", "ascending"), ("offset", "ascending")])
    return [
        table.filter((pc.field("lang") == cell["lang"]) & (pc.field("split") == cell["split"]))
        for cell in table.group_by(["lang", "split"]).aggregate([]).sort_by("lang").to_pylist()
    ]


def _place_shards(table: pa.Table, tars: Path, out: Path) -> list[Entry]:
    names = ["shard", "source", "lang", "split", "tar_bytes", "tar_sha256"]
    entries = []
    for shard in table.group_by(names).aggregate([([], "count_all")]).to_pylist():
        samples = shard.pop("count_all")
        entry = Entry(
            path=shard["shard"],
            source=shard["source"],
            lang=shard["lang"],
            split=shard["split"],
            bytes=shard["tar_bytes"],
            sha256=shard["tar_sha256"],
            samples=samples,
        )
        tar = tars / entry.sha256
        if not tar.exists():
            raise FormatError(
                f"{tar} is missing, the content of {entry.path}. Remove the folder of the step "
                "`pack` beside it and run the build again."
            )
        write_atomically(out / entry.path, lambda temporary, tar=tar: _link(tar, temporary))
        entries.append(entry)
    return entries


def _link(tar: Path, to: Path) -> None:
    try:
        os.link(tar, to)
    except OSError:
        shutil.copyfile(tar, to)


def _place_index(table: pa.Table, out: Path) -> Entry:
    file = io.BytesIO()
    write_index(table.select(INDEX.names), file)
    content = file.getvalue()
    source, lang, split = (table[name][0].as_py() for name in ("source", "lang", "split"))
    path = index_path(source, lang, split)
    _write(out / path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Entry(path, source, lang, split, len(content), sha256, table.num_rows)


def _write_provenance(stages: list[Stage], out: Path, about: Release) -> None:
    levels = [asdict(level) for level in funnel(stages)]
    steps = [{"name": stage.name, "key": stage.key} for stage in stages]
    document = {"build": about.build, "languages": about.langs, "steps": steps, "levels": levels}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    for lang in about.langs:
        folder = out / "provenance" / about.source / lang
        _write(folder / "recipe.toml", about.recipe.encode())
        _write(folder / "funnel.json", text.encode())


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
