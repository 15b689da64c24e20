"""Join the captions in `captions.toml` with the images of the mini-web by their hashes."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mella.builders.miniweb.artwork import Artwork
from mella.builders.miniweb.choices import Choices

CAPTIONS = Path(__file__).parent / "captions.toml"
CAPTIONER = "large-language-model/2026-11 (unreviewed)"
"""Who wrote the English captions and the translations; no native speaker has read them."""


@dataclass(frozen=True)
class Caption:
    """A description of an image and its translation.

    Attributes:
        emoji: The picture.
        lang: Language code of `text`.
        en: The description in English.
        text: Its translation.
        flaw: Why a check must reject it; empty: it is good.
    """

    emoji: str
    lang: str
    en: str
    text: str
    flaw: str = ""


def read_captions(file: Path = CAPTIONS) -> tuple[Caption, ...]:
    """Read the captions, the good ones first.

    Raises:
        TypeError: A caption has a key that there is none for, or lacks one.
    """
    tables = tomllib.loads(file.read_text("utf-8"))
    return tuple(Caption(**table) for table in (*tables["caption"], *tables["bad"]))


def write_captions(file: Path, artwork: Artwork, choices: Choices) -> None:
    """Write a JSON line for each caption, with the hash of the image file that it describes."""
    with file.open("w", encoding="utf-8", newline="\n") as lines:
        for caption in read_captions():
            lines.write(json.dumps(_row(caption, artwork, choices), ensure_ascii=False) + "\n")


def _row(caption: Caption, artwork: Artwork, choices: Choices) -> dict[str, str]:
    if caption.flaw == "stranger":
        image = b"This is no image of the mini-web."
    else:
        image = artwork.encode(caption.emoji, choices.extension(caption.emoji))
    return {
        "sha256": hashlib.sha256(image).hexdigest(),
        "lang": caption.lang,
        "text_en": caption.en,
        "text": caption.text,
        "captioner": CAPTIONER,
        "translator": CAPTIONER,
        "emoji": caption.emoji,
    }
