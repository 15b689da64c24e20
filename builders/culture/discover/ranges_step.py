"""Read the records of chosen pages from the archives of a crawl, each by its byte range.

Records come out as if the whole archive had been read: the same columns, the same reasons. To
those come the faults of ranges, see `ranges.py`, and `range:other_record`: at that place stands
another page than the index says, or none.

Images are in no archive of Common Crawl, so a build from ranges fetches them.
"""

import io
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pyarrow as pa

from mella.builders.culture.archives.archive import Source
from mella.builders.culture.archives.records import (
    BLANK,
    MAX_HTTP_HEAD,
    RECORDS,
    Originals,
    RecordsParams,
    Row,
    as_tables,
    record_row,
)
from mella.builders.culture.archives.warc import read_record
from mella.builders.culture.discover.params import RangesParams
from mella.builders.culture.discover.ranges import Archives, Range
from mella.builders.culture.fetch.params import FetchParams, agent_of
from mella.builders.engine.step import Step

READS = pa.schema(
    [
        pa.field("url", pa.string()),
        pa.field("collected_at", pa.string()),
        pa.field("warc_filename", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
    ]
)

_READ_TOGETHER = 10_000


def ranges_step(params: RangesParams) -> Step:
    """Return the step that reads the pages that `discover_step` chose into records.

    It is named "records" and writes the columns of `records_step`, in whose place it stands; its
    `name` is the archive as the index names it. All pages of an archive are read in one call, in
    the order in which they lie there.

    Raises:
        FetchError: Archives are read over http, but there is no contact.
    """
    if params.archives.lower().startswith(("http://", "https://")):
        agent_of(FetchParams(contact=params.contact))
    return Step(
        name="records",
        version=2,
        fn=_read_ranges,
        reads=READS,
        writes=RECORDS,
        params=params,
        by="warc_filename",
        expands=True,
        unit="records",
        setup=_open_archives,
        bucket_rows=_READ_TOGETHER,
    )


def _open_archives(params: RangesParams, _: Any) -> Archives:
    return Archives(params)


def _read_ranges(table: pa.Table, params: RangesParams, archives: Archives) -> Iterator[pa.Table]:
    pages = table.sort_by([("warc_filename", "ascending"), ("offset", "ascending")]).to_pylist()
    with archives.task():
        for name, of_archive in groupby(pages, key=lambda page: page["warc_filename"]):
            yield from as_tables(_read_archive(name, list(of_archive), params, archives))


def _read_archive(
    name: str, pages: list[Row], params: RangesParams, archives: Archives
) -> Iterator[Row]:
    path = f"{params.archives.rstrip('/')}/{name}"
    ranges = [Range(page["offset"], page["length"]) for page in pages]
    found = archives.read(name, ranges)
    for page, (_, content) in zip(pages, found, strict=True):
        known = {key: page[key] for key in ("url", "offset", "collected_at")}
        blank = {**BLANK, "name": name, "path": path}
        if isinstance(content, str):
            yield {**blank, **known, "reason": content}
        else:
            yield _row(content, known, blank, params.records)


def _row(content: bytes, known: Row, blank: Row, params: RecordsParams) -> Row:
    # The bytes stand where they stood in the archive: offsets are those of the whole file.
    source = Source(io.BytesIO(content), -known["offset"], known["offset"] + len(content))
    record = read_record(source, known["offset"], limit=params.max_page_bytes + MAX_HTTP_HEAD)
    row = record_row(blank, record, params, originals=Originals())
    if row is None or (row["url"] is not None and row["url"] != known["url"]):
        return {**blank, **known, "reason": "range:other_record"}
    # What a damaged record does not say of itself, the index does.
    missing = {key: value for key, value in known.items() if row[key] is None}
    return {**row, **missing}
