"""Read the images and texts of benchmarks, in the forms in which these come."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella.builders.culture.archives.payload import sniff
from mella.builders.culture.images.phash import to_numbers
from mella.builders.culture.images.picture import ImageRules, RejectedImage, normalise_image
from mella.errors import MellaError

_TABLES = (".parquet", ".jsonl")
_TEXTS = (".txt", *_TABLES)
_SNIFF_BYTES = 2048
_NO_PIXELS = "image/svg+xml"  # no build keeps one either
# Whatever can be decoded is compared.
_ANY = ImageRules(
    min_side=1,
    max_aspect=float("inf"),
    min_bytes=0,
    max_bytes=1 << 40,
    min_deviation=0,
    max_text_score=1,
    reject_animated=False,
)


class BenchmarkError(MellaError, ValueError):
    """A benchmark that cannot be read: building without it would not notice what it holds."""


@dataclass(frozen=True)
class BenchmarkFiles:
    """What samples are compared with; all files, no folders.

    Attributes:
        images: Images; or Parquet and JSON Lines with a column `phash` or `sha256`, or both, such
            as the index of a repository. `phash` is that of `perceptual_hash`: others, also of
            64 bits, do not compare with it.
        texts: Text files with a text on each line; or Parquet and JSON Lines.
    """

    images: tuple[Path, ...] = ()
    texts: tuple[Path, ...] = ()

    def digest(self) -> str:
        """Return a hash of the content of all files, wherever they lie."""
        whole = hashlib.sha256()
        for files in (self.images, self.texts):
            hashes = []
            for path in files:
                with path.open("rb") as file:
                    hashes.append(path.suffix + hashlib.file_digest(file, "sha256").hexdigest())
            whole.update(json.dumps(sorted(hashes)).encode())
        return whole.hexdigest()


def find_benchmarks(images: Iterable[Path], texts: Iterable[Path]) -> BenchmarkFiles:
    """Find the files of benchmarks: those that are named, and those in folders that are.

    In folders, what is neither an image nor a table (of texts: neither text nor table) is passed
    over; labels and licences lie there too.

    Raises:
        BenchmarkError: A folder holds nothing to compare with, or a named file is of another kind.
    """
    return BenchmarkFiles(
        tuple(_files(images, _has_images, "an image, Parquet or JSON Lines (.jsonl)")),
        tuple(_files(texts, _has_texts, "text (.txt), Parquet or JSON Lines (.jsonl)")),
    )


def read_images(files: Iterable[Path]) -> tuple[set[str], set[str]]:
    """Return the SHA-256 of benchmark images, of the file and as stored, and perceptual hashes.

    Raises:
        BenchmarkError: An image cannot be decoded, or a table lacks the columns or has a wrong
            value in one.
    """
    sha256: set[str] = set()
    phash: set[str] = set()
    for path in files:
        if path.suffix in _TABLES:
            found = _columns(path, ("sha256", "phash"))
            sha256.update(found.get("sha256", ()))
            phash.update(_checked(path, found.get("phash", [])))
            continue
        data = path.read_bytes()
        image = normalise_image(data, _ANY)
        if isinstance(image, RejectedImage):
            raise BenchmarkError(
                f"{path} cannot be decoded ({image.reason}). Repair it, or put its SHA-256 into a "
                "JSON Lines file and that in its place."
            )
        sha256 |= {hashlib.sha256(one).hexdigest() for one in (data, image.data)}
        phash.add(image.phash)
    return sha256, phash


def read_texts(files: Iterable[Path], columns: tuple[str, ...]) -> Iterator[str]:
    """Yield the texts of benchmarks: the lines of text files, and these columns of tables.

    A column holds texts, or lists of texts.

    Raises:
        BenchmarkError: A table has none of the columns, or a file is not UTF-8.
    """
    for path in files:
        if path.suffix in _TABLES:
            for values in _columns(path, columns).values():
                yield from values
            continue
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise BenchmarkError(f"{path} is not UTF-8: {error}. Convert it.") from error
        yield from (line for line in lines if line.strip())


def _files(paths: Iterable[Path], fits: Any, kinds: str) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        fitting = [file for file in inside if file.is_file() and fits(file)]
        if not fitting:
            what = "holds nothing" if path.is_dir() else "is nothing"
            raise BenchmarkError(f"{path} {what} to compare samples with: that is {kinds}.")
        found += fitting
    return list(dict.fromkeys(found))


def _has_images(path: Path) -> bool:
    if path.suffix in _TABLES:
        return True
    with path.open("rb") as file:
        kind = sniff(file.read(_SNIFF_BYTES)) or ""
    return kind.startswith("image/") and kind != _NO_PIXELS


def _has_texts(path: Path) -> bool:
    return path.suffix in _TEXTS


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return those columns that a table has, without nulls, lists laid end to end."""
    try:
        there, rows = _read_table(path, names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}. Correct the file.") from error
    if not there:
        raise BenchmarkError(
            f"{path} has no column {' or '.join(names)}. Rename the one that is meant."
        )
    found: dict[str, list[str]] = {name: [] for name in there}
    for row in rows:
        for name in there:
            value = row.get(name)
            values = value if isinstance(value, list) else [] if value is None else [value]
            if wrong := [one for one in values if not isinstance(one, str)]:
                raise BenchmarkError(f"{path}: {name} holds {wrong[0]!r}, which is no text.")
            found[name] += values
    return found


def _read_table(path: Path, names: tuple[str, ...]) -> tuple[list[str], Iterable[dict[str, Any]]]:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        there = [name for name in names if name in file.schema_arrow.names]
        batches = file.iter_batches(columns=there) if there else ()
        return there, (row for batch in batches for row in batch.to_pylist())
    lines = path.read_text("utf-8-sig").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if wrong := [row for row in rows if not isinstance(row, dict)]:
        raise ValueError(f"a line is {wrong[0]!r}, not an object")
    return [name for name in names if any(name in row for row in rows)], rows


def _checked(path: Path, hashes: list[str]) -> list[str]:
    try:
        to_numbers(hashes)
    except ValueError as error:
        raise BenchmarkError(f"{path}: {error}") from error
    return hashes
