"""Read the names and keywords of emoji in a language from Unicode CLDR."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from mella.builders.miniweb.artwork import MiniWebError

# Marks of direction that some Arabic names begin with: of use in a list of names, not in a page.
_DIRECTION_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c"))


@dataclass(frozen=True)
class Name:
    """What CLDR calls an emoji.

    Attributes:
        name: The name to be read aloud.
        keywords: Words to find it by; none for flags.
    """

    name: str
    keywords: tuple[str, ...]


def read_names(common: Path, locale: str) -> dict[str, Name]:
    """Read the names of a locale by emoji, without variation selectors.

    Args:
        common: The folder `common` of CLDR.
        locale: As its files are called: "sr_Latn".

    Raises:
        MiniWebError: There is no such locale.
    """
    names: dict[str, str] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    for folder in ("annotations", "annotationsDerived"):
        file = common / folder / f"{locale}.xml"
        if not file.is_file():
            raise MiniWebError(
                f"CLDR has no file {file}; give the folder of an unpacked unicode-cldr-core."
            )
        # The file comes from a signed Debian package.
        for node in ET.parse(file).iter("annotation"):  # noqa: S314
            text = (node.text or "").translate(_DIRECTION_MARKS)
            if node.get("type") == "tts":
                names[node.attrib["cp"]] = text.strip()
            else:
                words = (word.strip() for word in text.split("|"))
                keywords[node.attrib["cp"]] = tuple(word for word in words if word)
    return {emoji: Name(name, keywords.get(emoji, ())) for emoji, name in names.items()}
