"""Fetch images from a server on this machine: mella and img2dataset by turns; CPU for an image.

    python -m venv PEER && PEER/bin/pip install img2dataset
    python benchmarks/fetching.py PEER/bin/python [IMAGES] [ROUNDS]

img2dataset pins versions that do not go with ours, so it has an environment of its own. Both take
the images as they are and hash them, once to no purpose but that ("download"), once into tars with
a JSON for each ("tars"). mella reads robots.txt and checks the address of every connection;
img2dataset does neither. The server is a process of its own, the images lie on 64 hosts (127.0.0.2
and so on), and nobody pauses. What a start costs is left out: each contender works in one process
of its own and fetches a tenth of the images before it counts.

The last contender is mella's whole step: it also reads the headers, decodes the images at a reduced
scale for the perceptual hash, and strips their metadata.
"""

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
from measure import by_turns, ratio
from noise import noise_images

from mella.builders.culture.fetch import public_address
from mella.builders.culture.fetch.fetcher import Fetcher, FetchParams
from mella.builders.culture.images.step import ImageParams, images_step
from mella.schema import METADATA
from mella.shards import ShardWriter, sample_key, shard_path

HOSTS = 64
GOAL = 3.0
SHARD = shard_path("culture", "th", "train", 0, 1)
CARRIES = pa.schema([(name, pa.string()) for name in ("image_url", "image_host")])
PARAMS = FetchParams(contact="https://example.org/bench", per_host_delay_s=0.0)
ROBOTS = b"User-agent: *\nDisallow: /private/\nDisallow: /*.php$\n"
PEER = """
import json, sys, time
import pyarrow as pa
from img2dataset.downloader import Downloader
from img2dataset.resizer import Resizer
from img2dataset.writer import DummySampleWriter, WebDatasetSampleWriter

listed, folder, act = sys.argv[1:]
urls = open(listed).read().split()
writer = {"download": DummySampleWriter, "tars": WebDatasetSampleWriter}[act]
resizer = Resizer(256, "no", False, disable_all_reencoding=True)
get = Downloader(writer, resizer, 64, False, False, folder, ["url"], 60, 10000, 5, "sha256", None,
                 "jpg", 0, "bench", ["noai", "noimageai", "noindex", "noimageindex"])

def fetch(number, some):
    shard = f"{folder}/{number}.feather"
    table = pa.table({"url": some})
    with pa.OSFile(shard, "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    get.download_shard((number, shard))
    stats = json.load(open(f"{folder}/{number:05d}_stats.json"))
    if stats["successes"] != len(some):
        sys.exit(f"only {stats['successes']} of {len(some)} came: {stats['status_dict']}")

few = len(urls) // 10
fetch(0, urls[:few])
before = time.process_time()
fetch(1, urls[few:])
print((time.process_time() - before) / (len(urls) - few))
"""


class Server(asyncio.Protocol):
    """Answers `GET /NUMBER.jpg` with an image of its own, and robots.txt with rules."""

    def __init__(self, images: list[bytes]) -> None:
        self.images = images
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while b"\r\n\r\n" in self.pending:
            request, _, self.pending = self.pending.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1]
            kind, body = b"text/plain", ROBOTS
            if path != b"/robots.txt":
                number = int(path[1:-4])
                # Bytes behind the end of a JPEG make it another file.
                kind = b"image/jpeg"
                body = self.images[number % len(self.images)] + number.to_bytes(4, "big")
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % (kind, len(body)) + body)
            if b"connection: close" in request.lower():
                self.transport.close()


async def serve() -> None:
    """Serve until killed; the first line printed is the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Server, noise_images()), "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[int]:
    """Run the server in a process of its own, inside a `with`; gives its port."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.kill()


def allow_this_machine() -> None:
    """Count the server's addresses as public; they are checked all the same."""
    real = public_address.is_public
    public_address.is_public = lambda address: address.startswith("127.0.0.") or real(address)


