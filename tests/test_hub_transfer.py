"""Uploads to the local Hub and downloads from it, all by the real clients: every byte, every id."""

import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

from hub_client import BIG, FILES, REPO, Client, failure
from hub_server import HubServer

ON_REPO: dict[str, Any] = {"repo_id": REPO, "repo_type": "dataset"}


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def create_and_upload(folder: str) -> tuple[str, str, list[str]]:
    from huggingface_hub import HfApi

    api = HfApi()
    url = api.create_repo(REPO, repo_type="dataset")
    again = api.create_repo(REPO, repo_type="dataset", exist_ok=True)
    commits = [
        api.upload_folder(
            repo_id=REPO, repo_type="dataset", folder_path=folder, commit_message="all"
        ).oid
        for _ in range(2)
    ]
    return str(url), str(again), commits


def test_upload_folder_stores_every_byte_and_only_once(
    hub: HubServer, client: Client, tmp_path: Path
) -> None:
    contents = {**FILES, "empty.txt": b""}
    for path, content in contents.items():
        (tmp_path / "up" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / path).write_bytes(content)

    url, again, commits = client(create_and_upload, str(tmp_path / "up"), token=hub.token)

    assert url == again == f"{hub.endpoint}/datasets/{REPO}"
    stored = hub.files(REPO)
    del stored[".gitattributes"]
    assert stored == contents
    assert re.fullmatch("[0-9a-f]{40}", commits[0])
    assert commits == [hub.repos[REPO].branches["main"].id] * 2  # the second changed nothing
    assert hub.repos[REPO].branches["main"].title == "all"
    put = sorted(seen.path for seen in hub.requests if seen.method == "PUT")
    large = [content for content in contents.values() if len(content) >= hub.lfs_threshold]
    assert put == sorted(f"/lfs/{hashlib.sha256(content).hexdigest()}" for content in large)
    assert sum(seen.path.endswith("/verify") for seen in hub.requests) == len(large)


def commit_changes(parent: str) -> tuple[str, tuple[str, int | None], tuple[str, int | None]]:
    from huggingface_hub import (
        CommitOperationAdd,
        CommitOperationCopy,
        CommitOperationDelete,
        HfApi,
    )

    api = HfApi()
    operations: list[Any] = [
        CommitOperationAdd("new.txt", b"new"),
        CommitOperationAdd("culture/th/c.tar", BIG * 2),
        CommitOperationCopy("culture/th/a.tar", "copy/a.tar"),
        CommitOperationDelete("README.md"),
        CommitOperationDelete("culture/cs/"),
    ]
    about = {**ON_REPO, "commit_message": "change"}
    made = api.create_commit(operations=operations, parent_commit=parent, **about)
    late = [CommitOperationAdd("late.txt", b"late")]
    absent = [CommitOperationAdd("x.txt", b"x"), CommitOperationDelete("absent.txt")]
    return (
        made.oid,
        failure(api.create_commit, operations=late, parent_commit=parent, **about),
        failure(api.create_commit, operations=absent, **about),
    )


def test_create_commit_applies_all_operations_or_none(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)

    made, late, absent = client(commit_changes, first, token=hub.token)

    assert late == ("HfHubHTTPError", 412)
    assert absent == ("RemoteEntryNotFoundError", 404)
    kept = {path: FILES[path] for path in FILES if path.startswith("culture/th/")}
    added = {"new.txt": b"new", "culture/th/c.tar": BIG * 2, "copy/a.tar": BIG}
    assert hub.files(REPO) == hub.files(REPO, made) == {**kept, **added}
    assert hub.files(REPO, first) == FILES


def make_refs(first: str) -> tuple[dict[str, str], dict[str, str], tuple[str, int | None], str]:
    from huggingface_hub import HfApi, hf_hub_download

    api = HfApi()
    api.create_tag(tag="v1.0", revision=first, **ON_REPO)
    api.create_tag(tag="v1.0", exist_ok=True, **ON_REPO)
    api.create_branch(branch="work/next", revision="v1.0", **ON_REPO)
    api.upload_file(
        path_or_fileobj=b"branch", path_in_repo="README.md", revision="work/next", **ON_REPO
    )
    refs = api.list_repo_refs(**ON_REPO)
    conflict = failure(api.create_tag, tag="v1.0", **ON_REPO)
    read_back = hf_hub_download(REPO, "README.md", repo_type="dataset", revision="work/next")
    tags = {ref.name: ref.target_commit for ref in refs.tags}
    return tags, {ref.name: ref.target_commit for ref in refs.branches}, conflict, read_back


