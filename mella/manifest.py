"""The manifest: what a repository holds, with sizes and hashes; written last, so it means whole."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from mella.errors import FormatError
from mella.schema import FORMAT_VERSION

MANIFEST = "manifest.json"
# A manifest comes from a stranger: its paths stay inside the repository, on a disk and in a URL.
_PATH = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class Entry:
    """One file of a repository that holds samples or their index.

    Attributes:
        path: Inside the repository, with forward slashes.
        source: "culture" or "linguistics".
        lang: ISO 639-1 code.
        split: "train", "validation" or "test".
        bytes: Size of the file.
        sha256: Of the file.
        samples: Samples in a shard, rows in an index.
    """

    path: str
    source: str
    lang: str
    split: str
    bytes: int
    sha256: str
    samples: int

    @property
    def cell(self) -> tuple[str, str, str]:
        """The source, language and split that the file belongs to."""
        return self.source, self.lang, self.split


@dataclass(frozen=True)
class Manifest:
    """The files of a repository.

    Attributes:
        shards: The tars.
        indexes: One for each cell (source, language, split).
        tombstones: Path of the table of takedowns, or None.
        format_version: Of the data format.
    """

    shards: tuple[Entry, ...] = ()
    indexes: tuple[Entry, ...] = ()
    tombstones: str | None = None
    format_version: str = FORMAT_VERSION

    def cells(self) -> list[tuple[str, str, str]]:
        """Return every (source, language, split) there is, sorted."""
        return sorted(entry.cell for entry in self.indexes)

    def index(self, source: str, lang: str, split: str) -> Entry | None:
        """Return the index of a cell, or None where the repository has no such cell."""
        return next((e for e in self.indexes if e.cell == (source, lang, split)), None)

    def with_cells(
        self,
        shards: Iterable[Entry],
        indexes: Iterable[Entry],
        source: str,
        langs: Collection[str],
    ) -> Self:
        """Return the manifest with everything of one source in some languages replaced."""

        def merge(old: Iterable[Entry], new: Iterable[Entry]) -> tuple[Entry, ...]:
            kept = (e for e in old if e.source != source or e.lang not in langs)
            return tuple(sorted([*kept, *new]))

        return replace(
            self, shards=merge(self.shards, shards), indexes=merge(self.indexes, indexes)
        )

    def to_json(self) -> str:
        """Return the manifest as JSON text that reads well in a diff."""
        document = {"format": "mella", **asdict(self)}
        return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Read a manifest.

        Args:
            text: The JSON document.
            where: Named in errors.

        Raises:
            FormatError: It is no manifest, or of a format version that this package cannot read.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{where} is not JSON ({error}). Fetch or build it again.") from error
        if not (isinstance(document, dict) and document.get("format") == "mella"):
            raise FormatError(f"{where} is not the manifest of a mella repository.")
        version = document.get("format_version")
        if not (isinstance(version, str) and re.fullmatch(r"\d+\.\d+", version, re.ASCII)):
            raise FormatError(f"{where} has no format version, but {version!r}.")
        if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
            raise FormatError(
                f"{where} has format version {version}; this package reads "
                f"{FORMAT_VERSION}. Install a newer mella: pip install -U mella."
            )
        try:
            tombstones = document.get("tombstones")
            return cls(
                shards=_entries(document["shards"], by="path"),
                indexes=_entries(document["indexes"], by="cell"),
                tombstones=None if tombstones is None else _checked_path(tombstones),
                format_version=version,
            )
        except KeyError as error:
            raise FormatError(f"{where} lacks {error}. Fetch or build it again.") from error
        except (TypeError, FormatError) as error:
            raise FormatError(f"{where} is damaged. {error} Fetch or build it again.") from error


def _entries(documents: list[dict[str, Any]], by: str) -> tuple[Entry, ...]:
    """Read the entries of a manifest, no two of which have the same `by`."""
    entries = tuple(_entry(document) for document in documents)
    counts = Counter(getattr(entry, by) for entry in entries)
    if twice := [value for value, count in counts.items() if count > 1]:
        raise FormatError(f"It names {twice[0]!r} more than once.")
    return entries


def _entry(document: dict[str, Any]) -> Entry:
    # Fields that a newer minor version of the format may have added are passed over.
    values = {field.name: document[field.name] for field in fields(Entry)}
    _checked_path(values["path"])
    for field in fields(Entry):
        value = values[field.name]
        if type(value) is not field.type or (isinstance(value, int) and value < 0):
            raise FormatError(f"The {field.name} of {values['path']} is {value!r}.")
    if not _SHA256.fullmatch(values["sha256"]):
        raise FormatError(f"The sha256 of {values['path']} is {values['sha256']!r}.")
    return Entry(**values)


def _checked_path(path: object) -> str:
    if not (isinstance(path, str) and _PATH.fullmatch(path)):
        raise FormatError(f"It names the path {path!r}, which is not allowed.")
    return path
