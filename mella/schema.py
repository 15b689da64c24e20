"""The data model: the columns of a sample, of the index and the members of a shard.

The same column names and types stand in `KEY.json` inside a shard and in the Parquet index;
the index adds where each member lies. Times and hashes are strings so that both sides agree:
times are UTC, RFC 3339 (`2026-11-23T10:00:00Z`), and sort as text; hashes are lower-case hex.
"""

import pyarrow as pa

FORMAT_VERSION = "1.0"
"""Version of the data format, independent of the version of the package.

A minor version only adds (columns, fields of the manifest): readers of the same major version pass
over what they do not know.
"""

SOURCES = ("culture", "linguistics")
SPLITS = ("train", "validation", "test")

MEMBERS = ("jpg", "txt", "json")
"""Every sample of every shard has exactly these members, in this order."""

METADATA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("script", pa.string()),  # ISO 15924 of the text: Cyrl, Latn, Arab, Hang, Thai
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("text_origin", pa.string()),  # culture: alt, figcaption, title ...
        pa.field("text_en", pa.string()),  # linguistics: the pivot caption
        pa.field("image_url", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),  # of the stored image
        pa.field("phash", pa.string()),  # `perceptual_hash` of mella.builders.culture.images.phash
        pa.field("original_format", pa.string()),
        pa.field("category", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("alignment_score", pa.float64()),
        pa.field("quality_score", pa.float64()),
        pa.field("nsfw_score", pa.float64()),
        pa.field("captioner", pa.string()),
        pa.field("translator", pa.string()),
        pa.field("license", pa.string()),
        pa.field("consent", pa.string()),
        pa.field("collected_at", pa.string()),
        pa.field("build", pa.string()),  # hash of the recipe
    ]
)
"""Columns of `KEY.json`, one row a sample."""

LOCATION = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),  # path inside the repository
        pa.field("offset", pa.int64(), nullable=False),  # of the sample's first tar header
        pa.field("nbytes", pa.int64(), nullable=False),  # of the whole sample, headers included
        *(
            pa.field(f"{member}_{what}", pa.int64(), nullable=False)
            for member in MEMBERS
            for what in ("offset", "size")
        ),
        pa.field("xxh3", pa.uint64(), nullable=False),  # of the whole sample, headers included
    ]
)
"""Where a sample lies: byte offsets from the start of the shard, sizes in bytes.

`xxh3` is XXH3 (64 bits, seed 0) of the sample's `nbytes` bytes. A reader checks every sample it
fetches: SHA-256 would take more time than all else together.
"""

INDEX = pa.schema([*METADATA, *LOCATION])
"""Columns of `index/SOURCE/LANG/SPLIT.parquet`."""

TOMBSTONES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),  # of the image
        pa.field("reason", pa.string()),
        pa.field("date", pa.string()),
    ]
)
"""Columns of `tombstones.parquet`: the samples that were taken down."""
