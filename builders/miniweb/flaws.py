"""The bad cases of the mini-web: what each one is, and what the crawler got for it."""

from mella.builders.miniweb.artwork import MEDIA_TYPES, Artwork
from mella.builders.miniweb.choices import Choices, Flaw
from mella.builders.miniweb.crawl import Answer

FLAWS = {
    "logo": "A logo whose alt says no more than that.",
    "spacer": "A GIF of one pixel that pushes other things about, with words all the same.",
    "file_name": "A file name from a camera as alt.",
    "english_alt": "English alt on a Thai page.",
    "other_language": "Slovak alt on a Czech page: the nearest relative.",
    "price": "A price as alt.",
    "keywords": "Words for search engines as alt.",
    "mojibake": "Alt in UTF-8 that was once read as windows-1251.",
    "contact": "Alt with an e-mail address and a telephone number (reserved ones).",
    "empty_alt": "An alt that is empty.",
    "html_as_image": "An HTML page that is served as image/jpeg.",
    "truncated": "A JPEG file that ends too early.",
    "missing": "A 404 instead of the image.",
    "not_archived": "An image that the archive has no record of.",
    "duplicate": "The same bytes under another URL, in the same language.",
    "revisit": "The same bytes again, as a record that refers to the first.",
    "data_uri": "A tracking pixel inside the page.",
    "animated": "An animated GIF.",
    "banner": "A banner ten times as wide as high.",
    "svg": "A vector drawing.",
    "robots_txt": "An image in a folder that robots.txt forbids.",
    "x_robots_tag": "An image served with X-Robots-Tag: noai, noimageai.",
    "page_noai": "A good image on a page whose meta tag says noai.",
}
"""What each case is, by name; each stands in the mini-web once."""

FORBIDDEN = {"dongque.vi.example": "/rieng/"}
"""The folder that the robots.txt of a host forbids; those of other hosts allow everything."""

_SPACER = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
_SVG = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" width="120" height="120">
<path d="M20 100 C 20 40 60 20 100 20 C 100 60 80 100 20 100 Z" fill="#3a9d3a"/>
</svg>
"""
_NOT_FOUND = "<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not Found</body></html>\n"
_NO_AI = (("X-Robots-Tag", "noai, noimageai"),)
_FIXED = {
    "data": None,
    "absent": None,
    "spacer": Answer(_SPACER, "image/gif"),
    "svg": Answer(_SVG.encode(), "image/svg+xml"),
    "missing": Answer(_NOT_FOUND.encode(), "text/html", status="404 Not Found"),
    "html": Answer(_NOT_FOUND.replace("Not Found", "Forbidden").encode(), "image/jpeg"),
}


def answer(flaw: Flaw, artwork: Artwork, choices: Choices) -> Answer | None:
    """Return what the crawler got for the image of a flaw; None: it never asked."""
    if flaw.payload in _FIXED:
        return _FIXED[flaw.payload]
    if flaw.payload == "logo":
        return Answer(artwork.png(flaw.emoji), "image/png")
    if flaw.payload == "animated":
        return Answer(artwork.animation(flaw.emoji), "image/gif")
    if flaw.payload == "banner":
        return Answer(artwork.banner([flaw.emoji] * 4, (1000, 100)), "image/jpeg")
    extension = choices.extension(flaw.emoji)
    data, media_type = artwork.encode(flaw.emoji, extension), MEDIA_TYPES[extension]
    if flaw.payload == "truncated":
        return Answer(data[: len(data) * 2 // 5], media_type)
    return Answer(
        data,
        media_type,
        headers=_NO_AI if flaw.payload == "noai" else (),
        revisit=flaw.payload == "revisit",
    )
