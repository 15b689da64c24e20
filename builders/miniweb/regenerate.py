"""Make the mini-web: a small web archive in eight languages, and captions of its images.

    python -m mella.builders.miniweb.regenerate --out DIR

asks apt for two Debian packages (27 MB; run `apt-get update` first), unpacks them in a temporary
folder and writes `miniweb.warc.gz` and `captions.jsonl` to DIR. Nothing is installed. Where apt
does not have these versions any more, get them from https://snapshot.debian.org/, unpack both with
`dpkg -x FILE.deb PACKAGES` and add `--packages PACKAGES`.

**What goes in.** From fonts-noto-color-emoji, the artwork; from unicode-cldr-core, what an emoji is
called in each language (its `alt`) and its keywords. All else is written for the mini-web: the
pages (`choices.toml`) and the captions (`captions.toml`). NOTICE, at the root of the project, names
the licences. No web site was visited: hosts end in `.example`, which is reserved, and dates and
addresses are made up.

**What comes out.** A request and a response record for each page, image and robots.txt, as a
crawler writes them. Beside the good images there are bad ones, each the single example of its case:
`flaws.FLAWS` lists them.

**Captions.** 64 good rows, 8 a language, and behind them five bad ones that a build must not take:

- `empty`: no translation at all;
- `untranslated`: the English description in place of its translation;
- `loop`: a model that said the same words over and over;
- `other_language`: Russian in place of Serbian;
- `stranger`: a hash that no image of the mini-web has.

**Determinism.** The same packages, Pillow (with the libraries inside it) and zlib give the same
bytes. JPEG and WebP files of another Pillow may differ in a few bytes, and the hashes with them;
so the version is written in the `warcinfo` record.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import PIL

from mella.builders.miniweb.artwork import MEDIA_TYPES, Artwork, MiniWebError
from mella.builders.miniweb.captions import write_captions
from mella.builders.miniweb.choices import Choices, Page, read_choices
from mella.builders.miniweb.crawl import USER_AGENT, Answer, Headers, write_warc
from mella.builders.miniweb.flaws import FORBIDDEN, answer
from mella.builders.miniweb.names import Name, read_names
from mella.builders.miniweb.pages import Picture, address_of, source_of, write_page

PACKAGES = ("fonts-noto-color-emoji=2.042-0+deb12u1", "unicode-cldr-core=41-0.1")
"""The Debian packages, with the versions that the committed files were made of."""

FONT = "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
CLDR = "usr/share/unicode/cldr/common"
WARC_NAME = "miniweb.warc.gz"
CAPTIONS_NAME = "captions.jsonl"


def fetch_packages(folder: Path) -> Path:
    """Unpack the Debian packages into `folder` and return the root of their files.

    Raises:
        MiniWebError: There is no apt here, or it can't get these versions.
    """
    try:
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True)  # noqa: S603, S607
        for package in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError) as error:
        raise MiniWebError(
            f"Cannot get {' and '.join(PACKAGES)} from apt: {error}. Run `apt-get update`, or "
            "unpack them yourself with `dpkg -x` and give the folder with --packages."
        ) from error
    return folder / "root"


def regenerate(packages: Path, out: Path) -> tuple[Path, Path]:
    """Write the archive and the captions.

    Args:
        packages: Root of the unpacked Debian packages.
        out: Folder to write to; made if need be.

    Returns:
        The paths of the archive and of the captions.

    Raises:
        MiniWebError: A package, a picture or a name is missing.
    """
    font = packages / FONT
    if not font.is_file():
        raise MiniWebError(
            f"{packages} does not hold {FONT}. Give the folder into which both packages were "
            "unpacked with `dpkg -x`, or leave --packages out to get them from apt."
        )
    artwork, choices = Artwork(font), read_choices()
    out.mkdir(parents=True, exist_ok=True)
    warc, captions = out / WARC_NAME, out / CAPTIONS_NAME
    with warc.open("wb") as file:
        write_warc(file, _crawl(choices, artwork, packages / CLDR), _warcinfo())
    write_captions(captions, artwork, choices)
    return warc, captions


def _crawl(choices: Choices, artwork: Artwork, cldr: Path) -> Iterator[tuple[str, Answer]]:
    """Yield each URL of the mini-web once, with its answer: as a crawler meets them."""
    locales = {"en", *(page.locale for page in choices.pages)}
    names = {locale: read_names(cldr, locale) for locale in sorted(locales)}
    seen: set[str] = set()
    for page in choices.pages:
        for url, got in _visit(page, choices, artwork, names):
            robots = f"http://{urlsplit(url).netloc}/robots.txt"
            if robots not in seen:
                seen.add(robots)
                yield robots, _robots(urlsplit(url).netloc)
            if url in seen:
                raise MiniWebError(f"Two things of the mini-web have the address {url}.")
            seen.add(url)
            yield url, got


def _visit(
    page: Page, choices: Choices, artwork: Artwork, names: dict[str, dict[str, Name]]
) -> Iterator[tuple[str, Answer]]:
    pictures: list[Picture] = []
    images: list[tuple[str, Answer]] = []
    keywords: list[str] = []
    for number, emoji in enumerate(page.emoji):
        english, native = _name(names, "en", emoji), _name(names, page.locale, emoji)
        extension = choices.extension(emoji)
        src = source_of(page, english.name, native.name, extension)
        caption = page.captions[number] if page.captions else ""
        pictures.append(Picture(src, native.name, caption))
        data = artwork.encode(emoji, extension)
        images.append((address_of(page, src), Answer(data, MEDIA_TYPES[extension])))
        keywords += native.keywords[:3]
    images += [
        (address_of(page, flaw.src), got)
        for flaw in page.flaws
        if (got := answer(flaw, artwork, choices))
    ]
    html = write_page(page, pictures, keywords)
    charset = "" if page.declared == "meta" else f"; charset={page.charset}"
    yield (
        page.url,
        Answer(html, f"text/html{charset}", encoding=page.encoding, transfer=page.transfer),
    )
    yield from images


def _name(names: dict[str, dict[str, Name]], locale: str, emoji: str) -> Name:
    if emoji not in names[locale]:
        raise MiniWebError(f"CLDR has no name for {emoji!r} in the locale {locale!r}.")
    return names[locale][emoji]


def _robots(host: str) -> Answer:
    text = f"User-agent: *\nDisallow: {FORBIDDEN.get(host, '')}\n"
    return Answer(text.encode(), "text/plain")


def _warcinfo() -> Headers:
    return (
        ("software", f"{USER_AGENT} (mella.builders.miniweb.regenerate), Pillow {PIL.__version__}"),
        ("format", "WARC File Format 1.0"),
        ("description", "Written for tests from " + ", ".join(PACKAGES) + ". No site was visited."),
        ("robots", "ignore"),
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m mella.builders.miniweb.regenerate",
        description="Write the embedded mini-web: a web archive and captions of its images.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--packages",
        type=Path,
        help="folder with both Debian packages unpacked; without it, apt is asked for them",
    )
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            packages = options.packages or fetch_packages(Path(folder))
            files = regenerate(packages, options.out)
    except MiniWebError as error:
        sys.exit(str(error))
    for file in files:
        sys.stdout.write(f"{file}: {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
