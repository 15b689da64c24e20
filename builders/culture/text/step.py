"""Choose the text of a candidate and judge it by script-aware rules.

A candidate image may carry several texts; the first good one is taken: its `alt`, the caption of
its figure, what else the page says of it. Broken characters are repaired where that is certain;
what a reader never saw is removed, or rejects the text. Lengths are counted in graphemes (what a
reader sees as one sign), never in words: Thai has no spaces between them, and a Korean word may be
two signs.
"""

import html
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import regex

from mella.builders.culture.text.invisible import is_hidden, is_turned, without_invisible
from mella.builders.culture.text.mojibake import repair
from mella.builders.culture.text.personal_data import mask_personal_data
from mella.builders.culture.text.rules import RULES, is_boilerplate
from mella.builders.culture.text.unsafe import read_terms, unsafe_terms
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, Step
from mella.text import normalise, scripts

COLUMNS = {
    "alt": "alt",
    "figcaption": "caption",
    "aria_label": "aria_label",
    "json_ld": "structured_text",
    "og_alt": "og_alt",
    "title": "title",
    "heading": "heading",
    "paragraph": "paragraph",
}
"""The column of a candidate that holds the text of each origin."""

READS = pa.schema(
    [pa.field(name, pa.string()) for name in (*COLUMNS.values(), "image_url", "page_lang")]
)
WRITES = pa.schema([pa.field("text", pa.string()), pa.field("text_origin", pa.string()), REASON])

_GRAPHEME = regex.compile(r"\X")
_LETTER = regex.compile(r"\p{L}")
_SIGN = regex.compile(r"[-_+\s]+")
_MOST_WORDS_WITH_SITE = 8
# Controls that no page means: bytes of a code page that was read as another.
_CONTROL = regex.compile(r"[\x80-\x84\x86-\x9f]")


@dataclass(frozen=True)
class TextParams:
    """Which texts of an image are tried, how long one must be, in what script, and how clean.

    Attributes:
        origins: The texts that are tried, the preferred one first: any of alt, figcaption,
            aria_label, json_ld, og_alt, title, and of heading and paragraph, which stand near an
            image and often say nothing of it.
        min_graphemes: Least number of graphemes with a letter.
        min_by_script: The same for texts mostly in a script (ISO 15924) that says more with fewer
            signs: a Chinese character is a word, a Hangul block a syllable, Thai and Lao set vowels
            above and below, Arabic leaves short vowels out.
        max_graphemes: Greatest number of graphemes.
        scripts: Scripts of the wanted languages; a text without a letter of any is rejected, so
            that a native caption is taken instead of an English `alt`. Empty: all.
        personal_data: What becomes of a text with an e-mail address, a telephone number, a person's
            id, a card or an account: "reject" it, or "mask" these and keep the rest.
        unsafe_terms: Terms that reject a text, beside those of `unsafe_terms.toml`.
        unsafe_files: Files with more of them, one a line; see `with_unsafe_files`.
    """

    origins: tuple[str, ...] = ("alt", "figcaption", "aria_label", "json_ld", "og_alt", "title")
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
    personal_data: Literal["reject", "mask"] = "reject"
    unsafe_terms: tuple[str, ...] = ()
    unsafe_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_least(self, {"min_graphemes": 0, "max_graphemes": 1})
        unknown = [origin for origin in self.origins if origin not in COLUMNS]
        if unknown or not self.origins or len(set(self.origins)) < len(self.origins):
            raise ValueError(
                f"origins = {list(self.origins)!r} must name some of {', '.join(COLUMNS)}, each "
                "once, the preferred one first."
            )
        if self.personal_data not in ("reject", "mask"):
            raise ValueError(f'personal_data = {self.personal_data!r} must be "reject" or "mask".')
        unsafe_terms(self.unsafe_terms)  # raises what is wrong with them, here and not in a worker


def with_unsafe_files(params: TextParams, paths: Iterable[Path]) -> TextParams:
    """Return the parameters with the terms of files among them.

    So the output of the step depends on what the files hold, not on where they lie.

    Args:
        params: Parameters as a recipe gives them.
        paths: The files that its `unsafe_files` name.

    Raises:
        UnsafeTermsError: A file cannot be read.
    """
    more = dict.fromkeys((*params.unsafe_terms, *read_terms(paths)))
    return replace(params, unsafe_terms=tuple(more), unsafe_files=())


def text_step(params: TextParams) -> Step:
    """Make the step that chooses and judges the text of each candidate.

    Raises:
        ValueError: `params.unsafe_files` were not read; see `with_unsafe_files`.
    """
    if params.unsafe_files:
        raise ValueError("unsafe_files were not read: call with_unsafe_files first.")
    return Step(name="text", version=2, fn=_annotate, reads=READS, writes=WRITES, params=params)


