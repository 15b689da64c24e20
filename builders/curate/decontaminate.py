"""Reject what benchmarks hold: their images, also scaled or compressed again, and their texts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from mella.builders.culture.images.phash import Flags, Hashes
from mella.builders.curate.benchmarks import BenchmarkFiles, read_images, read_texts
from mella.builders.curate.clusters import ClustersParams
from mella.builders.curate.fingerprints import Runs, fingerprints
from mella.builders.curate.look_alikes import LookAlikes
from mella.builders.engine.step import REASON, UNKEYED, SideReader, Step

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
        images: To look others up among.
        texts: Fingerprints of texts, in order.
    """

    sha256: frozenset[str]
    images: LookAlikes
    texts: Hashes


@dataclass(frozen=True)
class _Compared:
    """The parameters, and the content of the files they name: another content is another key."""

    params: DecontaminateParams
    digest: str
    files: BenchmarkFiles = field(metadata=UNKEYED)


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
        params=_Compared(params, files.digest(), files),
        setup=_load,
    )


def _load(compared: _Compared, _: SideReader | None) -> Known:
    """Read the benchmarks; raises BenchmarkError where one cannot be read."""
    params, files = compared.params, compared.files
    sha256, phash = read_images(files.images)
    texts: set[int] = set()
    for text in read_texts(files.texts, params.text_columns):
        texts |= fingerprints(text, params.runs)
    known = np.sort(np.fromiter(texts, np.uint64, len(texts)))
    return Known(frozenset(sha256), LookAlikes(phash, params.alike), known)


def _mark(table: pa.Table, compared: _Compared, known: Known) -> pa.Table:
    images, texts = _images(table, known), _texts(table, compared.params, known)
    reasons = np.full(table.num_rows, None, dtype=object)
    reasons[texts] = "contaminated:text"
    reasons[images] = "contaminated:image"
    return pa.table([pa.array(reasons, pa.string())], schema=WRITES)


def _images(table: pa.Table, known: Known) -> Flags:
    same = zip(table["sha256"].to_pylist(), table["original_sha256"].to_pylist(), strict=True)
    found = np.array([not known.sha256.isdisjoint(both) for both in same], dtype=np.bool_)
    return found | known.images.among(table["phash"])


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