def download(urls: list[str], _: Path) -> None:
    """Fetch images and hash them."""
    hashes = set()
    for fetched in Fetcher(PARAMS).stream(urls):
        if fetched.body is None:
            sys.exit(f"{fetched.url}: {fetched.reason}")
        hashes.add(hashlib.sha256(fetched.body).hexdigest())
    if len(hashes) != len(urls):
        sys.exit(f"only {len(hashes)} of {len(urls)} came")


def fetch(urls: list[str], folder: Path) -> None:
    """Fetch images and write them into a shard."""
    path = folder / SHARD
    path.parent.mkdir(parents=True)
    came = 0
    with ShardWriter(path) as writer:
        for fetched in Fetcher(PARAMS).stream(urls):
            if fetched.body is None:
                sys.exit(f"{fetched.url}: {fetched.reason}")
            sha256 = hashlib.sha256(fetched.body).hexdigest()
            metadata = dict.fromkeys(METADATA.names) | {
                "key": sample_key("culture", "th", sha256, fetched.url),
                "lang": "th",
                "source": "culture",
                "text": fetched.url,
                "width": 400,
                "height": 300,
                "bytes": len(fetched.body),
                "sha256": sha256,
            }
            writer.write(fetched.body, metadata)
            came += 1
    if came != len(urls):
        sys.exit(f"only {came} of {len(urls)} came")


def run_step(urls: list[str], _: Path) -> None:
    """Run the whole step on images."""
    step = images_step(ImageParams(fetch=True, fetch_params=PARAMS), None, CARRIES)
    assert step.setup
    hosts = [url.split("/")[2].partition(":")[0] for url in urls]
    table = pa.table([urls, hosts], schema=CARRIES)
    kept = 0
    for made in step.apply(table, step.setup(step.params, None)):
        kept += made.num_rows - made["image"].null_count
    if kept != len(urls):
        sys.exit(f"only {kept} of {len(urls)} were kept")


ACTS = {"download": download, "tars": fetch, "step": run_step}


def measure(act: str, urls: list[str], folder: Path) -> None:
    """Print the CPU seconds of an image, after some that count for nothing."""
    allow_this_machine()
    few = len(urls) // 10
    ACTS[act](urls[:few], folder / "first")
    before = time.process_time()
    ACTS[act](urls[few:], folder / "then")
    print((time.process_time() - before) / (len(urls) - few))


def spend(command: list[str], act: str, urls: list[str]) -> float:
    """Return the CPU seconds that an image takes a contender, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "urls.txt")
        listed.write_text("\n".join(urls))
        ended = subprocess.run(
            [*command, str(listed), folder, act],
            env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ended.returncode:
        sys.exit(f"{command}: {ended.stderr[-2000:]}")
    return float(ended.stdout.split()[-1])


def main(peer: str, images: int = 3000, rounds: int = 3) -> None:
    """Run the contenders by turns and print what an image costs each."""
    theirs, ours = [peer, "-c", PEER], [sys.executable, __file__, "fetch"]
    with serving() as port:
        urls = [f"http://127.0.0.{2 + n % HOSTS}:{port}/{n}.jpg" for n in range(images)]
        contenders = {
            "img2dataset, download": partial(spend, theirs, "download", urls),
            "mella, download": partial(spend, ours, "download", urls),
            "img2dataset, tars": partial(spend, theirs, "tars", urls),
            "mella, tars": partial(spend, ours, "tars", urls),
            "mella, whole step": partial(spend, ours, "step", urls),
        }
        costs = by_turns(rounds, contenders)
    for name, seconds in costs.items():
        print(f"{name:22} {statistics.median(seconds) * 1e6:6.0f} us of CPU an image")
    for act in ("download", "tars"):
        reached = ratio(costs[f"img2dataset, {act}"], costs[f"mella, {act}"])
        print(f"{act}: mella does {reached:.1f} times as many a CPU second; goal {GOAL:.0f}")
    print(json.dumps(costs))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    elif sys.argv[1] == "fetch":
        measure(sys.argv[4], Path(sys.argv[2]).read_text().split(), Path(sys.argv[3]))
    else:
        main(sys.argv[1], *map(int, sys.argv[2:4]))
