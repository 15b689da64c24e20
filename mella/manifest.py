"""The manifest: what a repository holds, with sizes and hashes; written last, so it means whole."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from mella.errors import FormatError
from mella.schema import FORMAT_VERSION

MANIFEST = "manifest.json"


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

    def with_cells(self, shards: Iterable[Entry], indexes: Iterable[Entry], source: str) -> Self:
        """Return the manifest with everything of one source replaced."""
        keep = [e for e in self.shards if e.source != source]
        keep_indexes = [e for e in self.indexes if e.source != source]
        return replace(
            self,
            shards=tuple(sorted([*keep, *shards])),
            indexes=tuple(sorted([*keep_indexes, *indexes])),
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
            version = document["format_version"]
            if document["format"] != "mella":
                raise FormatError(f"{where} is not the manifest of a mella repository.")
            if version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
                raise FormatError(
                    f"{where} has format version {version}; this package reads "
                    f"{FORMAT_VERSION}. Install a newer mella: pip install -U mella."
                )
            return cls(
                shards=_entries(document["shards"]),
                indexes=_entries(document["indexes"]),
                tombstones=document.get("tombstones"),
                format_version=version,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{where} is not a mella manifest: {error!r}.") from error


def _entries(documents: list[dict[str, Any]]) -> tuple[Entry, ...]:
    entries = tuple(Entry(**document) for document in documents)
    for entry in entries:
        parts = entry.path.split("/")
        # A manifest comes from a stranger: its paths may not leave the repository.
        if not all(parts) or {".", ".."} & set(parts) or "\\" in entry.path or ":" in entry.path:
            raise FormatError(f"The manifest names the path {entry.path!r}, which is not allowed.")
    return entries
