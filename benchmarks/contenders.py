"""What the loading benchmark compares: mella and its peers, each run in a process of its own.

    python benchmarks/contenders.py CONTENDER ARGUMENT...

prints what it cost as JSON. Start-up (imports, opening, what is loaded on first use) is outside the
clock: a contender first reads a small repository whole. Every reader gives, for each sample, the
bytes of the image and its metadata as parsed JSON.
"""

import http.client
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from measure import cpu_seconds, report, steady, whole

CELL = ("th", "culture")
SIDE = 448
BATCH = 32
SKIP = 8
"""Batches before the clock starts."""
RANGE = 8 << 20
_BLOCK = 512
_MEMBERS = 3

Reader = Callable[[str], Iterable[Any]]
Decoder = Callable[[bytes], Any]


def shards(repository: str) -> list[str]:
    """Return where the shards of a repository lie: paths or URLs."""
    address = f"{repository}/manifest.json"
    if repository.startswith("http"):
        with urlopen(address) as answer:
            manifest = json.load(answer)
    else:
        manifest = json.loads(Path(address).read_text())
    return [f"{repository}/{shard['path']}" for shard in manifest["shards"]]


# Readers of bytes and JSON.


def mella(repository: str) -> Iterable[Any]:
    from mella import MellaStream

    return MellaStream(*CELL, repo=repository, decode=False, shuffle=False)


def webdataset(repository: str) -> Iterable[Any]:
    import webdataset as wds

    def parse(sample: dict[str, Any]) -> dict[str, Any]:
        return sample | {"json": json.loads(sample["json"])}

    return wds.WebDataset(shards(repository), shardshuffle=False).map(parse)


def datasets(repository: str) -> Iterable[Any]:
    import datasets as hf

    files = {"train": shards(repository)}
    loaded = hf.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    return loaded.cast_column("jpg", hf.Image(decode=False))


def http_ranges(repository: str) -> Iterable[Any]:
    """One keep-alive connection, ranges of 8 MB, one after the other."""
    for blocks in _http_ranges(repository):
        yield from _parse(blocks)


def http_bytes(repository: str) -> Iterable[Any]:
    """Like `http_ranges`, but nothing is done with the bytes: the limit of http.client."""
    for blocks in _http_ranges(repository):
        yield from blocks


def http_stream(repository: str) -> Iterable[Any]:
    """One keep-alive connection that streams each shard whole."""
    for url in shards(repository):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc)
        connection.request("GET", parts.path)
        yield from _parse(iter(partial(connection.getresponse().read, 1 << 20), b""))


def _http_ranges(repository: str) -> Iterator[Iterator[bytes]]:
    """Yield the blocks of each shard."""
    connection = http.client.HTTPConnection(urlsplit(repository).netloc)
    for url in shards(repository):
        yield _ranges(connection, urlsplit(url).path)


