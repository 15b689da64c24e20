"""Read WARC.gz into candidates, by turns with bare fastwarc iteration; pages per CPU second.

    python benchmarks/candidates.py FOLDER [ROUNDS]

Downloads the HTML manuals of gimp-help-ru and debian-handbook (Debian packages) into the folder,
once, and writes their pages into two archives: as they are, where every page has images, and
without their image elements. Bare iteration means that fastwarc parses the headers of every record
and reads its payload, and nothing is done with it. The last contender is mella without the text
around the images and the start of the page's text. Each contender runs in a process of its own.
"""

import io
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
from debian import debian_package
from fastwarc.warc import ArchiveIterator, WarcRecordType
from measure import Line, Run, by_turns, in_process, ratio, report, whole
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from mella.builders.culture.archives.records import RecordsParams, records_step
from mella.builders.culture.pages.candidates import CandidatesParams, candidates_step

MANUALS = {
    "gimp-help-ru": "http://docs.gimp.org/",
    "debian-handbook": "http://debian-handbook.info/",
}
IMAGE = re.compile(rb"<(?:img|image)\b[^>]*>", re.IGNORECASE)
HEADERS = (
    ("Date", "Tue, 02 Jan 2024 03:04:05 GMT"),
    ("Server", "nginx/1.18.0"),
    ("Content-Type", "text/html; charset=UTF-8"),
    ("Connection", "keep-alive"),
    ("Vary", "Accept-Encoding"),
    ("Last-Modified", "Tue, 02 Jan 2024 03:04:05 GMT"),
    ("Cache-Control", "max-age=600"),
)
PAGES_PER_S = 8000
OF_BARE = 0.8
WITHOUT_TEXT = CandidatesParams(page_text_chars=0, heading_chars=0, paragraph_chars=0)


def make_archives(folder: Path) -> dict[str, Path]:
    """Write the archives, unless they are there."""
    archives = {name: folder / f"{name}.warc.gz" for name in ("images", "none")}
    if not all(path.exists() for path in archives.values()):
        pages: dict[str, bytes] = {}
        for package, address in MANUALS.items():
            root = debian_package(folder, package)
            files = sorted(root.rglob("*.html"))
            pages |= {f"{address}{file.relative_to(root)}": file.read_bytes() for file in files}
        write_archive(archives["images"], pages)
        write_archive(archives["none"], {url: IMAGE.sub(b"", body) for url, body in pages.items()})
    return archives


def write_archive(path: Path, pages: dict[str, bytes]) -> None:
    """Write pages as responses, each in a gzip member of its own."""
    partial_path = path.with_suffix(".part")
    with partial_path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, body in pages.items():
            http = StatusAndHeaders("200 OK", list(HEADERS), protocol="HTTP/1.1")
            payload = io.BytesIO(body)
            writer.write_record(
                writer.create_warc_record(url, "response", payload=payload, http_headers=http)
            )
    partial_path.rename(path)


def bare(path: Path) -> Iterator[int]:
    """Yield the size of every payload."""
    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response):
            yield len(record.reader.read())


def candidates(params: CandidatesParams, path: Path) -> Iterator[int]:
    """Yield once for each record, when its candidates have been found."""
    records, find = records_step(RecordsParams()), candidates_step(params)
    assert find.setup is not None
    resource = find.setup(params, None)
    for table in records.apply(pa.table({"path": [str(path)], "name": ["bench"]}), None):
        for _ in find.apply(table, resource):
            pass
        yield from range(table.num_rows)


CONTENDERS: dict[str, Callable[[Path], Iterator[int]]] = {
    "bare": bare,
    "mella": partial(candidates, CandidatesParams()),
    "mella without text": partial(candidates, WITHOUT_TEXT),
}


def warmed(contender: Callable[[Path], Iterator[int]], path: Path) -> Run:
    """Measure the second of two passes: imports and compiled patterns are no part of a rate."""
    for _ in contender(path):
        pass
    return whole(contender(path))


def compare(archives: dict[str, Path], rounds: int) -> Iterator[Line]:
    """Run all contenders on both archives and yield what came out."""
    for kind, path in archives.items():
        runs = by_turns(
            rounds,
            {
                name: partial(in_process, [__file__, "--contender", name, str(path)])
                for name in CONTENDERS
            },
        )
        costs = {name: [run["cpu"] / run["samples"] for run in runs[name]] for name in CONTENDERS}
        rates = {name: 1 / min(costs[name]) for name in CONTENDERS}
        detail = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
        times = ratio(costs["bare"], costs["mella"])
        if kind == "images":
            goal = f"every page has images: {PAGES_PER_S} pages per CPU second"
            yield Line(goal, f"{rates['mella']:.0f}", rates["mella"] >= PAGES_PER_S, detail)
            yield Line("every page has images: of bare iteration", f"{times:.2f}")
        else:
            goal = f"no page has images: {OF_BARE} of bare iteration"
            yield Line(goal, f"{times:.2f}", times >= OF_BARE, detail)


def main(arguments: list[str]) -> None:
    """Print a line for each goal."""
    if arguments[0] == "--contender":
        report(warmed(CONTENDERS[arguments[1]], Path(arguments[2])))
        return
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    rounds = int(arguments[1]) if len(arguments) > 1 else 3
    for line in compare(make_archives(folder), rounds):
        mark = {True: "reached", False: "missed", None: ""}[line.reached]
        print(f"{line.goal}: {line.measured} {mark}\n    {line.detail}".rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
