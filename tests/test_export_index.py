"""Index files for other readers: what their own tools make of the tars, made from our index.

`data/peer_index.json` has what `wds2idx` of nvidia-dali 2.4.0 and `energon prepare` of
megatron-energon 7.4.1 wrote for five samples that `repositories.samples` makes (`energon prepare .
--non-interactive --split-parts 'train:.*-train-.*' --split-parts 'val:.*-validation-.*'
--split-parts 'test:.*-test-.*' --sample-type CaptioningSample --field-map
'{"image": "jpg", "caption": "txt"}'`; the names in `split.yaml` written out).
"""

import hashlib
import json
import re
import shutil
import sqlite3
import struct
import tarfile
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import yaml

import mella
from hub_client import Client
from hub_server import HubServer
from mella import FormatError, MellaError, RepositoryError, UnknownNameError
from mella.export_index import FORMATS, Exported, ExportError, export_index
from mella.manifest import MANIFEST, Entry, Manifest
from mella.peer_index import IndexedShard, Located, dali_index, energon_offsets, write_energon
from repositories import build, manifest_of, samples, serve

CELLS = {
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("culture", "th", "test"): samples("culture", "th", 4, salt="test"),
    ("linguistics", "th", "train"): samples("linguistics", "th", 5),
    ("linguistics", "vi", "validation"): samples("linguistics", "vi", 3),
}
RECORD = json.loads((Path(__file__).parent / "data" / "peer_index.json").read_text())


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return build(tmp_path / "repo", CELLS)


# What the tools of the peers wrote.


def recorded() -> list[IndexedShard]:
    return [
        IndexedShard(
            Entry(**shard["entry"]),
            tuple(
                Located(
                    one["key"],
                    one["offset"],
                    one["nbytes"],
                    tuple((offset, size) for offset, size in one["members"]),
                    taken_down=False,
                )
                for one in shard["samples"]
            ),
        )
        for shard in RECORD["shards"]
    ]


def test_dali_index_is_that_of_wds2idx() -> None:
    for shard, record in zip(recorded(), RECORD["shards"], strict=True):
        assert dali_index(shard).splitlines() == record["wds2idx"]


def test_energon_offsets_are_those_of_energon_prepare() -> None:
    for shard, record in zip(recorded(), RECORD["shards"], strict=True):
        assert energon_offsets(shard).hex() == record["tar.idx"]


def test_energon_folder_is_that_of_energon_prepare(tmp_path: Path) -> None:
    write_energon(recorded(), tmp_path)
    record = RECORD["energon"]
    found = Energon.read(tmp_path)
    assert found.samples == record["samples"]
    assert found.parts == record["sample_parts"]
    assert found.tables == record["tables"]
    assert found.splits == record["split.yaml"]
    # Its version is left out: energon did not write this.
    assert found.counts == record[".info.json"]["shard_counts"]
    meta = tmp_path / ".nv-meta"
    assert (meta / "dataset.yaml").read_text().splitlines() == record["dataset.yaml"]
    assert re.fullmatch(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", (meta / "index.uuid").read_text()
    )


class Energon(NamedTuple):
    samples: list[list[Any]]
    parts: list[list[Any]]
    tables: list[str]
    splits: dict[str, Any]
    counts: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> "Energon":
        meta = folder / ".nv-meta"
        with closing(sqlite3.connect(meta / "index.sqlite")) as database:

            def query(sql: str) -> list[list[Any]]:
                return sorted(list(row) for row in database.execute(sql))

            made = query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            return cls(
                samples=query("SELECT * FROM samples"),
                parts=query("SELECT * FROM sample_parts"),
                tables=sorted(re.sub(r"\s+", " ", sql) for (sql,) in made),
                splits=yaml.safe_load((meta / "split.yaml").read_text()),
                counts=json.loads((meta / ".info.json").read_text())["shard_counts"],
            )


# What the tars hold: found by reading them with another program, which the export does not do.


class Scanned(NamedTuple):
    key: str
    offset: int
    end: int
    parts: list[tuple[str, int, int]]


