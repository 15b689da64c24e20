"""Choose the text of a candidate and judge it by script-aware rules.

A candidate image may carry several texts; the first good one is taken: its `alt`, the caption of
its figure, its `title`. Lengths are counted in graphemes (what a reader sees as one sign), never in
words: Thai has no spaces between them, and a Korean word may be two signs.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import regex

from mella.builders.culture.text_rules import RULES, is_boilerplate
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step
from mella.text import dominant_script, normalise, scripts

READS = pa.schema(
    [pa.field(name, pa.string()) for name in ("alt", "caption", "title", "image_url")]
)
WRITES = pa.schema([pa.field("text", pa.string()), pa.field("text_origin", pa.string()), REASON])

ORIGINS = (("alt", "alt"), ("caption", "figcaption"), ("title", "title"))
"""Columns in the order in which they are tried, and the `text_origin` of each."""

_GRAPHEME = regex.compile(r"\X")
_LETTER = regex.compile(r"\p{L}")
_SIGN = regex.compile(r"[-_+\s]+")


@dataclass(frozen=True)
class TextParams:
    """How long a text must be, and in what script.

    Attributes:
        min_graphemes: Least number of graphemes with a letter.
        min_by_script: The same for texts mostly in a script (ISO 15924) that says more with fewer
            signs: a Chinese character is a word, a Hangul block a syllable, Thai and Lao set vowels
            above and below, Arabic leaves short vowels out.
        max_graphemes: Greatest number of graphemes.
        scripts: Scripts of the wanted languages; a text without a letter of any is rejected, so
            that a native caption is taken instead of an English `alt`. Empty: all.
    """

    min_graphemes: int = 5
    min_by_script: tuple[tuple[str, int], ...] = (
        *(
            ("Arab", 4),
            ("Hang", 3),
            ("Hani", 2),
            ("Hira", 3),
            ("Kana", 3),
            ("Laoo", 4),
            ("Thai", 4),
        ),
    )
    max_graphemes: int = 1000
    scripts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_least(self, {"min_graphemes": 0, "max_graphemes": 1})


def text_step(params: TextParams) -> Step:
    """Make the step that chooses and judges the text of each candidate."""
    return Step(name="text", version=1, fn=_annotate, reads=READS, writes=WRITES, params=params)


def clean(raw: str | None) -> str:
    """Return a text as it is stored: entities resolved, normalised; empty for None.

    Entities are resolved twice, for many pages escape what is escaped already, and no further:
    what is left then is a text about entities.
    """
    return normalise(html.unescape(html.unescape(raw or "")))


def judge(text: str, image_url: str | None, params: TextParams) -> str | None:
    """Return the reason to reject a clean text, or None if it is good."""
    return next(_reasons(text, image_url, params), None)


def _reasons(text: str, image_url: str | None, params: TextParams) -> Iterator[str]:
    # A grapheme may pile up marks without end; no language takes four code points for one.
    if len(text) > 4 * params.max_graphemes or (
        len(text) > params.max_graphemes and count_graphemes(text) > params.max_graphemes
    ):
        yield "text:too_long"
    for reason, rejects in RULES:
        if rejects(text):
            yield reason
    if is_image_name(text, image_url):
        yield "text:file_name"
    bare = without_site_name(text, image_url)
    if bare != text and is_boilerplate(bare):
        yield "text:boilerplate"
    least = dict(params.min_by_script).get(dominant_script(text) or "", params.min_graphemes)
    if sum(1 for grapheme in _GRAPHEME.findall(text) if _LETTER.search(grapheme)) < least:
        yield "text:too_short"
    if params.scripts and not scripts(text).keys() & set(params.scripts):
        yield "text:script"


def count_graphemes(text: str) -> int:
    """Count extended grapheme clusters (Unicode Standard Annex 29)."""
    return len(_GRAPHEME.findall(text))


def is_image_name(text: str, image_url: str | None) -> bool:
    """Whether a text is the image's file name without its ending, as content systems fill it in.

    Only names in plain ASCII count, letter case included: `Hanoi-Old-Quarter.jpg` gives "Hanoi Old
    Quarter", while an image named after its native text says something good of both.
    """
    name = unquote(_path(image_url)).rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return text.isascii() and bool(name) and _SIGN.sub(" ", text) == _SIGN.sub(" ", name).strip()


def without_site_name(text: str, image_url: str | None) -> str:
    """Return the text without the word that the image's site is called by (`novinky` of .cz)."""
    labels = set(_host(image_url).casefold().split(".")[:-1]) - {"www", "img", "static", "cdn"}
    words = text.split()
    return " ".join(word for word in words if word.casefold() not in labels)


def choose(
    texts: tuple[tuple[str, str | None], ...], image_url: str | None, params: TextParams
) -> tuple[str | None, str | None, str | None]:
    """Choose the first good text.

    Args:
        texts: Origin and raw text, the preferred one first.
        image_url: URL of the image; None: unknown.
        params: See `TextParams`.

    Returns:
        Text, origin and reason. Where none is good: the first that is not empty, and why not.
    """
    rejected: tuple[str | None, str | None, str | None] = (None, None, "text:none")
    for origin, raw in texts:
        text = clean(raw)
        if not text:
            continue
        reason = judge(text, image_url, params)
        if reason is None:
            return text, origin, None
        if rejected[0] is None:
            rejected = (text, origin, reason)
    return rejected


def _annotate(table: pa.Table, params: TextParams, _resource: None) -> pa.Table:
    chosen = [
        choose(tuple((origin, row[column]) for column, origin in ORIGINS), row["image_url"], params)
        for row in table.to_pylist()
    ]
    rows = [dict(zip(WRITES.names, choice, strict=True)) for choice in chosen]
    return pa.Table.from_pylist(rows, schema=WRITES)


def _path(url: str | None) -> str:
    try:
        return urlsplit(url or "").path
    except ValueError:
        return ""


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or ""
    except ValueError:
        return ""
