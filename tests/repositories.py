"""Toy repositories for tests: real JPEGs and native texts, written as a build writes them.

repository = build(tmp_path, {("culture", "th", "train"): samples("culture", "th", 5)})
with serve(repository) as server:
    load_mella("th", repo=server.url)
    server.requests  # what was read, byte for byte
"""

import hashlib
import io
import random
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mella.index import write_index
from mella.languages import get_language
from mella.manifest import MANIFEST, Entry, Manifest
from mella.schema import INDEX, METADATA, TOMBSTONES
from mella.shards import ShardWriter, index_path, sample_key, shard_path

Cell = tuple[str, str, str]
TEXTS = {
    "ar": "طبق كسكسي",
    "cs": "svíčková na smetaně",
    "hu": "gulyásleves",
    "ko": "전주비빔밥",
    "ru": "Жостовский поднос",
    "sr": "Манастир Студеница",
    "th": "วัดอรุณราชวราราม",
    "vi": "áo dài trắng",
}
SERBIAN_LATIN = "Manastir Studenica"


class Sample(NamedTuple):
    image: bytes
    metadata: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.metadata["key"])


def photo(seed: str, side: int = 24) -> bytes:
    """A JPEG of coloured noise: about 1 KB at the default size, 50 KB at 224."""
    noise = random.Random(seed).randbytes(3 * side * side)
    file = io.BytesIO()
    Image.frombytes("RGB", (side, side), noise).save(file, "JPEG", quality=75)
    return file.getvalue()


def sample(source: str, lang: str, image: bytes, text: str, **more: Any) -> Sample:
    """A sample with true values in the required columns, and `more` in others."""
    sha256 = hashlib.sha256(image).hexdigest()
    with Image.open(io.BytesIO(image)) as opened:
        width, height = opened.size
    required = {
        "key": sample_key(source, lang, sha256, text),
        "lang": lang,
        "source": source,
        "text": text,
        "width": width,
        "height": height,
        "bytes": len(image),
        "sha256": sha256,
    }
    return Sample(image, {**dict.fromkeys(METADATA.names), **required, **more})


def samples(source: str, lang: str, count: int, *, salt: str = "", side: int = 24) -> list[Sample]:
    """Samples that differ in image and text; those of a language in two scripts alternate."""
    made = []
    for number in range(count):
        scripts = get_language(lang).scripts
        script = scripts[number % len(scripts)]
        text = SERBIAN_LATIN if (lang, script) == ("sr", "Latn") else TEXTS[lang]
        more = {
            "script": script,
            "domain": f"site{number % 3}.example",
            "category": (None, "food", "dress")[number % 3],
            "quality_score": number / 8,
        }
        image = photo(f"{salt} {source} {lang} {number}", side + number % 2)
        made.append(sample(source, lang, image, f"{text} {number} {salt}".strip(), **more))
    return made


def build(
    folder: Path,
    cells: Mapping[Cell, Sequence[Sample]],
    *,
    shards: int = 2,
    tombstones: Iterable[str] = (),
) -> Path:
    """Write a repository whole: so many shards a cell, its indexes, the manifest last."""
    entries: list[Entry] = []
    indexes: list[Entry] = []
    for cell, all_samples in cells.items():
        source, lang, split = cell
        rows = []
        for number in range(shards):
            path = shard_path(source, lang, split, number, shards)
            with ShardWriter(folder / path) as writer:
                for image, metadata in all_samples[number::shards]:
                    rows.append({**metadata, "shard": path, **writer.write(image, metadata)})
            entries.append(Entry(path, *cell, writer.nbytes, writer.sha256, writer.samples))
        path = index_path(source, lang, split)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_index(pa.Table.from_pylist(rows, INDEX), folder / path)
        data = (folder / path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        indexes.append(Entry(path, *cell, len(data), digest, len(rows)))
    taken_down = [{"key": key} for key in tombstones]
    if taken_down:
        table = pa.Table.from_pylist(taken_down, TOMBSTONES)
        pq.write_table(table, folder / "tombstones.parquet")
    manifest = Manifest(
        tuple(sorted(entries)),
        tuple(sorted(indexes)),
        "tombstones.parquet" if taken_down else None,
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder


def stored_order(cells: Mapping[Cell, Sequence[Sample]], shards: int = 2) -> list[Sample]:
    """The samples in the order in which a repository that `build` wrote yields them."""
    return [
        one
        for cell in sorted(cells)
        for number in range(shards)
        for one in cells[cell][number::shards]
    ]


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a repository in a folder."""
    return Manifest.from_json((folder / MANIFEST).read_text(), str(folder))


class Seen(NamedTuple):
    """A request of a client and how many bytes of content it was sent."""

    method: str
    path: str
    range: str | None
    sent: int


@dataclass
class FileServer:
    """A plain web server over a folder, inside its `with`; with byte ranges or without."""

    folder: Path
    ranges: bool = True
    requests: list[Seen] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def read(self, suffix: str) -> dict[str, int]:
        """How many bytes of each file whose path ends so were sent."""
        seen = sorted((one.path, one.sent) for one in self.requests if one.path.endswith(suffix))
        by_path: Callable[[tuple[str, int]], str] = lambda one: one[0]  # noqa: E731  for groupby
        return {path: sum(sent for _, sent in group) for path, group in groupby(seen, by_path)}


def serve(folder: Path, *, ranges: bool = True) -> FileServer:
    """Serve a repository over HTTP, inside a `with`."""
    return FileServer(folder, ranges)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, files: FileServer, *args: Any) -> None:
        self.files = files
        super().__init__(*args, directory=str(files.folder))

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self._answer(404, b"", {})
            return
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not (asked and self.files.ranges):
            self._answer(200, content, {})
            return
        start, last = int(asked[1]), int(asked[2])
        if start >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        part = content[start : last + 1]
        span = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._answer(206, part, {"Content-Range": span})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        asked = self.headers.get("Range")
        self.files.requests.append(Seen(self.command, self.path, asked, len(body)))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (name of the base class)
        """Keep quiet: `FileServer.requests` is the log."""
