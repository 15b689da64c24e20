"""mella: dual-source image-text data for languages with little data.

from mella import load_mella

for sample in load_mella("th", source="culture"):
    print(sample["text"], sample["image"].size)
"""

from typing import TYPE_CHECKING, Any

from mella.errors import FormatError, MellaError, RepositoryError, UnknownNameError, WhereError
from mella.languages import Language, get_language, languages, register_language

if TYPE_CHECKING:
    from mella.load import load_mella

__version__ = "0.1.0"

__all__ = [
    "FormatError",
    "Language",
    "MellaError",
    "RepositoryError",
    "UnknownNameError",
    "WhereError",
    "get_language",
    "languages",
    "load_mella",
    "register_language",
]


def __getattr__(name: str) -> Any:
    # pyarrow and datasets take a second to import: only who loads data waits for them.
    if name == "load_mella":
        from mella.load import load_mella

        return load_mella
    raise AttributeError(f"module 'mella' has no attribute {name!r}")
