"""mella: dual-source image-text data for languages with little data.

from mella import load_mella

for sample in load_mella("th", source="culture"):
    print(sample["text"], sample["image"].size)
"""

from typing import TYPE_CHECKING, Any

from mella.errors import FormatError, MellaError, RepositoryError, UnknownNameError, WhereError
from mella.languages import Language, get_language, languages, register_language

if TYPE_CHECKING:
    from mella.cache import RangeCache
    from mella.fetch import Fetching
    from mella.load import load_mella
    from mella.metadata import load_index
    from mella.samples import Samples, open_samples
    from mella.stream import MellaStream
    from mella.views import Chat

__version__ = "0.1.0"

__all__ = [
    "Chat",
    "Fetching",
    "FormatError",
    "Language",
    "MellaError",
    "MellaStream",
    "RangeCache",
    "RepositoryError",
    "Samples",
    "UnknownNameError",
    "WhereError",
    "get_language",
    "languages",
    "load_index",
    "load_mella",
    "open_samples",
    "register_language",
]

_LATER = {
    "Chat": "views",
    "Fetching": "fetch",
    "MellaStream": "stream",
    "RangeCache": "cache",
    "Samples": "samples",
    "load_index": "metadata",
    "load_mella": "load",
    "open_samples": "samples",
}


def __getattr__(name: str) -> Any:
    # pyarrow and datasets take a second to import: only who loads data waits for them.
    if name in _LATER:
        import importlib

        return getattr(importlib.import_module(f"mella.{_LATER[name]}"), name)
    raise AttributeError(f"module 'mella' has no attribute {name!r}")
