"""Write and read shards: mella and its peers, interleaved in one run; prints ratios.

    python benchmarks/shards.py [SAMPLES] [ROUNDS]

The data are made here: noisy JPEGs of some 70 KB. mella also hashes each image and the shard
(SHA-256). Peers: `webdataset.TarWriter` to write, the `webdataset` builder of `datasets` and
`webdataset.WebDataset` to read. All readers give the bytes of the image, undecoded, with the
metadata of the sample.
"""

import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import webdataset
from noise import noise_images

from mella import load_mella
from mella.index import write_index
from mella.manifest import MANIFEST, Entry, Manifest
from mella.schema import INDEX, METADATA
from mella.shards import ShardWriter, index_path, sample_key, shard_path

SHARD = shard_path("culture", "th", "train", 0, 1)


def make_samples(count: int) -> list[tuple[bytes, dict[str, Any]]]:
    images = noise_images()
    samples = []
    for number in range(count):
        # Bytes behind the end of a JPEG are no part of the picture, but make it another file.
        image = images[number % len(images)] + number.to_bytes(4, "big")
        sha256, text = hashlib.sha256(image).hexdigest(), f"ภาพที่ {number}"
        metadata = dict.fromkeys(METADATA.names) | {
            "key": sample_key("culture", "th", sha256, text),
            "lang": "th",
            "source": "culture",
            "text": text,
            "width": 400,
            "height": 300,
            "bytes": len(image),
            "sha256": sha256,
        }
        samples.append((image, metadata))
    return samples


def write_mella(samples: list[tuple[bytes, dict[str, Any]]], folder: Path) -> None:
    with ShardWriter(folder / SHARD) as tar:
        rows = [{**data, "shard": SHARD, **tar.write(image, data)} for image, data in samples]
    path = index_path("culture", "th", "train")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    write_index(pa.Table.from_pylist(rows, schema=INDEX), folder / path)
    index = (folder / path).read_bytes()
    manifest = Manifest(
        (_entry(SHARD, tar.nbytes, tar.sha256, len(samples)),),
        (_entry(path, len(index), hashlib.sha256(index).hexdigest(), len(samples)),),
    )
    (folder / MANIFEST).write_text(manifest.to_json())


def _entry(path: str, size: int, sha256: str, samples: int) -> Entry:
    return Entry(
        path=path,
        source="culture",
        lang="th",
        split="train",
        bytes=size,
        sha256=sha256,
        samples=samples,
    )


def write_webdataset(samples: list[tuple[bytes, dict[str, Any]]], folder: Path) -> None:
    with webdataset.TarWriter(str(folder / "peer.tar")) as tar:
        for image, data in samples:
            document = json.dumps(data, ensure_ascii=False)
            key = data["key"]
            tar.write({"__key__": key, "jpg": image, "txt": data["text"], "json": document})


def consume(samples: Iterable[Any]) -> int:
    return sum(1 for _ in samples)


def read_mella(folder: Path, count: int) -> None:
    assert consume(load_mella("th", "culture", repo=folder, decode=False)) == count


def read_datasets(folder: Path, count: int) -> None:
    files = {"train": str(folder / SHARD)}
    loaded = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    assert consume(loaded.cast_column("jpg", datasets.Image(decode=False))) == count


def read_webdataset(folder: Path, count: int) -> None:
    pipeline = webdataset.WebDataset(str(folder / SHARD), shardshuffle=False).decode(
        webdataset.handle_extension("json", json.loads)
    )
    assert consume(pipeline) == count


def compare(name: str, rounds: int, count: int, runs: dict[str, Callable[[], None]]) -> None:
    """Print what a sample costs each: CPU, which the disk has no part in, and time on the clock."""
    cpu: dict[str, list[float]] = {who: [] for who in runs}
    wall: dict[str, list[float]] = {who: [] for who in runs}
    for _ in range(rounds):
        for who, run in runs.items():
            start, began = time.process_time(), time.perf_counter()
            run()
            cpu[who].append(time.process_time() - start)
            wall[who].append(time.perf_counter() - began)
    for who in runs:
        spent, passed = statistics.median(cpu[who]), statistics.median(wall[who])
        print(
            f"{name:<6} {who:<11} {count / spent:>9,.0f} samples per CPU second, "
            f"{spent / statistics.median(cpu['mella']):5.2f} x the CPU, "
            f"{passed / statistics.median(wall['mella']):5.2f} x the time"
        )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    samples = make_samples(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare(
            "write",
            rounds,
            count,
            {
                "mella": lambda: write_mella(samples, folder),
                "webdataset": lambda: write_webdataset(samples, folder),
            },
        )
        compare(
            "read",
            rounds,
            count,
            {
                "mella": lambda: read_mella(folder, count),
                "datasets": lambda: read_datasets(folder, count),
                "webdataset": lambda: read_webdataset(folder, count),
            },
        )


if __name__ == "__main__":
    main()
