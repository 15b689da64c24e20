"""Say which pages of a Common Crawl index are wanted, and how their archives are read."""

from dataclasses import dataclass, field
from typing import Literal

from mella.builders.culture.archives.records import RecordsParams
from mella.builders.engine.params import check_least
from mella.languages import Language

ByDomain = Literal["never", "unknown", "confusable", "always"]
"""When the country domain of a page says its language; see `DiscoverParams`."""


@dataclass(frozen=True)
class DiscoverParams:
    """Which pages are wanted.

    Attributes:
        languages: Those of the build. In a recipe, they follow from `languages`.
        listed_languages: How many of the languages that the index lists for a page count, from the
            first (the one of most of its text) on: 1 to 3.
        by_domain: When a page counts as in the language of its country domain: "never"; "unknown":
            where the index lists no language; "confusable": also where the first one listed is one
            that identification takes for it (much Serbian in Latin script is listed as Croatian);
            "always".
        sample: Share of all URLs that is looked at, 0 to 1: a seeded, uniform sample.
        max_pages: Of a language, after all else; 0: no limit. A seeded, uniform choice too.
        max_per_domain: Of one registered domain in one language, so that no site dominates.
        max_depth: Directories in a path; deeper pages get `discover:deep_path`.
        max_query_keys: Keys in a query; pages with more get `discover:query`.
        max_record_bytes: Longer records, as they are stored, get `discover:too_big`.
        seed: Of the sample and of the choices.
    """

    languages: tuple[Language, ...]
    listed_languages: int = 1
    by_domain: ByDomain = "confusable"
    sample: float = 1.0
    max_pages: int = 0
    max_per_domain: int = 1000
    max_depth: int = 8
    max_query_keys: int = 2
    max_record_bytes: int = 2_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_least(
            self,
            {
                "listed_languages": 1,
                "sample": 0,
                "max_pages": 0,
                "max_per_domain": 1,
                "max_depth": 0,
                "max_query_keys": 0,
                "max_record_bytes": 1,
            },
        )
        if not 0 < self.sample <= 1:
            raise ValueError(f"sample = {self.sample!r} must be more than 0, and 1 at most.")
        if self.listed_languages > 3:
            raise ValueError(
                f"listed_languages = {self.listed_languages!r} must be 3 at most: the index lists "
                "no more."
            )


@dataclass(frozen=True)
class RangesParams:
    """How records are read from archives that lie elsewhere.

    Attributes:
        archives: Where: a folder or a URL below which files lie as the index names them. http and
            https, and whatever fsspec has a file system for (`s3://commoncrawl/`).
        contact: A URL or e-mail address, sent with each request over http. In a recipe, that of
            `[fetch]`.
        gap_bytes: Records no further apart than this are read with one request.
        request_bytes: Of one request, at most, unless a single record is longer.
        delay_s: From the beginning of one request over http to that of the next, in one process.
        connections: Requests at the same time, in one process.
        attempts: For each request.
        max_failures: After so many requests in a row that failed, the step does.
        records: How records are read.
    """

    archives: str = "https://data.commoncrawl.org/"
    contact: str = ""
    gap_bytes: int = 64 << 10
    request_bytes: int = 16 << 20
    delay_s: float = 0.2
    connections: int = 2
    attempts: int = 5
    max_failures: int = 20
    records: RecordsParams = field(default_factory=RecordsParams)

    def __post_init__(self) -> None:
        check_least(
            self,
            {
                "gap_bytes": 0,
                "request_bytes": 1,
                "delay_s": 0,
                "connections": 1,
                "attempts": 1,
                "max_failures": 1,
            },
        )


@dataclass(frozen=True)
class CrawlParams:
    """How records come from a crawl: which are wanted, and how they are read."""

    discover: DiscoverParams
    ranges: RangesParams
