"""Foresee what a build from a crawl comes to, before anything is read: yield, bytes and hours.

The number of pages, their bytes and their hosts are counted in the index. What comes of a page is
not in it: that is measured on a build that was finished (`rates_from` in `rates.py`), and where it
was not, the forecast says that it is unknown. Nothing else is assumed but this: the images of a
page lie on the host of that page. So a host that serves the images of many others is underrated,
and hosts whose images lie elsewhere are overrated.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from mella.builders.culture.discover.params import RangesParams
from mella.builders.culture.fetch.params import FetchParams
from mella.builders.engine.shuffle import bucket_of

ALL = ""
"""The name in a mapping of rates under which those of all languages together stand."""


@dataclass(frozen=True)
class Rates:
    """What came of the pages of a finished build.

    Attributes:
        pages: How many there were; the more, the surer. Of an index, all that were chosen.
        candidates: Images named by a page, kept or not: the mean of a page.
        images: Images that were wanted after all rules on texts and consent: the mean of a page.
        samples: Kept in the end: the mean of a page.
        sample_bytes: The mean of a kept image; None where none was kept.
    """

    pages: int
    candidates: float
    images: float
    samples: float
    sample_bytes: float | None


@dataclass(frozen=True)
class LanguageForecast:
    """What a build comes to in one language; None: unknown.

    Attributes:
        lang: The language.
        pages: To read.
        hosts: On which they lie.
        archive_bytes: Of archives to read, compressed.
        passed_over: Pages in the language that a rule or a limit rejects, by reason.
        candidates: Images that pages name.
        images: Images to fetch: at most one request each, if none is retried or redirected.
        samples: Kept in the end.
        sample_bytes: Of their images.
        measured_on: Pages that the rates come from; None where there are none.
    """

    lang: str
    pages: int
    hosts: int
    archive_bytes: int
    passed_over: dict[str, int]
    candidates: float | None
    images: float | None
    samples: float | None
    sample_bytes: float | None
    measured_on: int | None


@dataclass(frozen=True)
class Forecast:
    """What a build comes to; None: unknown.

    Attributes:
        languages: One each, in order of their codes.
        archive_hours: Of pauses while records are read, if each has a request of its own and one
            process reads them all. Near records share a request, and several processes share the
            work; slow answers add to it. None: there is no pause.
        busiest_host: The one with the most images to fetch; with the most pages where it is not
            known how many images these have.
        busiest_images: How many are fetched from it, which is at most `max_per_host`.
        image_hours: For fetching images with the pause that each host is given: no less than the
            busiest host takes, nor than the calls of the step take, one after the other, in so
            many processes. Answers that are slow, and hosts that ask for a longer pause, add to it.
    """

    languages: tuple[LanguageForecast, ...]
    archive_hours: float | None
    busiest_host: str | None
    busiest_images: float | None
    image_hours: float | None


@dataclass(frozen=True)
class Pace:
    """How fast images are fetched.

    Attributes:
        fetch: The pause of a host.
        max_per_host: Images of one host, at most (`ImageParams.max_per_host`).
        fetched_together: Images of one call of the step (`images_step(...).bucket_rows`).
        workers: Processes.
    """

    fetch: FetchParams
    max_per_host: int
    fetched_together: int
    workers: int


def forecast(
    survey: pa.Table, rates: Mapping[str, Rates], *, ranges: RangesParams, pace: Pace
) -> Forecast:
    """Return what a build comes to.

    Args:
        survey: Rows of `SURVEY`: pages by language, host and reason.
        rates: By language, and under `ALL` those for languages that have none of their own; empty
            where no build was measured.
        ranges: How archives are read.
        pace: How images are fetched.
    """
    kept = survey.filter(pc.is_null(survey["reason"]))
    langs = sorted({*survey["lang"].to_pylist()})
    languages = tuple(_language(lang, survey, kept, rates) for lang in langs)
    pages = sum(one.pages for one in languages)
    web = ranges.archives.lower().startswith(("http://", "https://"))
    host, most, hours = _images(kept, rates, pace)
    return Forecast(
        languages=languages,
        archive_hours=pages * ranges.delay_s / 3600 if web else None,
        busiest_host=host,
        busiest_images=most,
        image_hours=hours,
    )


def _language(
    lang: str, survey: pa.Table, kept: pa.Table, rates: Mapping[str, Rates]
) -> LanguageForecast:
    mine = kept.filter(pc.equal(kept["lang"], lang))
    pages = sum(mine["pages"].to_pylist())
    passed: Counter[str] = Counter()
    for row in survey.filter(pc.equal(survey["lang"], lang)).to_pylist():
        if row["reason"] is not None:
            passed[row["reason"]] += row["pages"]
    rate = _rate(lang, rates)
    sample_bytes = None
    if rate is not None and rate.sample_bytes is not None:
        sample_bytes = pages * rate.samples * rate.sample_bytes
    return LanguageForecast(
        lang=lang,
        pages=pages,
        hosts=len({*mine["host"].to_pylist()}),
        archive_bytes=sum(mine["bytes"].to_pylist()),
        passed_over=dict(sorted(passed.items())),
        candidates=None if rate is None else pages * rate.candidates,
        images=None if rate is None else pages * rate.images,
        samples=None if rate is None else pages * rate.samples,
        sample_bytes=sample_bytes,
        measured_on=None if rate is None else rate.pages,
    )


def _rate(lang: str, rates: Mapping[str, Rates]) -> Rates | None:
    return rates.get(lang, rates.get(ALL))


def _images(
    kept: pa.Table, rates: Mapping[str, Rates], pace: Pace
) -> tuple[str | None, float | None, float | None]:
    """Return the busiest host, its images, and the hours for the images of all."""
    pages: Counter[str] = Counter()
    images: defaultdict[str, float] = defaultdict(float)
    unknown = False
    for row in kept.to_pylist():
        pages[row["host"]] += row["pages"]
        rate = _rate(row["lang"], rates)
        unknown = unknown or rate is None
        images[row["host"]] += row["pages"] * (0 if rate is None else rate.images)
    if not pages:
        return None, 0.0, 0.0
    if unknown:
        return min(pages, key=lambda host: (-pages[host], host)), None, None
    asked = {host: min(float(count), float(pace.max_per_host)) for host, count in images.items()}
    busiest = min(asked, key=lambda host: (-asked[host], host))
    # Hosts are dealt out to calls as the engine does it; a call takes as long as its busiest host.
    calls = max(1, -int(-sum(images.values()) // pace.fetched_together))
    longest: dict[int, float] = {}
    for host, count in asked.items():
        call = bucket_of(host, calls)
        longest[call] = max(longest.get(call, 0.0), count)
    requests = max(asked[busiest], sum(longest.values()) / pace.workers)
    return busiest, asked[busiest], requests * pace.fetch.per_host_delay_s / 3600
