"""The question that an index is asked, in SQL for DuckDB.

Every page that answers to the languages, was got with status 200 and is HTML becomes one row, kept
or with a reason. What is in no wanted language, no page, or outside the sample, becomes none: it is
not of this build.
"""

from mella.builders.culture.discover.confusable_codes import listed_as
from mella.builders.culture.discover.params import DiscoverParams
from mella.builders.culture.discover.url_rules import URL_RULES

_HTML = "('text/html', 'application/xhtml+xml')"
_MAIN = "split_part(content_languages, ',', 1)"
_NO_PLACE = """(
    url IS NULL OR coalesce(warc_filename, '') = ''
    OR coalesce(warc_record_offset, -1) < 0 OR coalesce(warc_record_length, 0) < 1
)"""


def pages_query(params: DiscoverParams, *, truncation: bool) -> str:
    """Return the query for all pages, kept or not, from the table `records` (the index).

    Equal rows of an index give equal rows in the same order, on any machine: sorted by archive and
    offset.

    Args:
        params: What is wanted.
        truncation: Whether the index has the column `content_truncated` (since CC-MAIN-2019-47).
    """
    return f"""
WITH wanted AS (
    {_wanted(params)}
), judged AS (
    SELECT *, {_reason(params, truncation=truncation)} AS reason FROM wanted
), by_url AS (
    SELECT * REPLACE ({_once("key", "discover:repeated_url")} AS reason) FROM judged
), by_content AS (
    SELECT * REPLACE (
        CASE WHEN content_digest IS NULL THEN reason
        ELSE {_once("content_digest", "discover:repeated_content")} END AS reason
    ) FROM by_url
), by_domain AS (
    SELECT * REPLACE ({_domain_limit(params)} AS reason) FROM by_content
), by_language AS (
    SELECT * REPLACE ({_language_limit(params)} AS reason) FROM by_domain
)
SELECT
    coalesce(url, '') AS url,
    lang,
    lang_origin,
    coalesce(lower(url_host_name), '') AS host,
    coalesce(url_host_registered_domain, lower(url_host_name), '') AS domain,
    content_digest AS digest,
    strftime(make_timestamp(fetched), '%Y-%m-%dT%H:%M:%SZ') AS collected_at,
    warc_filename,
    warc_record_offset::BIGINT AS "offset",
    warc_record_length::BIGINT AS length,
    reason
FROM by_language
ORDER BY warc_filename, "offset", url, fetched, reason
"""  # noqa: S608 - nothing in it is from a page


def _wanted(params: DiscoverParams) -> str:
    # The whole hash is compared, so the sample of a smaller share lies within that of a larger one.
    share = "" if params.sample == 1 else f"AND lot < {int(params.sample * 2**64)}::UBIGINT"
    return f"""SELECT *,
        CASE WHEN {_by_content(params)} IS NULL THEN 'domain' ELSE 'content' END AS lang_origin,
        coalesce({_by_content(params)}, {_by_domain(params)}) AS lang,
        md5_number_lower('{params.seed} ' || url) AS lot,
        regexp_replace(url, '^https?://(www\\.)?', '') AS key,
        epoch_us(fetch_time) AS fetched
    FROM records
    WHERE fetch_status = 200
        AND coalesce(content_mime_detected, content_mime_type) IN {_HTML}
        AND lang IS NOT NULL {share}"""  # noqa: S608 - as above


def _by_content(params: DiscoverParams) -> str:
    cases = " ".join(f"WHEN '{one.crawl_code}' THEN '{one.code}'" for one in params.languages)
    listed = [
        f"CASE split_part(content_languages, ',', {place}) {cases} END"
        for place in range(1, params.listed_languages + 1)
    ]
    return f"coalesce({', '.join(listed)}, NULL)"


def _by_domain(params: DiscoverParams) -> str:
    if params.by_domain == "never":
        return "NULL"
    cases = []
    for language in params.languages:
        here = f"lower(url_host_tld) IN ({_strings(language.domains)})"
        allowed = ["coalesce(content_languages, '') = ''"]
        if params.by_domain == "always":
            allowed = ["true"]
        elif params.by_domain == "confusable" and language.confusable:
            codes = tuple(listed_as(code) for code in language.confusable)
            allowed.append(f"{_MAIN} IN ({_strings(codes)})")
        if language.domains:
            cases.append(f"WHEN {here} AND ({' OR '.join(allowed)}) THEN '{language.code}'")
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def _reason(params: DiscoverParams, *, truncation: bool) -> str:
    depth = "len(regexp_extract_all(url_path, '/[^/]+'))"
    keys = "len(regexp_extract_all(coalesce(url_query, ''), '[^&;]+'))"
    cases = [
        (_NO_PLACE, "discover:no_place"),
        ("url_host_registered_domain IS NULL", "discover:no_domain"),
        (f"warc_record_length > {params.max_record_bytes}", "discover:too_big"),
        *(
            (f"regexp_matches(lower({rule.part}), '{rule.pattern}')", rule.reason)
            for rule in URL_RULES
        ),
        # The last part of a path is the page; those before it are directories.
        (f"{depth} > {params.max_depth} + 1", "discover:deep_path"),
        (f"{keys} > {params.max_query_keys}", "discover:query"),
    ]
    if truncation:
        cases.insert(1, ("content_truncated IS NOT NULL", "discover:truncated"))
    lines = " ".join(f"WHEN {test} THEN '{reason}'" for test, reason in cases)
    return f"CASE {lines} END"


def _once(column: str, reason: str) -> str:
    """Keep the newest of the good rows that are equal in a column."""
    return f"""CASE WHEN reason IS NULL AND row_number() OVER (
            PARTITION BY {column}, reason IS NULL
            ORDER BY fetched DESC, warc_filename, warc_record_offset
        ) > 1 THEN '{reason}' ELSE reason END"""


def _domain_limit(params: DiscoverParams) -> str:
    place = ("lang", "url_host_registered_domain")
    return _at_most(params.max_per_domain, place, "discover:domain_full")


def _language_limit(params: DiscoverParams) -> str:
    if params.max_pages == 0:
        return "reason"
    return _at_most(params.max_pages, ("lang",), "discover:language_full")


def _at_most(most: int, columns: tuple[str, ...], reason: str) -> str:
    """Keep so many of the good rows that are equal in some columns, chosen by lot."""
    return f"""CASE WHEN reason IS NULL AND row_number() OVER (
            PARTITION BY {", ".join(columns)}, reason IS NULL ORDER BY lot, key
        ) > {most} THEN '{reason}' ELSE reason END"""


def _strings(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)
