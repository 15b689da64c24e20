"""Cut the small fonts of the contact sheet out of Debian's Noto fonts.

    python -m mella.builders.miniweb.subset_fonts

asks apt for `fonts-noto-core` and `fonts-noto-cjk` (69 MB; run `apt-get update` first), unpacks
them in a temporary folder and writes the files of `SUBSETS` to `fonts/`. Nothing is installed.
The output depends on the versions of the two packages and of fontTools, and on nothing else.

The fonts get family names of their own, so that a page looks the same whether or not the machine
has Noto fonts, and because a modified Noto font should not pass for the real one.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

FONTS = Path(__file__).parent / "fonts"

PACKAGES = ("fonts-noto-core", "fonts-noto-cjk")


@dataclass(frozen=True)
class Subset:
    """One small font.

    Attributes:
        file: Its name in the folder of fonts.
        family: The name by which a page asks for it.
        source: The font it is cut from, below `/usr/share/fonts`.
        characters: Code points to keep, as ranges with both ends included.
        extra: More characters to keep.
        number: Which font of a collection; -1 for a file that holds one.
    """

    file: str
    family: str
    source: str
    characters: tuple[tuple[int, int], ...]
    extra: str = ""
    number: int = -1


def wansung() -> str:
    """Return the 2350 Hangul syllables of KS X 1001, nearly all that modern Korean writes."""
    return "".join(
        bytes((row, cell)).decode("euc_kr")
        for row in range(0xB0, 0xC9)
        for cell in range(0xA1, 0xFF)
    )


SUBSETS = (
    Subset(
        file="latin.ttf",
        family="Mella Latin",
        source="truetype/noto/NotoSans-Regular.ttf",
        characters=(
            (0x20, 0x7E),
            (0xA0, 0x17F),  # Latin-1 and Extended-A: Czech, Hungarian, Serbian
            (0x1A0, 0x1B0),  # Vietnamese
            (0x218, 0x21B),
            (0x300, 0x30C),  # combining marks: Russian stress
            (0x400, 0x45F),
            (0x490, 0x491),
            (0x1EA0, 0x1EF9),
            (0x2010, 0x2027),
        ),
        extra="\u031b\u0323\u0326\u202f‰′″‹›₫€₽₴№™�",  # noqa: RUF001
    ),
    Subset(
        file="arabic.ttf",
        family="Mella Arabic",
        source="truetype/noto/NotoNaskhArabic-Regular.ttf",
        characters=((0x20, 0x20), (0xA0, 0xA0), (0x600, 0x6FF), (0x200C, 0x200F), (0x25CC, 0x25CC)),
    ),
    Subset(
        file="thai.ttf",
        family="Mella Thai",
        source="truetype/noto/NotoSansThai-Regular.ttf",
        characters=((0x20, 0x20), (0xA0, 0xA0), (0xE00, 0xE7F), (0x25CC, 0x25CC)),
    ),
    Subset(
        file="korean.otf",
        family="Mella Korean",
        source="opentype/noto/NotoSansCJK-Regular.ttc",
        characters=((0x20, 0x20), (0x3000, 0x3003), (0x3008, 0x3011), (0x3131, 0x3163)),
        # Noto Sans has no arrows and no mathematics; some common syllables are not in KS X 1001.
        extra="←↑→↓−×÷≈≤≥●○■□★☆♥" + wansung() + "똠뙇뜌뭥샾쨰펲햏홬뷁윾",  # noqa: RUF001
        number=1,
    ),
)


def download(folder: Path, packages: Iterable[str] = PACKAGES) -> Path:
    """Unpack Debian packages into `folder` and return where their fonts lie.

    Raises:
        subprocess.CalledProcessError: apt knows no such package, or can't reach its server.
    """
    subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True)  # noqa: S603, S607
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)  # noqa: S603, S607
    return folder / "root" / "usr" / "share" / "fonts"


def write_subset(subset: Subset, fonts: Path, folder: Path) -> Path:
    """Cut `subset` out of its source below `fonts`, and write it to `folder`."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    options = Options(
        hinting=False,  # pages are drawn at sizes where it is not seen; a third of the bytes
        notdef_outline=True,  # what the font lacks shows as a box, not as nothing
        name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14],
        drop_tables=[*Options().drop_tables, "BASE", "VORG", "vhea", "vmtx"],
    )
    font = TTFont(fonts / subset.source, fontNumber=subset.number, recalcTimestamp=False)
    ranges = (range(first, last + 1) for first, last in subset.characters)
    subsetter = Subsetter(options)
    subsetter.populate(
        unicodes=[*(code for codes in ranges for code in codes), *map(ord, subset.extra)]
    )
    subsetter.subset(font)
    _rename(font, subset.family)
    target = folder / subset.file
    font.save(target)
    return target


def _rename(font: "TTFont", family: str) -> None:
    postscript = family.replace(" ", "")
    names = {1: family, 2: "Regular", 3: postscript, 4: family, 6: postscript}
    for record in list(font["name"].names):
        if record.nameID in names:
            font["name"].setName(
                names[record.nameID],
                record.nameID,
                record.platformID,
                record.platEncID,
                record.langID,
            )
    if "CFF " in font:
        cff = font["CFF "].cff
        cff.fontNames = [postscript]
        cff.topDictIndex[0].FullName = family
        cff.topDictIndex[0].FamilyName = family


def main() -> None:
    """Write every subset, and print its size."""
    FONTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fonts = download(Path(folder))
        for subset in SUBSETS:
            path = write_subset(subset, fonts, FONTS)
            sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
