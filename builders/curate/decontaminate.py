"""Reject what benchmarks hold: their images, also scaled or compressed again, and their texts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mella.builders.culture.images.phash import Flags, Hashes, says_enough, to_numbers
from mella.builders.curate.benchmarks import BenchmarkFiles, read_images, read_texts
from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.fingerprints import Runs, fingerprints
from mella.builders.curate.hamming import HammingIndex
from mella.builders.engine.step import REASON, SideReader, Step

READS = pa.schema(
    [
        pa.field("sha256", pa.string()),
        pa.field("original_sha256", pa.string()),
        pa.field("phash", pa.string()),
        pa.field("text", pa.string()),
    ]
)
WRITES = pa.schema([REASON])


@dataclass(frozen=True)
class DecontaminateParams:
    """What is compared, and how near is too near.

    Attributes:
        images: Files and folders of benchmark images, or tables of their hashes; paths relative to
            the recipe, or glob patterns. See `benchmarks`.
        texts: The same of benchmark texts: questions, answers, captions.
        text_columns: Columns of tables that hold texts.
        alike: What looks alike. A perceptual hash that says too little is not compared: such an
            image is found by its SHA-256 only.
        runs: How long what two texts share must be.
    """

    images: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    text_columns: tuple[str, ...] = ("text",)
    alike: ClustersParams = field(default_factory=ClustersParams)
    runs: Runs = field(default_factory=Runs)


@dataclass(frozen=True)
class Known:
    """What benchmarks hold.

    Attributes:
        sha256: Of images.
        phash: Of images, where it says enough.
        texts: Fingerprints of texts, in order.
    """

    sha256: frozenset[str]
    phash: HammingIndex
    texts: Hashes


@dataclass(frozen=True)
class _Keyed:
    """The parameters, and the content of the files they name: another content is another key."""

    params: DecontaminateParams
    digest: str


@dataclass(frozen=True)
class _Loader:
    """Reads the files, once per process: equal ones are one, which a closure would not be."""

    files: BenchmarkFiles

    def __call__(self, keyed: _Keyed, _: SideReader | None) -> Known:
        return load(keyed.params, self.files)


def decontaminate_step(params: DecontaminateParams, files: BenchmarkFiles) -> Step:
    """Return the step that rejects rows that a benchmark holds.

    Reasons: `contaminated:image` (an equal SHA-256, of the file as it was found or as it is stored,
    or a near perceptual hash) and `contaminated:text` (equal but for case, punctuation and spaces,
    or with a long run in common). Without files all rows pass.

    Args:
        params: What is compared. Its paths were resolved to `files`.
        files: The benchmarks; read once here, for the key of the step, and once in each process.
    """
    return Step(
        name="decontaminate",
        version=1,
        fn=_mark,
        reads=READS,
        writes=WRITES,
        params=_Keyed(params, files.digest()),
        setup=_Loader(files),
    )


def load(params: DecontaminateParams, files: BenchmarkFiles) -> Known:
    """Read benchmarks.

    Raises:
        BenchmarkError: One cannot be read.
    """
    sha256, phash = read_images(files.images)
    hashes = to_numbers(sorted(phash))
    clear = hashes[says_enough(hashes, params.alike.min_bits)]
    texts: set[int] = set()
    for text in read_texts(files.texts, params.text_columns):
        texts |= fingerprints(text, params.runs)
    known = np.sort(np.fromiter(texts, np.uint64, len(texts)))
    return Known(frozenset(sha256), HammingIndex(clear, params.alike.max_distance), known)


def _mark(table: pa.Table, keyed: _Keyed, known: Known) -> pa.Table:
    images, texts = _images(table, keyed.params, known), _texts(table, keyed.params, known)
    reasons = np.full(table.num_rows, None, dtype=object)
    reasons[texts] = "contaminated:text"
    reasons[images] = "contaminated:image"
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _images(table: pa.Table, params: DecontaminateParams, known: Known) -> Flags:
    same = zip(table["sha256"].to_pylist(), table["original_sha256"].to_pylist(), strict=True)
    found = np.array([not known.sha256.isdisjoint(both) for both in same], dtype=np.bool_)
    there = np.flatnonzero(table["phash"].is_valid())
    hashes = to_numbers(table["phash"].drop_null().to_pylist())
    clear = says_enough(hashes, params.alike.min_bits)
    found[there[clear]] |= known.phash.contains(hashes[clear])
    return found


def _texts(table: pa.Table, params: DecontaminateParams, known: Known) -> Flags:
    found = np.zeros(table.num_rows, dtype=np.bool_)
    if not len(known.texts):
        return found
    prints = [[*fingerprints(text, params.runs)] for text in table["text"].to_pylist()]
    row = np.repeat(np.arange(len(prints)), [len(some) for some in prints])
    asked = np.fromiter(_chain(prints), np.uint64)
    place = np.searchsorted(known.texts, asked).clip(max=len(known.texts) - 1)
    found[row[known.texts[place] == asked]] = True
    return found


def _chain(lists: Iterable[Iterable[int]]) -> Iterable[int]:
    return (one for some in lists for one in some)
