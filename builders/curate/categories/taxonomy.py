"""Read the taxonomy: classes of two levels, each defined in one line."""

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

TAXONOMY = "taxonomy.toml"
TEMPLATES = ("{}", "a photo of {}", "a picture of {}, as is usual in its country")
"""What the phrases of a class are put into before a model reads them."""


@dataclass(frozen=True)
class Category:
    """A class of the second level.

    Attributes:
        name: Both levels: "food/dish".
        about: Its definition, one line of English.
        photo_of: English phrases for what an image of it shows.
        general: Whether it says little beside another class.
    """

    name: str
    about: str
    photo_of: tuple[str, ...]
    general: bool = False

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts that a model compares with an image."""
        return tuple(one.format(phrase) for phrase in self.photo_of for one in TEMPLATES)


@dataclass(frozen=True)
class Group:
    """A class of the first level, its definition and its classes."""

    name: str
    about: str
    categories: tuple[Category, ...]


@cache
def read_taxonomy() -> tuple[Group, ...]:
    """Return the classes in the order of the file."""
    text = resources.files(__package__).joinpath(TAXONOMY).read_text("utf-8")
    return tuple(
        Group(
            name,
            table.pop("about"),
            tuple(
                Category(
                    f"{name}/{second}",
                    entry["about"],
                    tuple(entry["photo_of"]),
                    general=entry.get("general", False),
                )
                for second, entry in table.items()
            ),
        )
        for name, table in tomllib.loads(text).items()
    )


@cache
def categories() -> dict[str, Category]:
    """Return the classes of the second level by name, in the order of the file."""
    return {one.name: one for group in read_taxonomy() for one in group.categories}


def digest_of(*names: str) -> str:
    """Return the SHA-256 of files and folders beside this module, wherever they lie."""
    digest = hashlib.sha256()
    for name in names:
        found = resources.files(__package__).joinpath(name)
        files = sorted(found.iterdir(), key=lambda one: one.name) if found.is_dir() else [found]
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def taxonomy_table() -> str:
    """Return the taxonomy in Markdown, as docs/categories.md shows it."""
    lines = []
    for group in read_taxonomy():
        lines += [f"### {group.name}", "", group.about, "", "| class | what |", "|---|---|"]
        lines += [f"| `{one.name}` | {one.about} |" for one in group.categories]
        lines.append("")
    return "\n".join(lines)