def test_tags_stay_and_branches_move(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    second = hub.commit(REPO, {"README.md": b"second"})

    tags, branches, conflict, on_branch = client(make_refs, first, token=hub.token)

    assert tags == {"v1.0": first}
    assert branches == {"main": second, "work/next": hub.repos[REPO].branches["work/next"].id}
    assert conflict == ("HfHubHTTPError", 409)
    assert read(on_branch) == b"branch"
    assert hub.files(REPO)["README.md"] == b"second"
    assert hub.files(REPO, "v1.0") == FILES


def list_everything() -> dict[str, Any]:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    tree = list(api.list_repo_tree(recursive=True, expand=True, **ON_REPO))
    info = api.dataset_info(REPO, files_metadata=True)
    assert info.siblings is not None
    return {
        "changed": {e.path: e.last_commit and e.last_commit.oid for e in tree},
        "files": {
            entry.path: (entry.size, entry.blob_id, entry.lfs and entry.lfs.sha256)
            for entry in tree
            if isinstance(entry, RepoFile)
        },
        "siblings": {
            file.rfilename: (file.size, file.blob_id, file.lfs and file.lfs.sha256)
            for file in info.siblings
        },
        "folder": [entry.path for entry in api.list_repo_tree(path_in_repo="culture", **ON_REPO)],
        "some": [e.path for e in api.get_paths_info(paths=["culture/th", "absent"], **ON_REPO)],
        "sha": info.sha,
        "commits": [commit.commit_id for commit in api.list_repo_commits(**ON_REPO)],
        "no folder": failure(lambda: list(api.list_repo_tree(path_in_repo="no", **ON_REPO))),
        "no revision": failure(api.dataset_info, REPO, revision="0" * 40),
        "no repo": failure(api.dataset_info, "org/none"),
    }


def test_listings_say_what_is_there_and_when_it_changed(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    second = hub.commit(REPO, {"culture/th/new.txt": b"2"})

    said = client(list_everything)

    expected = {}
    for path, content in {**FILES, "culture/th/new.txt": b"2"}.items():
        sha256 = hashlib.sha256(content).hexdigest()
        large = len(content) >= hub.lfs_threshold
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\n"
        blob = f"{pointer}size {len(content)}\n".encode() if large else content
        oid = hashlib.sha1(f"blob {len(blob)}\0".encode() + blob).hexdigest()
        expected[path] = (len(content), oid, sha256 if large else None)
    assert said["files"] == said["siblings"] == expected
    changed_now = {"culture", "culture/th", "culture/th/new.txt"}
    folders = {"culture", "culture/th", "culture/cs"}
    assert said["changed"] == {
        path: second if path in changed_now else first for path in {*expected, *folders}
    }
    assert said["folder"] == ["culture/cs", "culture/th"]
    assert said["some"] == ["culture/th"]
    assert said["sha"] == second
    assert said["commits"] == [second, first]
    assert said["no folder"] == ("RemoteEntryNotFoundError", 404)
    assert said["no revision"] == ("RevisionNotFoundError", 404)
    assert said["no repo"] == ("RepositoryNotFoundError", 401)


def download(files: list[tuple[str, str | None]]) -> list[str]:
    from huggingface_hub import hf_hub_download

    return [
        hf_hub_download(REPO, path, repo_type="dataset", revision=revision)
        for path, revision in files
    ]


def test_old_revisions_stay_readable(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    second = hub.commit(REPO, {"culture/th/a.tar": BIG * 3, "README.md": b"second"})

    paths = [(name, rev) for name in ("culture/th/a.tar", "README.md") for rev in (first, None)]
    old_large, new_large, old_small, new_small = client(download, paths)

    assert read(old_large) == BIG
    assert read(new_large) == BIG * 3
    assert read(old_small) == FILES["README.md"]
    assert read(new_small) == b"second"
    assert f"/snapshots/{first}/" in old_large
    assert f"/snapshots/{second}/" in new_large


def test_a_cut_download_resumes_where_it_broke(hub: HubServer, client: Client) -> None:
    large = os.urandom(1 << 20) * 12
    hub.add_repo(REPO, {"large.tar": large})
    hub.cut_next("large.tar", after=11 << 20)

    (path,) = client(download, [("large.tar", None)])

    assert hashlib.sha256(read(path)).digest() == hashlib.sha256(large).digest()
    ranges = [seen.range for seen in hub.requests if seen.path.startswith("/lfs/")]
    assert ranges == [None, f"bytes={10 << 20}-"]  # the client writes 10 MiB at a time


def snapshot(revision: str) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(REPO, repo_type="dataset", revision=revision)


def test_snapshot_download_brings_a_whole_revision(
    hub: HubServer, client: Client, tmp_path: Path
) -> None:
    for path, content in FILES.items():
        (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / path).write_bytes(content)
    first = hub.add_repo(REPO, tmp_path / "repo")
    hub.commit(REPO, {"later.txt": b"later"})

    folder = Path(client(snapshot, first))

    found = (path for path in folder.rglob("*") if path.is_file())
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in found} == FILES


def use_file_system(revision: str) -> tuple[Any, ...]:
    from huggingface_hub import HfFileSystem

    fs = HfFileSystem()
    root = f"datasets/{REPO}@{revision}"
    with fs.open(f"{root}/culture/th/a.tar", "rb", block_size=512) as file:
        file.seek(1000)
        middle = file.read(24)
    return (
        fs.ls(f"{root}/culture/th", detail=False),
        fs.glob(f"{root}/**/*.tar"),
        fs.cat(f"{root}/culture/cs/b.tar"),
        fs.cat_file(f"{root}/culture/th/a.tar", start=100, end=300),
        middle,
    )


def test_the_file_system_lists_and_reads_ranges(hub: HubServer, client: Client) -> None:
    first = hub.add_repo(REPO, FILES)
    hub.commit(REPO, {"culture/th/a.tar": b"other", "culture/th/z.tar": b"z"})

    listed, globbed, whole, part, middle = client(use_file_system, first)

    root = f"datasets/{REPO}@{first}/"
    assert listed == sorted(root + path for path in FILES if path.startswith("culture/th/"))
    assert globbed == sorted(root + path for path in FILES if path.endswith(".tar"))
    assert whole == BIG[::-1]
    assert part == BIG[100:300]
    assert middle == BIG[1000:1024]
    assert all(seen.path.startswith(("/api/", "/datasets/", "/lfs/")) for seen in hub.requests)


CARD = """---
configs:
- config_name: th-culture
  data_files: [{split: train, path: culture/th/*-train-*.tar}]
- config_name: cs-culture
  data_files: [{split: train, path: culture/cs/*-train-*.tar}]
---
"""


def shard(language: str, keys: range) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for key in keys:
            metadata = json.dumps({"key": f"{key:04x}", "lang": language}).encode()
            members = {"txt": f"{language} {key}".encode(), "json": metadata}
            for name, content in members.items():
                member = tarfile.TarInfo(f"{key:04x}.{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def stream(config: str, revision: str | None) -> list[tuple[str, str, str]]:
    import datasets

    rows = datasets.load_dataset(REPO, config, split="train", streaming=True, revision=revision)
    return [(row["__key__"], row["txt"], row["json"]["lang"]) for row in rows]


def test_datasets_streams_the_rows_of_one_config_at_one_revision(
    hub: HubServer, client: Client
) -> None:
    files = {"README.md": CARD.encode(), "culture/cs/cs-train-0.tar": shard("cs", range(3))}
    first = hub.add_repo(REPO, {**files, "culture/th/th-train-0.tar": shard("th", range(6))})
    hub.commit(REPO, {"culture/th/th-train-1.tar": shard("th", range(6, 9))})

    rows = [(f"{key:04x}", f"th {key}", "th") for key in range(9)]
    assert client(stream, "th-culture", None) == rows
    assert client(stream, "th-culture", first) == rows[:6]
    assert not any("cs-train" in seen.path for seen in hub.requests if seen.method == "GET")