def clean(raw: str | None, language: str | None = None) -> str:
    """Return a text as it is stored; empty for None.

    Entities are resolved, characters repaired where that is certain, the invisible removed, the
    rest normalised. Entities are resolved twice, for many pages escape what is escaped already, and
    no further: what is left then is a text about entities.

    Args:
        raw: The text as the page has it.
        language: Tag of the page's language, if known: it makes more repairs certain.
    """
    return normalise(without_invisible(_decode(raw, language)))


def _decode(raw: str | None, language: str | None) -> str:
    text = raw or ""
    if "&" in text:
        text = html.unescape(html.unescape(text))
    return text if text.isascii() else repair(text, language)


def judge(text: str, image_url: str | None, params: TextParams) -> str | None:
    """Return the reason to reject a clean text, or None if it is good."""
    return next(_reasons(text, image_url, params), None)


def _fault(decoded: str) -> str | None:
    """Return why a text is rejected for what is lost when it is cleaned."""
    if decoded.isascii():
        return None
    if is_turned(decoded):
        return "text:bidi"
    if is_hidden(decoded):
        return "text:hidden"
    return "text:mojibake" if _CONTROL.search(decoded) else None


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
    if unsafe_terms(params.unsafe_terms).found_in(text):
        yield "text:unsafe"
    bare = without_site_name(text, image_url)
    if bare != text and is_boilerplate(bare):
        yield "text:boilerplate"
    counts = scripts(text)
    main = max(counts, key=counts.__getitem__, default="")
    least = dict(params.min_by_script).get(main, params.min_graphemes)
    if not _has_lettered_graphemes(text, least):
        yield "text:too_short"
    if params.scripts and not counts.keys() & set(params.scripts):
        yield "text:script"


def _has_lettered_graphemes(text: str, least: int) -> bool:
    lettered = (
        True for match in _GRAPHEME.finditer(text) if match[0].isalpha() or _LETTER.search(match[0])
    )
    return sum(islice(lettered, least)) >= least


def count_graphemes(text: str) -> int:
    """Count extended grapheme clusters (Unicode Standard Annex 29)."""
    return len(_GRAPHEME.findall(text))


def is_image_name(text: str, image_url: str | None) -> bool:
    """Whether a text is the image's file name without its ending, as content systems fill it in.

    Only names in plain ASCII count, letter case included: `Hanoi-Old-Quarter.jpg` gives "Hanoi Old
    Quarter", while an image named after its native text says something good of both.
    """
    if not text.isascii():
        return False
    name = unquote(_path(image_url)).rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return bool(name) and _SIGN.sub(" ", text) == _SIGN.sub(" ", name).strip()


def without_site_name(text: str, image_url: str | None) -> str:
    """Return a short text without the word that the image's site is called by (novinky of .cz)."""
    words = text.split()
    if len(words) > _MOST_WORDS_WITH_SITE:
        return text
    labels = set(_host(image_url).casefold().split(".")[:-1]) - {"www", "img", "static", "cdn"}
    return " ".join(word for word in words if word.casefold() not in labels)


def choose(
    texts: Iterable[tuple[str, str | None]],
    image_url: str | None,
    params: TextParams,
    *,
    language: str | None = None,
) -> tuple[str | None, str | None, str | None]:
    """Choose the first good text.

    Args:
        texts: Origin and raw text, the preferred one first.
        image_url: URL of the image; None: unknown.
        params: See `TextParams`.
        language: Tag of the page's language; None: unknown.

    Returns:
        Text, origin and reason. Where none is good: the first that is not empty, and why not.
    """
    rejected: tuple[str | None, str | None, str | None] = (None, None, "text:none")
    seen: set[str] = set()
    for origin, raw in texts:
        if not raw or raw in seen:
            continue
        seen.add(raw)
        decoded = _decode(raw, language)
        text = normalise(without_invisible(decoded))
        if not text:
            continue
        if params.personal_data == "mask":
            text = mask_personal_data(text)
        reason = _fault(decoded) or judge(text, image_url, params)
        if reason is None:
            return text, origin, None
        if rejected[0] is None:
            rejected = (text, origin, reason)
    return rejected


def _annotate(table: pa.Table, params: TextParams, _resource: None) -> pa.Table:
    columns = {name: table[name].to_pylist() for name in READS.names}
    urls, languages = columns["image_url"], columns["page_lang"]
    tried = [columns[COLUMNS[origin]] for origin in params.origins]
    chosen = [
        choose(zip(params.origins, texts, strict=True), url, params, language=language)
        for *texts, url, language in zip(*tried, urls, languages, strict=True)
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
