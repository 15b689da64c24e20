"""Read recipes: TOML documents, checked against the dataclasses that the steps are configured by.

A key that no dataclass has is an error that names the nearest known one, so that a misspelt
threshold can never be a threshold that is not there.
"""

import dataclasses
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from mella.errors import MellaError, nearest
from mella.languages import Language, resolve_languages

T = TypeVar("T")


class RecipeError(MellaError, ValueError):
    """A recipe that cannot be read, or says what no step understands."""


class Recipe:
    """A recipe that is being read: each table is taken by the pipeline that knows it.

    Attributes:
        path: The file; paths in the recipe are relative to its folder.
        text: What it holds.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            RecipeError: There is none, or it is not TOML.
        """
        self.path = path
        try:
            self.text = path.read_bytes().decode("utf-8-sig")
            self._tables: dict[str, Any] = tomllib.loads(self.text)
        except FileNotFoundError as error:
            raise RecipeError(f"There is no recipe {path}.") from error
        except IsADirectoryError as error:
            raise RecipeError(f"{path} is a folder; a recipe is a file in TOML.") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RecipeError(f"{path} is not a recipe in TOML: {error}.") from error
        self._known: list[str] = []

    def word(self, name: str, allowed: Iterable[str]) -> str:
        """Take a key whose value is one of a few words."""
        words = list(allowed)
        value = self._take(name, None)
        if value not in words:
            got = f"{value!r}" if value is not None else "nothing"
            hint = nearest(value, words) if isinstance(value, str) else ""
            raise RecipeError(f"{self.path}: {name} is one of {', '.join(words)}; got {got}.{hint}")
        return str(value)

    def languages(self) -> tuple[Language, ...]:
        """Take the key `languages`: "all", or a list of codes."""
        value = self._take("languages", None)
        codes = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
        try:
            if value == "all" or codes:
                return resolve_languages(value)
        except MellaError as error:
            raise RecipeError(f"{self.path}: languages: {error}") from error
        raise RecipeError(
            f'{self.path}: languages is "all" or a list of codes such as ["sr", "th"]; got '
            f"{value!r}."
        )

    def table(self, name: str, kind: type[T], given: Mapping[str, Any] | None = None) -> T:
        """Take a table as a dataclass; what is left out keeps its default.

        Args:
            name: Of the table.
            kind: A frozen dataclass.
            given: Fields that the pipeline sets, which the recipe cannot.
        """
        return _convert(kind, self._take(name, {}), given or {}, f"{self.path}: [{name}]")

    def files(self, patterns: Iterable[str]) -> list[Path]:
        """Return the files that paths or glob patterns of the recipe name.

        Raises:
            RecipeError: One of them names nothing, or only folders.
        """
        found = self._paths(patterns, Path.is_file, "file")
        # A link is not resolved: the name of a file says what it holds.
        return list(dict.fromkeys(path.parent.resolve() / path.name for path in found))

    def folders(self, patterns: Iterable[str]) -> list[Path]:
        """Return the folders that paths or glob patterns of the recipe name.

        Raises:
            RecipeError: One of them names nothing, or only files.
        """
        found = self._paths(patterns, Path.is_dir, "folder")
        return list(dict.fromkeys(path.resolve() for path in found))

    def paths(self, patterns: Iterable[str]) -> list[Path]:
        """Return the files and folders that paths or glob patterns of the recipe name.

        Raises:
            RecipeError: One of them names nothing.
        """
        return list(dict.fromkeys(self._paths(patterns, Path.exists, "file or folder")))

    def end(self) -> None:
        """Check that every key was taken.

        Raises:
            RecipeError: One was not: it is not known here.
        """
        for name in self._tables:
            if name not in self._known:
                raise _unknown(f"{self.path}", name, self._known)

    def _paths(
        self, patterns: Iterable[str], fits: Callable[[Path], bool], kind: str
    ) -> list[Path]:
        found: list[Path] = []
        for pattern in patterns:
            matches = self._matches(pattern)
            fitting = [match for match in matches if fits(match)]
            if not fitting:
                what = f"{matches[0]} is not a {kind}" if matches else f"there is no such {kind}"
                raise RecipeError(f"{self.path}: {pattern!r}: {what}. Correct the path.")
            found += fitting
        return found

    def _matches(self, pattern: str) -> list[Path]:
        try:
            path = Path(pattern).expanduser()
            root = Path(path.anchor) if path.is_absolute() else self.path.absolute().parent
            literal = root / path
            # A name with brackets in it is also tried as it stands.
            if literal.exists():
                return [literal]
            return sorted(root.glob(str(path.relative_to(path.anchor))))
        except (ValueError, RuntimeError, OSError) as error:
            raise RecipeError(f"{self.path}: {pattern!r} is no path: {error}.") from error

    def _take(self, name: str, default: Any) -> Any:
        self._known.append(name)
        return self._tables.get(name, default)


def _convert(kind: type[T], table: Any, given: Mapping[str, Any], where: str) -> T:
    if not isinstance(table, dict):
        raise RecipeError(f"{where} is a table, got {table!r}.")
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in given}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values = dict(given)
    for name, value in table.items():
        if name in given:
            raise RecipeError(
                f"{where} {name} follows from what stands elsewhere in the recipe, and cannot be "
                "set here. Leave it out."
            )
        if name not in fields:
            raise _unknown(where, name, fields)
        if dataclasses.is_dataclass(hints[name]):
            inner = where.removesuffix("]") + f".{name}]"
            values[name] = _convert(hints[name], value, {}, inner)
            continue
        try:
            values[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            raise RecipeError(f"{where} {name} = {value!r}: {error}.") from error
        if isinstance(value, float) and math.isnan(value):  # every comparison with it is false
            raise RecipeError(f"{where} {name} = nan: Expected a number.")
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in required if name not in values]:
        raise RecipeError(f"{where} lacks {', '.join(missing)}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def _unknown(where: str, name: str, known: Iterable[str]) -> RecipeError:
    names = sorted(known)
    return RecipeError(
        f"{where}: unknown key {name!r}.{nearest(name, names)} Known: {', '.join(names)}."
    )
