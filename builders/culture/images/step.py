"""Get each candidate's image, from an archive or from the web, and bring it into the stored form.

The step makes new rows, one for each candidate: they are written piece by piece, so that neither
this step nor a later one that reads images holds more than one part of some megabytes.

Where images are fetched, rows are dealt out by host (the step's `by`; `owner_of` in `target.py` is
the same rule): all images of a host are got in one call, by one process, which alone keeps its
pauses. (A host that others redirect to is spared by each process for itself.) An interrupted build
does the unfinished calls again; with a `store` it does not ask again for what has arrived.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from mella.builders.culture.addresses import resolve_url
from mella.builders.culture.archives.payload import PayloadError
from mella.builders.culture.archives.records import read_response
from mella.builders.culture.fetch.fetcher import Fetched, Fetcher, FetchParams, agent_of, host_of
from mella.builders.culture.images.picture import ImageRules, RejectedImage, normalise_image
from mella.builders.culture.signals import SIGNALS, signals_of
from mella.builders.engine.params import check_least
from mella.builders.engine.step import REASON, SideReader, Step
from mella.errors import MellaError

IMAGES = pa.schema(
    [
        pa.field("image", pa.large_binary()),  # as stored; null where it is rejected
        pa.field("sha256", pa.string()),  # of the stored image
        pa.field("original_sha256", pa.string()),  # of the bytes that were found
        pa.field("width", pa.int32()),  # as stored: an orientation is not applied
        pa.field("height", pa.int32()),
        pa.field("bytes", pa.int64()),  # of the stored image
        pa.field("original_format", pa.string()),  # jpeg, png, webp, gif, avif, bmp, tiff
        pa.field("image_origin", pa.string()),  # archive, http
        pa.field("phash", pa.string()),
        pa.field("text_score", pa.float64()),  # 1: it looks like rendered text and nothing else
        pa.field("image_signals", SIGNALS),  # of the image's response; null never
        pa.field("fetched_at", pa.string()),  # UTC, RFC 3339; null where it was not fetched
        REASON,
    ]
)
"""The columns of an image; beside them stand those of its candidate."""

_READ_BYTES = 64_000_000
_TABLE_ROWS = 64
_TABLE_BYTES = 8 << 20
_FETCHED_TOGETHER = 20_000  # more: more hosts at once; fewer: less to fetch again

Place = tuple[str, str | None, int]
"""Where an archive holds an image: path, member, offset."""

Row = dict[str, Any]


class ImagesError(MellaError, ValueError):
    """Parameters with which no image can be got."""


@dataclass(frozen=True)
class ImageParams:
    """How images are got, and which are kept.

    Attributes:
        rules: Which are kept.
        fetch: Whether what no archive holds is fetched over HTTP.
        max_per_host: Further images of a host are not fetched: with the usual pause of a second,
            these take about three hours.
        fetch_params: How; its `max_bytes` is taken from the rules.
    """

    rules: ImageRules = field(default_factory=ImageRules)
    fetch: bool = False
    max_per_host: int = 10_000
    fetch_params: FetchParams = field(default_factory=FetchParams)

    def __post_init__(self) -> None:
        check_least(self, {"max_per_host": 1})


@dataclass(frozen=True)
class Sources:
    """Where images come from: archives first, then the web."""

    places: dict[str, Place]
    fetcher: Fetcher | None


def images_step(params: ImageParams, side: Step | None, carries: pa.Schema) -> Step:
    """Return the step that gets, checks and stores the image of each candidate.

    Args:
        params: Which images are kept.
        side: The step "records", whose archives hold the images; None where all are fetched.
        carries: The columns of a candidate that its image shall stand beside; `image_url` is one,
            and `image_host` too where images are fetched.

    Raises:
        ImagesError: There is neither an archive nor leave to fetch, or `carries` is unfit.
        FetchError: Fetching lacks a contact.
    """
    if params.fetch:
        agent_of(params.fetch_params)
    elif side is None:
        raise ImagesError(
            "images_step(side=None) with ImageParams(fetch=False) would find no image: pass the "
            "records step as `side`, or set `fetch=True`."
        )
    needed = {"image_url", "image_host"} if params.fetch else {"image_url"}
    missing, taken = needed - {*carries.names}, {*carries.names} & {*IMAGES.names}
    if missing or taken:
        raise ImagesError(
            f"images_step(carries=...) got the columns {', '.join(carries.names)}: it needs "
            f"{', '.join(sorted(needed))}, and must leave {', '.join(IMAGES.names)} to the step."
        )
    return Step(
        name="images",
        version=4,
        fn=_get_images,
        reads=carries,
        writes=pa.schema([*carries, *IMAGES]),
        params=params,
        by="image_host" if params.fetch else None,
        expands=True,
        unit="images",
        setup=open_sources,
        side=side,
        bucket_rows=_FETCHED_TOGETHER,
    )


def open_sources(params: ImageParams, side: SideReader | None) -> Sources:
    """Index the images of the archives by URL; the first of several with one URL counts."""
    places: dict[str, Place] = {}
    columns = ["kind", "url", "path", "member", "offset"]
    for table in side.read(columns) if side else ():
        names: dict[str | None, str] = {}  # one string for each archive, not for each image
        for kind, url, path, member, offset in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            if kind == "image":
                member_name = None if member is None else names.setdefault(member, member)
                place = (names.setdefault(path, path), member_name, offset)
                places.setdefault(_normal(url), place)
    fetch_params = replace(params.fetch_params, max_bytes=params.rules.max_bytes)
    return Sources(places, Fetcher(fetch_params) if params.fetch else None)


def _get_images(table: pa.Table, params: ImageParams, sources: Sources) -> Iterator[pa.Table]:
    rows_of: dict[str | None, list[int]] = {}  # of each image: the rows that want it
    for number, url in enumerate(table["image_url"].to_pylist()):
        rows_of.setdefault(None if url is None else _normal(url), []).append(number)
    numbers: list[int] = []
    images: list[Row] = []
    size = 0
    for url, image in _find_images(list(rows_of), params, sources):
        for number in rows_of[url]:
            numbers.append(number)
            images.append(image)
            size += image.get("bytes", 0)
            if len(numbers) >= _TABLE_ROWS or size >= _TABLE_BYTES:
                yield _beside(table, numbers, images)
                numbers, images, size = [], [], 0
    if numbers:
        yield _beside(table, numbers, images)


def _beside(table: pa.Table, numbers: list[int], images: list[Row]) -> pa.Table:
    """Return the rows of these numbers with an image each."""
    carried = table.take(numbers)
    made = pa.Table.from_pylist(images, schema=IMAGES)
    return pa.table([*carried.columns, *made.columns], schema=pa.schema([*carried.schema, *IMAGES]))


def _find_images(
    urls: list[str | None], params: ImageParams, sources: Sources
) -> Iterator[tuple[str | None, Row]]:
    """Yield the columns of each image: in the order of the archives, then as answers come in."""
    places = {url: sources.places.get(url) for url in urls if url is not None}
    if None in urls:
        yield None, {"image_signals": [], "reason": "image:not_found"}
    found = [(place, url) for url, place in places.items() if place is not None]
    for place, url in sorted(found, key=lambda item: (item[0][0], item[0][1] or "", item[0][2])):
        yield url, _from_archive(place, params)
    missing = [url for url, place in places.items() if place is None]
    if sources.fetcher is None:
        for url in missing:
            yield url, {"image_signals": [], "reason": "image:not_found"}
        return
    asked: Counter[str] = Counter()
    wanted = []
    for url in missing:
        asked[host_of(url)] += 1
        if asked[host_of(url)] <= params.max_per_host:
            wanted.append(url)
        else:
            yield url, {"image_signals": [], "reason": "image:too_many_of_host"}
    for fetched in sources.fetcher.stream(wanted):
        yield fetched.url, _from_web(fetched, params)


def _from_archive(place: Place, params: ImageParams) -> Row:
    try:
        limit = max(_READ_BYTES, params.rules.max_bytes)
        headers, data = read_response(*place, max_bytes=limit)
    except PayloadError:
        return {"image_origin": "archive", "image_signals": [], "reason": "image:unreadable"}
    about = {"image_origin": "archive", "image_signals": signals_of(headers)}
    return {**_row(data, params), **about}


def _from_web(fetched: Fetched, params: ImageParams) -> Row:
    about = {
        "image_origin": "http",
        "image_signals": signals_of(fetched.headers),
        "fetched_at": fetched.fetched_at,
    }
    if fetched.body is None:
        return {**about, "reason": f"image:{fetched.reason}"}
    return {**_row(fetched.body, params), **about}


def _row(data: bytes, params: ImageParams) -> Row:
    image = normalise_image(data, params.rules)
    row = {
        "original_sha256": hashlib.sha256(data).hexdigest(),
        "width": image.width,
        "height": image.height,
        "original_format": image.original_format,
        "text_score": image.text_score,
    }
    if isinstance(image, RejectedImage):
        return {**row, "reason": image.reason}
    sha256 = hashlib.sha256(image.data).hexdigest()
    size = len(image.data)
    return {**row, "image": image.data, "sha256": sha256, "bytes": size, "phash": image.phash}


def _normal(url: str) -> str:
    """Return a URL as candidates have it, so that equal ones meet."""
    return resolve_url(url, url)[0] or url.partition("#")[0]
