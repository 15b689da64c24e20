"""Choose the split of each image: where a release has it, the one that it has there."""

import pyarrow as pa

from mella.builders.curate.split import SplitParams, split_of, strictest
from mella.builders.engine.step import SideReader, Step

READS = pa.schema([pa.field("sha256", pa.string())])
WRITES = pa.schema([pa.field("split", pa.string())])


def split_step(params: SplitParams, entries: Step) -> Step:
    """Return the step that splits by the hash of the stored image.

    An image that a release of the pool holds stays in the split that it has there, wherever this
    copy of it is from: so no image is in the training data of one source and the test data of the
    other.

    Args:
        params: How the other images are split.
        entries: The step that lists the pool.
    """
    return Step(
        name="split",
        version=1,
        fn=_split,
        reads=READS,
        writes=WRITES,
        params=params,
        setup=_splits_of_releases,
        side=entries,
    )


def _splits_of_releases(params: SplitParams, side: SideReader | None) -> dict[str, str]:
    """Return the splits that are not those that the hash would give: few, of many images."""
    found: dict[str, str] = {}
    for table in side.read(["file_sha256", "split"]) if side else ():
        held = table.filter(table["split"].is_valid())
        for image, split in zip(*(column.to_pylist() for column in held.columns), strict=True):
            found[image] = strictest((found.get(image, split), split))
    return {image: split for image, split in found.items() if split != split_of(image, params)}


def _split(table: pa.Table, params: SplitParams, elsewhere: dict[str, str]) -> pa.Table:
    images = table["sha256"].to_pylist()
    splits = [elsewhere.get(image) or split_of(image, params) for image in images]
    return pa.table([pa.array(splits, pa.string())], schema=WRITES)
