"""Fetch the pages of a list into records, as if an archive had held them.

A list is a text file in UTF-8 with one address a line; empty lines and those that begin with `#`
are passed over. Every other line becomes one row: a page, or something else with the reason why it
is not used. Reasons are `page_list:...` (the list), `fetch:...` (see `fetch.py`), and `record:...`
and `media_type:...` (what was sent is no page; see `records.py`).

A list is one task of one process, so that the pauses between requests hold for its hosts: put all
pages of a host in one list. A finished list is not fetched again when a build goes on; one that was
interrupted is, from its beginning.

What the web answers, and when, differs from run to run: unlike a build from archives, one from a
list does not come out the same when it is run afresh.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.archives.payload import declared_charset, media_type
from mella.builders.culture.archives.records import (
    BLANK,
    READS,
    RECORDS,
    Row,
    as_tables,
    why_no_page,
)
from mella.builders.culture.fetch.fetcher import Fetched, Fetcher, FetchParams, agent_of
from mella.builders.culture.signals import signals_of
from mella.builders.engine.step import Step

_SNIFF_BYTES = 2048


@dataclass(frozen=True)
class PageListParams:
    """How pages are fetched.

    Attributes:
        max_page_bytes: Pages larger than this, decoded, get `fetch:too_large`.
        fetch_params: How else; its `max_bytes` is taken from here.
    """

    max_page_bytes: int = 10_000_000
    fetch_params: FetchParams = field(default_factory=FetchParams)


def page_list_step(params: PageListParams) -> Step:
    """Return the step that fetches lists of pages (`path`, and the stable `name`) into records.

    It is named "records" and writes the columns of `records_step`, in whose place it stands. The
    `offset` is the number of the line; `url` is where redirects led to, or what the line says where
    no page came.

    Raises:
        FetchError: There is no contact.
    """
    agent_of(params.fetch_params)
    return Step(
        name="records",
        version=2,
        fn=_fetch_lists,
        reads=READS,
        writes=RECORDS,
        params=params,
        expands=True,
        unit="records",
        setup=_open_fetcher,
    )


def _open_fetcher(params: PageListParams, _: Any) -> Fetcher:
    return Fetcher(replace(params.fetch_params, max_bytes=params.max_page_bytes))


def _fetch_lists(table: pa.Table, _: PageListParams, fetcher: Fetcher) -> Iterator[pa.Table]:
    for page_list in table.to_pylist():
        yield from as_tables(_fetch_list(page_list["path"], page_list["name"], fetcher))


def _fetch_list(path: str, name: str, fetcher: Fetcher) -> Iterator[Row]:
    blank = {**BLANK, "name": name, "path": path}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError:
        yield {**blank, "reason": "page_list:unreadable"}
        return
    except UnicodeDecodeError:
        yield {**blank, "reason": "page_list:not_utf8"}
        return
    numbers: dict[str, int] = {}  # of the line on which each URL stands first
    empty = True
    for number, line in _lines(text):
        empty = False
        url, _ = resolve_url("", line)
        if url is None or url in numbers:
            reason = "page_list:repeated" if url else "page_list:not_a_url"
            yield {**blank, "url": url or line, "offset": number, "reason": reason}
        else:
            numbers[url] = number
    if empty:
        yield {**blank, "reason": "page_list:empty"}
    rows = (
        {**blank, "offset": numbers[fetched.url], **_row(fetched)}
        for fetched in fetcher.stream(numbers)
    )
    yield from _once(rows)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def _once(rows: Iterable[Row]) -> Iterator[Row]:
    """Reject pages at which other lines have arrived before."""
    pages: set[str] = set()
    for row in rows:
        if row["kind"] == "page" and row["url"] in pages:
            yield {**row, "kind": "other", "body": None, "reason": "page_list:repeated"}
            continue
        if row["kind"] == "page":
            pages.add(row["url"])
        yield row


def _row(fetched: Fetched) -> Row:
    content_type = fetched.headers.get("content-type", "")
    row: Row = {
        "url": fetched.url,
        "media_type": media_type(content_type) or None,
        "charset": declared_charset(content_type),
        "content_language": fetched.headers.get("content-language"),
        "signals": signals_of(fetched.headers),
        "collected_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if fetched.body is None:
        return {**row, "reason": fetched.reason}
    if reason := why_no_page(fetched.body[:_SNIFF_BYTES], row["media_type"]):
        return {**row, "reason": reason}
    return {**row, "kind": "page", "url": fetched.final_url, "body": fetched.body, "reason": None}
