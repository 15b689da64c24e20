"""Write the HTML of the pages, with images in the many ways in which sites put them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urljoin, urlsplit

from mella.builders.miniweb.choices import Page
from mella.languages import get_language

_PLACEHOLDER = "data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E"
_LICENSE = "https://www.apache.org/licenses/LICENSE-2.0"


@dataclass(frozen=True)
class Picture:
    """An image in a page.

    Attributes:
        src: Its address, as it stands in the page.
        alt: Its text.
        caption: Of its figure; empty: none.
    """

    src: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Layout:
    """A way to put images into pages.

    Attributes:
        folder: What stands before the name of a file in its address.
        write: Writes the element of an image.
        base: Content of `<base href>`, below the page's host; empty: none.
    """

    folder: str
    write: Callable[[Picture], str]
    base: str = ""


def _plain(picture: Picture) -> str:
    return f'<p><img src="{escape(picture.src)}" alt="{escape(picture.alt)}"></p>'


def _figure(picture: Picture) -> str:
    image = f'<img src="{escape(picture.src)}" alt="{escape(picture.alt)}">'
    caption = f"\n<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    return f"<figure>\n{image}{caption}\n</figure>"


def _responsive(picture: Picture) -> str:
    source, alt = escape(picture.src), escape(picture.alt)
    small = source.replace("/media/", "/media/72/")
    return (
        f'<picture>\n<source srcset="{small} 72w, {source} 144w" sizes="144px">\n'
        f'<img src="{small}" alt="{alt}" loading="lazy">\n</picture>'
    )


def _lazy(picture: Picture) -> str:
    return (
        f'<div class="photo"><img class="lazyload" src="{_PLACEHOLDER}" '
        f'data-src="{escape(picture.src)}" alt="{escape(picture.alt)}"></div>'
    )


LAYOUTS = {
    "plain": Layout("img/", _plain),
    "figures": Layout("/img/", _figure),
    "picture": Layout("/media/", _responsive),
    "lazy": Layout("/uploads/2026/", _lazy),
    "base": Layout("", _plain, base="/media/"),
    "protocol": Layout("//img.{host}/", _plain),
}
"""The layouts: relative addresses, absolute paths, several sizes, late loading, a base, no scheme.

The small images of `srcset` are not in the archive: a crawler takes the largest.
"""


def source_of(page: Page, english: str, native: str, extension: str) -> str:
    """Return the `src` of a picture of the page, from its name in two languages."""
    name = native if page.native_files else re.sub(r"[^a-z0-9]+", "-", english.lower()).strip("-")
    folder = LAYOUTS[page.layout].folder.format(host=page.host)
    return f"{folder}{name.replace(' ', '-')}.{extension}"


def address_of(page: Page, src: str) -> str:
    """Return the absolute URL to which a browser resolves `src`."""
    parts = urlsplit(urljoin(urljoin(page.url, LAYOUTS[page.layout].base), src))
    return parts._replace(path=quote(parts.path)).geturl()


def write_page(page: Page, pictures: list[Picture], keywords: list[str]) -> bytes:
    """Write the page in its own encoding.

    Args:
        page: The choices made for it.
        pictures: Its images, without those of its flaws.
        keywords: For `<meta name="keywords">`.

    Raises:
        UnicodeEncodeError: The page can't be written in the encoding that was chosen for it.
    """
    layout = LAYOUTS[page.layout]
    head = [f"<title>{escape(page.title)}</title>"]
    if page.declared != "header":
        head.insert(0, f'<meta charset="{page.charset}">')
    if layout.base:
        head.append(f'<base href="{urljoin(page.url, layout.base)}">')
    if page.robots:
        head.append(f'<meta name="robots" content="{page.robots}">')
    if keywords:
        head.append(f'<meta name="keywords" content="{escape(", ".join(keywords))}">')
    head.append(f'<link rel="license" href="{_LICENSE}">')
    direction = ' dir="rtl"' if get_language(page.lang).rtl else ""
    body = [f"<h1>{escape(page.title)}</h1>"]
    body += [f"<p>{escape(paragraph)}</p>" for paragraph in page.text]
    body += [layout.write(picture) for picture in pictures]
    body += [_plain(Picture(flaw.src, flaw.alt)) for flaw in page.flaws]
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="{page.html_lang or page.lang}"{direction}>',
        *("<head>", *head, "</head>"),
        *("<body>", "<main>", *body, "</main>"),
        f"<footer>&copy; 2026 {page.host}</footer>",
        *("</body>", "</html>", ""),
    ]
    return "\n".join(lines).encode(page.charset)
