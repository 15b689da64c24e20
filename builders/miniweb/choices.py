"""What the mini-web is made of: the pages, images and flaws chosen in `choices.toml`."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHOICES = Path(__file__).parent / "choices.toml"


@dataclass(frozen=True)
class Flaw:
    """An image that a good build rejects, or leaves out as a repeat.

    Attributes:
        case: Its name; `flaws.FLAWS` says what it is.
        payload: What the crawler got for it; see `flaws.answer`.
        src: Its address, as it stands in the page.
        alt: Its text.
        emoji: The picture that it shows, where it shows one.
    """

    case: str
    payload: str
    src: str
    alt: str
    emoji: str = ""


@dataclass(frozen=True)
class Page:
    """A page and what is special about it.

    Attributes:
        lang: Language code.
        host: Below `.example`, which is reserved: nobody's site.
        path: Of the page on the host.
        layout: How images stand in the page; see `pages.LAYOUTS`.
        title: Title and heading.
        text: Paragraphs.
        emoji: The pictures of the page.
        captions: With the layout "figures": one for each picture.
        flaws: Images behind the pictures.
        html_lang: The `lang` of the page, where it is not `lang`.
        charset: The encoding in which the page is served.
        declared: Where the encoding is declared: "header", "meta" or "both".
        robots: Content of `<meta name="robots">`; empty: none.
        transfer: "chunked", or empty.
        encoding: "gzip", or empty.
        native_files: Whether images are called by their native names.
    """

    lang: str
    host: str
    path: str
    layout: str
    title: str
    text: tuple[str, ...]
    emoji: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    html_lang: str = ""
    charset: str = "utf-8"
    declared: str = "both"
    robots: str = ""
    transfer: str = ""
    encoding: str = ""
    native_files: bool = False

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{self.host}{self.path}"

    @property
    def locale(self) -> str:
        """Name of the CLDR locale of the page's language and script."""
        return "sr_Latn" if self.html_lang.startswith("sr-Latn") else self.lang


@dataclass(frozen=True)
class Choices:
    """The content of the mini-web.

    Attributes:
        formats: File ending by emoji, for those that are not served as JPEG.
        pages: In the order of the crawl.
    """

    formats: dict[str, str]
    pages: tuple[Page, ...]

    def extension(self, emoji: str) -> str:
        """Return the file ending under which a picture is served."""
        return self.formats.get(emoji, "jpg")


def read_choices(file: Path = CHOICES) -> Choices:
    """Read the choices.

    Raises:
        TypeError: A page or a flaw has a key that there is none for, or lacks one.
    """
    tables = tomllib.loads(file.read_text("utf-8"))
    formats = {
        emoji: extension
        for extension, several in tables["formats"].items()
        for emoji in several.split()
    }
    return Choices(formats, tuple(_page(table) for table in tables["page"]))


def _page(table: dict[str, Any]) -> Page:
    flaws = tuple(Flaw(**flaw) for flaw in table.pop("flaw", ()))
    text, captions = tuple(table.pop("text")), tuple(table.pop("captions", ()))
    emoji = tuple(table.pop("emoji", "").split())
    return Page(**table, text=text, captions=captions, emoji=emoji, flaws=flaws)
