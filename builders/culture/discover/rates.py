"""Measure what comes of a page, on a build that has finished."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella.builders.culture.discover.forecast import ALL, Rates
from mella.builders.engine.parts import Stage, outcomes, segments
from mella.builders.engine.runner import open_run
from mella.builders.engine.step import REASON
from mella.errors import MellaError


class RatesError(MellaError, ValueError):
    """A build that no rates can be measured on."""


def rates_from(work: Path) -> dict[str, Rates]:
    """Return the rates of the build in a work folder.

    Those of all pages together stand under `ALL`. Where the build began with an index, which says
    the language of each page, each language has its own too. All pages chosen from the index
    count there, read or not, since a forecast counts these.

    Raises:
        RepositoryError: No build was run there.
        RatesError: It has not finished, is none of pages, or has no page.
        FormatError: It is damaged.
    """
    stages = open_run(work)
    if unfinished := [stage.name for stage in stages if not stage.finished()]:
        raise RatesError(
            f"The build in {work} has not finished: {', '.join(unfinished)}. Run it to its end; "
            "a small sample will do."
        )
    levels = {level[0].name: level for level in segments(stages)}
    if not {"records", "candidates", "images"} <= {*levels}:
        raise RatesError(f"The build in {work} does not come from pages: it has no rates of them.")
    langs = _languages(levels.get("discover"))
    counts: Counter[tuple[str, str]] = Counter()
    nbytes: Counter[str] = Counter()
    for page in _pages(levels) if "discover" not in levels else langs:
        counts.update(_each("pages", langs.get(page)))
    if not counts["pages", ALL]:
        raise RatesError(
            f"The build in {work} has no pages, so it has no rates of them. Name one that has."
        )
    for row in _rows(levels["candidates"], ["page_url"]):
        counts.update(_each("candidates", langs.get(row["page_url"])))
    for row in _rows(levels["images"], ["page_url", "bytes"]):
        found = langs.get(row["page_url"])
        counts.update(_each("images", found))
        if row[REASON.name] is None:
            counts.update(_each("samples", found))
            for _, lang in _each("", found):
                nbytes[lang] += row["bytes"]
    known = [ALL, *sorted({*langs.values()})]
    return {lang: _rates(lang, counts, nbytes) for lang in known if counts["pages", lang]}


def _rates(lang: str, counts: Counter[tuple[str, str]], nbytes: Counter[str]) -> Rates:
    pages, samples = counts["pages", lang], counts["samples", lang]
    return Rates(
        pages=pages,
        candidates=counts["candidates", lang] / pages,
        images=counts["images", lang] / pages,
        samples=samples / pages,
        sample_bytes=nbytes[lang] / samples if samples else None,
    )


def _each(what: str, lang: str | None) -> list[tuple[str, str]]:
    return [(what, ALL)] if lang is None else [(what, ALL), (what, lang)]


def _pages(levels: Mapping[str, Sequence[Stage]]) -> Iterator[str]:
    """Yield the URL of each page that was read."""
    for row in _rows(levels["records"], ["url", "kind"]):
        if row["kind"] == "page" and row[REASON.name] is None:
            yield row["url"]


def _languages(level: Sequence[Stage] | None) -> dict[str, str]:
    """Return the language of each page that was chosen from an index."""
    if level is None:
        return {}
    langs: dict[str, str] = {}
    for part in level[0].parts():
        path = level[0].part_path(part.name)
        table = pq.read_table(path, columns=["url", "lang", REASON.name])
        chosen = table.filter(table[REASON.name].is_null())
        langs.update(zip(chosen["url"].to_pylist(), chosen["lang"].to_pylist(), strict=True))
    return langs


def _rows(level: Sequence[Stage], columns: list[str]) -> Iterator[dict[str, Any]]:
    for part in level[0].parts():
        table: pa.Table = outcomes(level, part.name, columns)
        yield from table.select([*columns, REASON.name]).to_pylist()