def scan(file: Path) -> list[Scanned]:
    with tarfile.open(file) as tar:
        members = tar.getmembers()
    grouped = groupby(members, lambda member: member.name.partition(".")[0])
    found = []
    for key, group in grouped:
        files = list(group)
        end = files[-1].offset_data + -(-files[-1].size // 512) * 512
        parts = [(m.name.partition(".")[2], m.offset_data, m.size) for m in files]
        found.append(Scanned(key, files[0].offset, end, parts))
    return found


def shards_of(repo: Path) -> list[Entry]:
    return [entry for entry in manifest_of(repo).shards if entry.samples]


def expected_dali(scanned: list[Scanned]) -> list[str]:
    lines = (
        " ".join(f"{kind} {start} {size} {one.key}.{kind}" for kind, start, size in one.parts)
        for one in scanned
    )
    return [f"v1.2 {len(scanned)}", *lines]


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_offsets_are_those_of_the_tars(tmp_path: Path, shards: int) -> None:
    repo = build(tmp_path / "repo", CELLS, shards=shards)
    export_index(repo, "dali", tmp_path / "dali")
    export_index(repo, "energon", tmp_path / "energon")
    energon = Energon.read(tmp_path / "energon")
    samples_, parts = [], []
    for number, entry in enumerate(shards_of(repo)):
        found = scan(repo / entry.path)
        idx = (tmp_path / "dali" / entry.path).with_suffix(".idx")
        assert idx.read_text().splitlines() == expected_dali(found)
        offsets = (tmp_path / "energon" / f"{entry.path}.idx").read_bytes()
        assert [offset for (offset,) in struct.iter_unpack("<Q", offsets)] == [
            *(one.offset for one in found),
            found[-1].end,
        ]
        for index, one in enumerate(found):
            samples_.append([number, one.key, index, one.offset, one.end - one.offset])
            parts += [[number, index, *part] for part in one.parts]
    assert energon.samples == sorted(samples_)
    assert energon.parts == sorted(parts)


def test_energon_knows_the_splits_and_counts(repo: Path, tmp_path: Path) -> None:
    export_index(repo, "energon", tmp_path / "energon")
    found = Energon.read(tmp_path / "energon")
    names = {"train": "train", "val": "validation", "test": "test"}
    assert found.splits["split_parts"] == {
        name: [entry.path for entry in shards_of(repo) if entry.split == split]
        for name, split in names.items()
    }
    assert found.splits["exclude"] == []
    assert found.counts == {entry.path: entry.samples for entry in shards_of(repo)}


def test_energon_finds_the_tars_beside_their_offsets(repo: Path, tmp_path: Path) -> None:
    export_index(repo, "energon", tmp_path / "some" / "where" / "energon")
    # Both may be moved together.
    shutil.move(tmp_path / "some", tmp_path / "moved" / "some")
    shutil.move(repo, tmp_path / "moved" / "repo")
    out = tmp_path / "moved" / "some" / "where" / "energon"
    for entry in shards_of(tmp_path / "moved" / "repo"):
        assert (out / entry.path).is_symlink()
        assert hashlib.sha256((out / entry.path).read_bytes()).hexdigest() == entry.sha256


def test_energon_folder_has_a_name_for_its_content(repo: Path, tmp_path: Path) -> None:
    def name(out: str, **options: str) -> str:
        export_index(repo, "energon", tmp_path / out, **options)
        return (tmp_path / out / ".nv-meta" / "index.uuid").read_text()

    assert name("one") == name("again")
    assert name("one-language", lang="vi") != name("another", lang="th")


def test_wids_index(repo: Path, tmp_path: Path) -> None:
    export_index(repo, "wids", tmp_path / "wids")
    assert sorted(files(tmp_path / "wids")) == ["test.json", "train.json", "validation.json"]
    document = json.loads((tmp_path / "wids" / "train.json").read_text())
    shards = document.pop("shardlist")
    assert document == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": "repo-train",
    }
    assert shards == [
        {
            "url": str(repo / entry.path),
            "nsamples": entry.samples,
            "filesize": (repo / entry.path).stat().st_size,
            "dataset": f"{entry.source}-th",
        }
        for entry in shards_of(repo)
        if entry.split == "train"
    ]


def files(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()]


# Choosing.


