"""Read what the structured data of a page (JSON-LD) says of its images."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from mella.errors import MellaError

_WRAPPING = re.compile(r"(?:<!--|-->|//|/\*|\*/|<!\[CDATA\[|\]\]>|\s)*")
_MAX_CHARS = 1_000_000
_MAX_NODES = 20_000
_TEXTS = ("caption", "description", "name")
_ADDRESSES = ("contentUrl", "url")
_IMAGE_TYPES = ("ImageObject", "ImageObjectSnapshot", "Photograph")


class StructuredImage(NamedTuple):
    """An image as JSON-LD describes it.

    Attributes:
        url: Its address as it is written, maybe relative.
        text: Its caption, else its description, else its name.
        license: A URL or a short text.
    """

    url: str
    text: str | None = None
    license: str | None = None


class StructuredDataError(MellaError, ValueError):
    """A script that holds no JSON, or too much of it."""


def structured_images(script: str) -> list[StructuredImage]:
    """Return the images that one script of type `application/ld+json` names, in its order.

    These are all objects of the type ImageObject, however deep they lie, and what the property
    `image` of any object names (schema.org). An object that only refers to another by its `@id`
    has no address of its own, and is passed over.

    Raises:
        StructuredDataError: It is no JSON, longer than a million characters, or nested too deeply.
    """
    if len(script) > _MAX_CHARS:
        raise StructuredDataError(f"JSON-LD of {len(script)} characters; {_MAX_CHARS} are read.")
    start = _WRAPPING.match(script)
    try:
        # Not strict: many sites write line breaks into strings as they are.
        decoder = json.JSONDecoder(strict=False)
        data, end = decoder.raw_decode(script, start.end() if start else 0)
    except (ValueError, RecursionError) as error:
        raise StructuredDataError(f"JSON-LD that is no JSON: {error}.") from error
    if _WRAPPING.sub("", script[end:]).strip(";"):
        raise StructuredDataError(f"JSON-LD with something behind it, at character {end}.")
    return list(_images(data))


def _images(data: Any) -> Iterator[StructuredImage]:
    # A stack of our own: what JSON may nest, Python may not recurse into.
    waiting: list[tuple[Any, bool]] = [(data, False)]
    for _ in range(_MAX_NODES):
        if not waiting:
            return
        value, is_image = waiting.pop()
        if isinstance(value, list):
            waiting.extend((one, is_image) for one in reversed(value))
        elif isinstance(value, str) and is_image and value.strip():
            yield StructuredImage(_plain(value))
        elif isinstance(value, dict):
            if is_image or _is_image(value):
                yield from _described(value)
            waiting.extend((one, key == "image") for key, one in reversed(value.items()))
    raise StructuredDataError(f"JSON-LD of more than {_MAX_NODES} values.")


def _is_image(value: dict[str, Any]) -> bool:
    kinds = value.get("@type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    # With or without the vocabulary in front, as a prefix or a URL.
    return any(isinstance(kind, str) and re.split("[/:#]", kind)[-1] in _IMAGE_TYPES
               for kind in kinds)  # fmt: skip


def _described(value: dict[str, Any]) -> Iterator[StructuredImage]:
    url = next((text for key in _ADDRESSES if (text := _text(value.get(key)))), None)
    if url is not None:
        text = next((text for key in _TEXTS if (text := _text(value.get(key)))), None)
        yield StructuredImage(url, text, _text(value.get("license")))


def _text(value: Any) -> str | None:
    """Return the first text of a value: a string, a list of them, or an object around one."""
    for one in value if isinstance(value, list) else [value]:
        text = one
        if isinstance(one, dict):
            text = one.get("@value") or one.get("@id") or one.get("url")
        if isinstance(text, str) and text.strip():
            return _plain(text)
    return None


def _plain(text: str) -> str:
    # A script has no entities, but many sites escape its strings as if it had.
    return html.unescape(text).strip()
