"""Choose the pages of a Common Crawl index that a build reads: byte ranges of archives."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.culture.discover.index import open_index
from mella.builders.culture.discover.params import DiscoverParams
from mella.builders.culture.discover.query import pages_query
from mella.builders.engine.step import REASON, Step

READS = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("index", pa.string()),
        pa.field("truncation", pa.bool_()),
    ]
)

PAGES = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),  # as the index or the domain says
        pa.field("lang_origin", pa.string(), nullable=False),  # content, domain
        pa.field("host", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),  # registered domain, or the host
        pa.field("digest", pa.string()),  # SHA-1 of the payload, base 32
        pa.field("collected_at", pa.string()),
        pa.field("warc_filename", pa.string()),  # no null where there is no reason; so the next two
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),  # bytes, compressed as they are stored
        REASON,
    ]
)
"""The columns of a page of an index."""

SURVEY = pa.schema(
    [
        pa.field("lang", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),  # of archives, compressed
        REASON,
    ]
)
"""How many pages each host has in each language, kept or not; all that a forecast needs."""

_TABLE_ROWS = 65_536


def discover_step(params: DiscoverParams) -> Step:
    """Return the step that asks all files of an index together, and makes rows of `PAGES`.

    It stands behind `index_step`: pages are compared over all files, so they are one call. It fails
    with DiscoverError where a file is damaged inside.
    """
    return Step(
        name="discover",
        version=2,
        fn=_discover,
        reads=READS,
        writes=PAGES,
        params=params,
        by="index",
        expands=True,
        unit="pages",
        part_rows=_TABLE_ROWS,
        bucket_rows=1 << 40,
    )


def discover(
    paths: Sequence[str], params: DiscoverParams, *, truncation: bool
) -> Iterator[pa.Table]:
    """Yield the pages of an index, sorted by archive and offset, in tables of `PAGES`.

    Args:
        paths: Files of the index: paths or URLs.
        params: What is wanted.
        truncation: Whether one of them has the column `content_truncated`.

    Raises:
        DiscoverError: DuckDB is not installed, or cannot read a file.
    """
    with open_index(paths) as connection:
        found = connection.sql(pages_query(params, truncation=truncation))
        for batch in found.to_arrow_reader(_TABLE_ROWS):
            yield pa.Table.from_batches([batch]).cast(PAGES)


def survey(paths: Sequence[str], params: DiscoverParams, *, truncation: bool) -> pa.Table:
    """Return how many pages `discover` would find, as rows of `SURVEY`; arguments as there."""
    with open_index(paths) as connection:
        pages = connection.sql(pages_query(params, truncation=truncation))  # noqa: F841 - named in SQL
        return (
            connection.sql(
                """
            SELECT lang, host, count(*) AS pages, coalesce(sum(length), 0)::BIGINT AS bytes, reason
            FROM pages GROUP BY lang, host, reason ORDER BY lang, host, reason
            """
            )
            .to_arrow_table()
            .cast(SURVEY)
        )


def survey_of(pages: pa.Table) -> pa.Table:
    """Return the rows of `SURVEY` for rows of `PAGES`."""
    groups = pages.group_by(["lang", "host", "reason"]).aggregate(
        [("url", "count"), ("length", "sum")]
    )
    nbytes = pc.fill_null(groups["length_sum"], 0)
    columns = [groups["lang"], groups["host"], groups["url_count"], nbytes, groups["reason"]]
    keys = [(name, "ascending") for name in ("lang", "host", "reason")]
    return pa.table(columns, schema=SURVEY).sort_by(keys)


def _discover(table: pa.Table, params: DiscoverParams, _: Any) -> Iterator[pa.Table]:
    # The paths in an order of their own: which file comes first must not matter.
    paths = sorted(table["path"].to_pylist())
    truncation = bool(pc.any(table["truncation"]).as_py())
    yield from discover(paths, params, truncation=truncation)