@pytest.mark.parametrize(
    ("options", "cells"),
    [
        ({}, 4),
        ({"lang": "th"}, 3),
        ({"lang": ["vi", "th"], "source": "linguistics"}, 2),
        ({"lang": "vi"}, 1),
        ({"split": "train"}, 2),
        ({"split": "train", "source": "culture"}, 1),
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_only_what_was_chosen_is_in_it(
    repo: Path, tmp_path: Path, kind: str, options: dict[str, Any], cells: int
) -> None:
    done = export_index(repo, kind, tmp_path / "out", **options)
    langs = options.get("lang", ["th", "vi"])
    chosen = {
        cell: len(made)
        for cell, made in CELLS.items()
        if options.get("source") in (None, cell[0])
        and cell[1] in langs
        and options.get("split") in (None, cell[2])
    }
    assert len(chosen) == cells
    assert done == Exported(
        format=kind,
        out=tmp_path / "out",
        repository=str(repo),
        splits=tuple(
            s for s in ("train", "validation", "test") if s in {cell[2] for cell in chosen}
        ),
        shards=2 * cells,
        samples=sum(chosen.values()),
        taken_down=0,
        elsewhere=(),
    )
    if kind == "dali":
        found = {path.split("/")[0] + "/" + path.split("/")[1] for path in files(done.out)}
        assert found == {f"{source}/{lang}" for source, lang, _ in chosen}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "dalli"}, "Unknown format 'dalli'. Did you mean 'dali'?"),
        ({"source": "cultur"}, "Unknown source 'cultur'. Did you mean 'culture'?"),
        ({"split": "val"}, "Unknown split 'val'."),
        ({"lang": "xx"}, "Unknown language 'xx'."),
    ],
)
def test_unknown_names_are_refused(
    repo: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    wanted = {"format": "dali", **options}
    with pytest.raises(UnknownNameError, match=re.escape(message)):
        export_index(repo, wanted.pop("format"), tmp_path / "out", **wanted)
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_named(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"split 'test' in vi\. It has: culture/th/test, "):
        export_index(repo, "dali", tmp_path / "out", lang=["th", "vi"], split="test")
    with pytest.raises(RepositoryError, match="neither a folder that exists"):
        export_index(tmp_path / "none", "dali", tmp_path / "out")


# Samples that were taken down.

GONE = CELLS["culture", "th", "train"][4].key
EMPTIED = [one.key for one in CELLS["culture", "th", "test"][1::2]]  # the second of two shards


@pytest.fixture
def redacted(tmp_path: Path) -> Path:
    return build(tmp_path / "redacted", CELLS, tombstones=[GONE, *EMPTIED])


@pytest.mark.parametrize("kind", ["dali", "energon"])
def test_what_was_taken_down_is_counted(redacted: Path, tmp_path: Path, kind: str) -> None:
    done = export_index(redacted, kind, tmp_path / "out")
    assert (done.samples, done.shards, done.taken_down) == (16, 7, 3)


def test_dali_index_leaves_it_out(redacted: Path, tmp_path: Path) -> None:
    export_index(redacted, "dali", tmp_path / "dali")
    for entry in shards_of(redacted):
        kept = [one for one in scan(redacted / entry.path) if one.key not in (GONE, *EMPTIED)]
        idx = (tmp_path / "dali" / entry.path).with_suffix(".idx")
        assert idx.exists() == bool(kept)
        if kept:
            assert idx.read_text().splitlines() == expected_dali(kept)


def test_energon_index_excludes_it(redacted: Path, tmp_path: Path) -> None:
    export_index(redacted, "energon", tmp_path / "energon")
    found = Energon.read(tmp_path / "energon")
    shard = "culture/th/culture-th-train-00000-of-00002.tar"
    assert found.splits["exclude"] == [f"{shard}/{GONE}"]
    # The offsets go on, so that a sample still ends where the next begins.
    offsets = (tmp_path / "energon" / f"{shard}.idx").read_bytes()
    assert len(offsets) == 8 * (4 + 1)
    assert found.counts[shard] == 4
    keys = {key for _, key, *_ in found.samples}
    assert keys.isdisjoint([GONE, *EMPTIED])
    assert len(keys) == 16
    assert "culture/th/culture-th-test-00001-of-00002.tar" not in found.counts
    assert found.splits["split_parts"]["test"] == ["culture/th/culture-th-test-00000-of-00002.tar"]


def test_wids_cannot_leave_it_out_and_says_so(redacted: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"1 samples of .*00000-of-00002.tar .* {GONE}"):
        export_index(redacted, "wids", tmp_path / "wids")
    assert not (tmp_path / "wids").exists()
    # A shard of which nothing is left is no trouble.
    done = export_index(redacted, "wids", tmp_path / "wids", split="test")
    assert (done.shards, done.samples, done.taken_down) == (1, 2, 2)


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_left_is_an_error(tmp_path: Path, kind: str) -> None:
    gone = [one.key for one in CELLS["linguistics", "vi", "validation"]]
    repo = build(tmp_path / "repo", CELLS, tombstones=gone)
    with pytest.raises(ExportError, match="No sample is left to index: 3 were taken down"):
        export_index(repo, kind, tmp_path / "out", lang="vi")
    assert not (tmp_path / "out").exists()


# The folder.


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("inside", ["", "culture/th", "new/folder"])
def test_nothing_is_written_into_the_repository(repo: Path, kind: str, inside: str) -> None:
    before = files(repo)
    with pytest.raises(ExportError, match="inside the repository"):
        export_index(repo, kind, repo / inside)
    assert files(repo) == before


def test_a_link_into_the_repository_is_seen(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    with pytest.raises(ExportError, match="inside the repository"):
        export_index(repo, "dali", tmp_path / "link" / "out")


def test_a_folder_in_use_is_left_alone(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_index(repo, "wids", tmp_path / "out")
    before = files(tmp_path / "out")
    for kind in FORMATS:
        with pytest.raises(ExportError, match="is there already"):
            export_index(repo, kind, tmp_path / "out")
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize("kind", FORMATS)
def test_the_folder_is_named_after_the_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export_index("repo", kind).out == tmp_path / f"repo-{kind}"
    assert files(tmp_path / f"repo-{kind}")


def test_the_embedded_sample(tmp_path: Path) -> None:
    sample = Path(mella.__file__).parent / "sample"
    for kind in FORMATS:
        done = export_index(sample, kind, tmp_path / kind)
        assert done.samples == sum(entry.samples for entry in manifest_of(sample).shards) == 241


# Damage.


def rewrite_index(repo: Path, column: str, change: int) -> None:
    """Change a column of the last row of an index, and the manifest with it."""
    path = "index/culture/th/train.parquet"
    table = pq.read_table(repo / path)
    values = table[column].to_pylist()
    values[-1] += change
    field = table.schema.get_field_index(column)
    pq.write_table(table.set_column(field, table.schema.field(column), [values]), repo / path)
    data = (repo / path).read_bytes()
    text = (repo / MANIFEST).read_text()
    (old,) = (entry for entry in manifest_of(repo).indexes if entry.path == path)
    new = hashlib.sha256(data).hexdigest()
    text = text.replace(old.sha256, new).replace(f'"bytes": {old.bytes},', f'"bytes": {len(data)},')
    (repo / MANIFEST).write_text(text)


@pytest.mark.parametrize("column", ["offset", "nbytes", "jpg_offset", "txt_size", "json_offset"])
def test_an_index_that_cannot_be_is_refused(repo: Path, tmp_path: Path, column: str) -> None:
    rewrite_index(repo, column, 512)
    with pytest.raises(
        FormatError, match=r"train\.parquet says .* culture/th/culture-th-train-00001-of-00002"
    ):
        export_index(repo, "dali", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


def test_an_index_of_other_shards_is_refused(repo: Path, tmp_path: Path) -> None:
    manifest = manifest_of(repo)
    without = Manifest(manifest.shards[1:], manifest.indexes)
    (repo / MANIFEST).write_text(without.to_json())
    with pytest.raises(FormatError, match="does not have the shards"):
        export_index(repo, "dali", tmp_path / "out")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_tar_that_is_cut_short_is_refused(repo: Path, tmp_path: Path, kind: str) -> None:
    shard = repo / shards_of(repo)[0].path
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(FormatError, match="in the manifest"):
        export_index(repo, kind, tmp_path / "out")


# Elsewhere.


@pytest.mark.parametrize("kind", FORMATS)
def test_no_tar_is_read_from_a_web_server(repo: Path, tmp_path: Path, kind: str) -> None:
    with serve(repo) as server:
        done = export_index(server.url, kind, tmp_path / "web")
        assert not server.read(".tar")
    assert list(done.elsewhere) == [entry.path for entry in shards_of(repo)]
    export_index(repo, kind, tmp_path / "here")
    if kind == "wids":
        text = (tmp_path / "web" / "train.json").read_text()
        urls = [shard["url"] for shard in json.loads(text)["shardlist"]]
        trains = [entry.path for entry in shards_of(repo) if entry.split == "train"]
        assert urls == [f"{server.url}/{path}" for path in trains]
    else:
        assert dict(contents(tmp_path / "web")) == dict(contents(tmp_path / "here"))


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in files(folder):
        if not (folder / name).is_symlink():
            yield name, (folder / name).read_bytes()


def test_secrets_of_an_address_are_not_written(repo: Path, tmp_path: Path) -> None:
    with serve(repo) as server:
        host = server.url.removeprefix("http://")
        export_index(f"http://user:secret@{host}/?key=secret", "wids", tmp_path / "wids")
    for _, content in contents(tmp_path / "wids"):
        assert b"secret" not in content


def test_wids_index_of_the_hub_names_the_commit(
    hub: HubServer, client: Client, repo: Path, tmp_path: Path
) -> None:
    hub.add_repo("org/name", repo)
    commit, first = client(wids_of_hub, tmp_path / "wids")
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert first == f"{hub.endpoint}/datasets/org/name/resolve/{commit}/{shards_of(repo)[2].path}"
    assert not [seen for seen in hub.requests if seen.path.endswith(".tar")]


def wids_of_hub(out: Path) -> tuple[str, str]:
    done = export_index("org/name", "wids", out, split="train")
    document = json.loads((out / "train.json").read_text())
    return done.repository.partition("@")[2], document["shardlist"][0]["url"]


def test_errors_are_mella_errors() -> None:
    assert issubclass(ExportError, MellaError)
    assert issubclass(ExportError, ValueError)