def _ranges(connection: http.client.HTTPConnection, path: str) -> Iterator[bytes]:
    start, size = 0, RANGE
    while start < size:
        headers = {"Range": f"bytes={start}-{start + RANGE - 1}"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        size = int(answer.headers["Content-Range"].rpartition("/")[2])
        yield answer.read()
        start += RANGE


def _parse(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield image and metadata of each sample of a tar that comes in blocks."""
    rest = b""
    for block in blocks:
        data, position = rest + block, 0
        while (found := _sample(data, position)) is not None:
            position, sample = found
            yield sample
        rest = data[position:]


def _sample(data: bytes, position: int) -> tuple[int, tuple[bytes, dict[str, Any]]] | None:
    """Return the end of the sample that begins at a position, and the sample, if it is whole."""
    contents = []
    for _ in range(_MEMBERS):
        size = data[position + 124 : position + 135]
        if len(size) < len("00000000000") or not size.strip(b"\0"):  # the tar ends in zeros
            return None
        start = position + _BLOCK
        end = start + int(size, 8)
        contents.append((start, end))
        position = end + -end % _BLOCK
    if position > len(data):
        return None
    (image, image_end), _, (document, document_end) = contents
    return position, (data[image:image_end], json.loads(data[document:document_end]))


# Readers of batches: arrays of BATCH x SIDE x SIDE x 3, with the metadata.


def mella_batches(repository: str) -> Iterable[Any]:
    import numpy as np

    from mella import MellaStream

    stream = MellaStream(
        *CELL,
        repo=repository,
        shuffle=False,
        image_size=(SIDE, SIDE),
        output="numpy",
        batch_size=BATCH,
        threads=2,
    )
    return ((np.stack([one["image"] for one in batch]), batch) for batch in stream)


def webdataset_pil_batches(repository: str) -> Iterable[Any]:
    return _loader(repository, _pil_decoder())


def webdataset_fast_batches(repository: str) -> Iterable[Any]:
    return _loader(repository, _mella_decoder())


def _loader(repository: str, decode: Decoder) -> Iterable[Any]:
    """Read by a DataLoader with 2 workers, which hand batches over in shared memory."""
    import numpy as np
    import torch
    import webdataset as wds

    def sample(raw: dict[str, Any]) -> tuple[Any, Any]:
        return decode(raw["jpg"]), json.loads(raw["json"])

    def collate(samples: list[tuple[Any, Any]]) -> tuple[Any, Any]:
        images = np.stack([image for image, _ in samples])
        return torch.from_numpy(images), [metadata for _, metadata in samples]

    pipeline = wds.WebDataset(shards(repository), shardshuffle=False).map(sample)
    batches = pipeline.batched(BATCH, collation_fn=collate, partial=False)
    return torch.utils.data.DataLoader(batches, batch_size=None, num_workers=2)


def _mella_decoder(*, fast: bool = True) -> Decoder:
    from mella.decode import Decoding, make_decoder

    return make_decoder(Decoding(size=(SIDE, SIDE), output="numpy", fast=fast))


def _pil_decoder() -> Decoder:
    import numpy as np
    from PIL import Image

    def decode(image: bytes) -> Any:
        opened = Image.open(io.BytesIO(image)).convert("RGB")
        return np.asarray(opened.resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    return decode


# What is measured: one function each, called with the arguments of the command line.


def read(reader: str, warm: str, repository: str) -> None:
    """One pass over a repository."""
    make: Reader = globals()[reader]
    whole(make(warm))
    report(whole(make(repository)))


def batches(reader: str, repository: str, count: str) -> None:
    """So many batches, after the first ones."""
    make: Reader = globals()[reader]
    report(steady(make(repository), skip=SKIP, take=int(count), size=BATCH))


def decode(folder: str, count: str, rounds: str) -> None:
    """CPU seconds of decoding the photos of a folder, by turns."""
    photos = [file.read_bytes() for file in islice(sorted(Path(folder).iterdir()), int(count))]
    decoders = {
        "mella": _mella_decoder(),
        "mella without the extra": _mella_decoder(fast=False),
        "PIL": _pil_decoder(),
    }
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for number in range(1 + int(rounds)):
        for name, decoder in decoders.items():
            start = cpu_seconds()
            for photo in photos:
                decoder(photo)
            if number:  # the first round warms up
                seconds[name].append((cpu_seconds() - start) / len(photos))
    report(seconds)


def by_key(repository: str) -> None:
    """Seconds to read one sample by its key: the median, when all have been read once."""
    from mella import open_samples

    keys = _keys(repository)
    samples = open_samples(*CELL, repo=repository)
    random.Random(0).shuffle(keys)
    times = []
    for key in keys + keys:
        start = time.perf_counter()
        samples[key]
        times.append(time.perf_counter() - start)
    report({"p50": statistics.median(times[len(keys) :])})


def open_million(repository: str, million: str) -> None:
    """Seconds to open an index of 1 M rows, and from there to the first sample."""
    from mella import open_samples

    key = _keys(repository)[0]
    open_samples(*CELL, repo=repository)[key]  # imports what is needed

    def clock(first: Callable[[Any], Any]) -> float:
        start = time.perf_counter()
        first(open_samples(*CELL, repo=million))
        return time.perf_counter() - start

    times = {
        "open": clock(len),
        "by_number": clock(lambda samples: samples.at(len(samples) // 2)),
        "by_key": clock(lambda samples: samples[key]),
    }
    report(times)


def _keys(repository: str) -> list[str]:
    import pyarrow.parquet as pq

    index = next(Path(repository).glob("index/culture/th/*.parquet"))
    keys: list[str] = pq.read_table(index, columns=["key"])["key"].to_pylist()
    return keys


def save_states(million: str, file: str) -> None:
    """Write the states of a shuffled stream after 10, 50 and 90 % of 1 M samples."""
    stream = _shuffled(million)
    marks = {int(len(stream) * share): name for name, share in SHARES.items()}
    states = {}
    for number, _ in enumerate(stream, start=1):
        if number in marks:
            states[marks[number]] = stream.state_dict()
        if len(states) == len(marks):
            break
    Path(file).write_text(json.dumps(states))
    report({"states": len(states)})


SHARES = {"10 %": 0.1, "50 %": 0.5, "90 %": 0.9}


def resume(million: str, file: str, position: str) -> None:
    """Seconds from a state to the first sample, its image included; and from opening."""
    state = json.loads(Path(file).read_text())[position]
    from mella import MellaStream

    start = time.perf_counter()
    stream = MellaStream(*CELL, repo=million, decode=False, shuffle=True, seed=1)
    opened = time.perf_counter()
    stream.load_state_dict(state)
    next(iter(stream))
    report({"resume": time.perf_counter() - opened, "open": opened - start})


def _shuffled(million: str) -> Any:
    from mella import MellaStream

    return MellaStream(*CELL, repo=million, shuffle=True, seed=1, columns=["key"])


def hub_first(repository: str) -> None:
    """Read the first sample only."""
    next(iter(mella(repository)))
    report({})


def hub_epoch(repository: str, workers: str) -> None:
    """Read all samples in a DataLoader."""
    from mella import MellaStream
    from mella.loader import StreamLoader

    stream = MellaStream(*CELL, repo=repository, decode=False, shuffle=False, batch_size=BATCH)
    loader = StreamLoader(stream, num_workers=int(workers))
    report({"samples": sum(map(len, loader))})


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
