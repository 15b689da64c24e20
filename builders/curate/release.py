"""Put packed shards into a repository: tars, indexes, provenance, and last the manifest."""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.curate.pack import PACKED
from mella.builders.engine.ledger import funnel
from mella.builders.engine.parts import Stage, read_part, write_atomically
from mella.errors import FormatError, MellaError, RepositoryError
from mella.index import write_index
from mella.manifest import MANIFEST, Entry, Manifest
from mella.schema import FORMAT_VERSION, INDEX, SPLITS
from mella.shards import index_path

# The temporary name of a file that `write_atomically` was writing when its process was killed.
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")


class ReleaseError(MellaError, RuntimeError):
    """A release that would lose what is published."""


@dataclass(frozen=True)
class Release:
    """What is put into a repository.

    Attributes:
        source: "culture" or "linguistics".
        langs: Languages that were asked for: what the repository had of them is replaced.
        recipe: Text of the recipe.
        build: Hash of the recipe.
        steps: Names and versions of the steps.
    """

    source: str
    langs: tuple[str, ...]
    recipe: str
    build: str
    steps: tuple[tuple[str, int], ...]


def release(
    stages: list[Stage], tars: Path, out: Path, about: Release, *, allow_empty: bool = False
) -> Manifest:
    """Put the samples of a finished build into the repository in the folder `out`.

    Other sources and languages that the folder holds stay as they are. The manifest is written
    last, and only after that the files are removed that it does not name any more. Two releases
    into one folder of this machine wait for each other.

    Args:
        stages: Of the build; the last one packs.
        tars: Where the packed tars lie; they are linked, or copied to another file system.
        out: Folder of the repository; made where it is missing.
        about: What is put there.
        allow_empty: Whether a language may lose all samples that the repository had.

    Returns:
        The manifest of the repository.

    Raises:
        RepositoryError: `out` is not a folder.
        FormatError: `out` holds a manifest that this package cannot replace, or a packed tar is not
            there any more.
        ReleaseError: A language would lose all its samples; nothing was changed.
    """
    manifest_in(out)  # before the folder is made
    with _locked(out):
        return _release(stages, tars, out, about, allow_empty=allow_empty)


def _release(
    stages: list[Stage], tars: Path, out: Path, about: Release, *, allow_empty: bool
) -> Manifest:
    before = manifest_in(out)
    if not allow_empty:
        _check_not_lost(before, stages[-1], out, about)
    _sweep(out, about.source)
    shards: list[Entry] = []
    indexes: list[Entry] = []
    for table in _cells(stages[-1]):
        shards += _place_shards(table, tars, out, stages[-1])
        indexes.append(_place_index(table, out))
    _write_provenance(stages, out, about)
    manifest = before.with_cells(shards, indexes, about.source, about.langs)
    _write(out / MANIFEST, manifest.to_json().encode())
    for path in (_files(before) | _there(out, about)) - _files(manifest):
        (out / path).unlink(missing_ok=True)
    return manifest


def manifest_in(out: Path) -> Manifest:
    """Return the manifest of the repository in a folder, which is to be replaced; or an empty one.

    Raises:
        RepositoryError: It is not a folder.
        FormatError: It holds a manifest that this package cannot read, or one of a newer format,
            of which it would lose what it does not know.
    """
    if out.exists() and not out.is_dir():
        raise RepositoryError(f"{out} is not a folder: samples cannot be put into it.")
    file = out / MANIFEST
    if not file.exists():
        return Manifest()
    manifest = Manifest.from_json(file.read_bytes(), str(file))
    there, here = (
        [*map(int, version.split("."))] for version in (manifest.format_version, FORMAT_VERSION)
    )
    if there > here:
        raise FormatError(
            f"{file} has format version {manifest.format_version}; this package writes "
            f"{FORMAT_VERSION}. Install a newer mella (pip install -U mella), or give another "
            "folder."
        )
    return replace(manifest, format_version=FORMAT_VERSION)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _check_not_lost(before: Manifest, packed: Stage, out: Path, about: Release) -> None:
    """Check that no language that had samples is left with none: an empty input, more likely."""
    kept = {
        lang
        for part in packed.parts()
        for lang in read_part([packed], part.name, ["lang"])["lang"].unique().to_pylist()
    }
    had = {entry.lang for entry in before.indexes if entry.source == about.source}
    if lost := sorted((had & set(about.langs)) - kept):
        raise ReleaseError(
            f"This build keeps no {about.source} sample in {', '.join(lost)}, of which {out} has "
            "some: they would be lost. See with `mella-build funnel` what rejected them, or allow "
            "it (--allow-empty)."
        )


def _sweep(out: Path, source: str) -> None:
    """Remove what a run that was killed had begun to write.

    Such a file may be a link to a tar, with a name that is used again: writing into it would spoil
    that tar.
    """
    folders = [out / source, out / "index" / source, out / "provenance" / source]
    begun = [path for folder in folders for path in folder.rglob(".*.tmp")]
    for path in (*begun, *out.glob(f".{MANIFEST}.*.tmp")):
        if _LEFTOVER.fullmatch(path.name):
            path.unlink()


def _files(manifest: Manifest) -> set[str]:
    return {entry.path for entry in (*manifest.shards, *manifest.indexes)}


def _there(out: Path, about: Release) -> set[str]:
    """Return the shards and indexes in the folders of a release, also those of a killed run."""
    patterns = [
        pattern
        for lang in about.langs
        for pattern in (
            f"{about.source}/{lang}/{about.source}-{lang}-*-of-*.tar",
            *(index_path(about.source, lang, split) for split in SPLITS),
        )
    ]
    return {path.relative_to(out).as_posix() for one in patterns for path in out.glob(one)}


def _cells(stage: Stage) -> Iterator[pa.Table]:
    """Yield the packed rows of each language and split."""
    parts_of: dict[tuple[str, str], list[str]] = {}
    for part in stage.parts():
        cells = read_part([stage], part.name, ["lang", "split"]).group_by(["lang", "split"])
        for cell in cells.aggregate([]).to_pylist():
            parts_of.setdefault((cell["lang"], cell["split"]), []).append(part.name)
    for (lang, split), names in sorted(parts_of.items()):
        of_cell = (pc.field("lang") == lang) & (pc.field("split") == split)
        parts = [read_part([stage], name, PACKED.names).cast(PACKED) for name in names]
        yield pa.concat_tables([part.filter(of_cell) for part in parts])


def _place_shards(table: pa.Table, tars: Path, out: Path, packed: Stage) -> list[Entry]:
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
        if not tar.exists() or tar.stat().st_size != entry.bytes:
            raise FormatError(
                f"{tar}, the content of {entry.path}, is missing or damaged. Remove the folder "
                f"{packed.folder} and run the build again."
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
    steps = [{"name": name, "version": version} for name, version in about.steps]
    document = {"build": about.build, "languages": about.langs, "steps": steps, "levels": levels}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    for lang in about.langs:
        folder = out / "provenance" / about.source / lang
        _write(folder / "recipe.toml", about.recipe.encode())
        _write(folder / "funnel.json", text.encode())


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
