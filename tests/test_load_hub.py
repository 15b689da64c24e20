"""`load_mella` over a local Hub, through its own clients: cost, rights, revisions, faults."""

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hub_client import Client
from hub_server import HubServer
from mella import load_mella
from repositories import build, samples, stored_order

REPO = "org/mella"
CELLS = {
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("linguistics", "th", "train"): samples("linguistics", "th", 3),
}
ORDER = [one.key for one in stored_order(CELLS)]
SHARDS = [
    f"{source}/th/{source}-th-train-0000{number}-of-00002.tar"
    for source in ("culture", "linguistics")
    for number in (0, 1)
]
INDEX = "index/culture/th/train.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS)


# What the clients do, each in a process of its own.


def rows(repo: str = REPO, lang: str = "th", **options: Any) -> list[dict[str, Any]]:
    return list(load_mella(lang, repo=repo, decode=False, **options))


def keys(repo: str = REPO, **options: Any) -> list[str]:
    return [row["key"] for row in load_mella("th", repo=repo, **options)]


def trouble(repo: str = REPO, **options: Any) -> tuple[list[str], str, str]:
    """The keys before the error, its type and its message."""
    found: list[str] = []
    try:
        found.extend(row["key"] for row in load_mella("th", repo=repo, **options))
    except Exception as error:  # noqa: BLE001  which error it is, is what is tested
        return found, type(error).__name__, str(error)
    return found, "none", ""


def all_ways() -> list[list[dict[str, Any]]]:
    return [
        rows(streaming=True),
        rows(streaming=False),
        rows(f"hf://datasets/{REPO}"),
        [{"key": row["key"], "size": row["image"].size} for row in load_mella("th", repo=REPO)],
    ]


def keys_at(revisions: list[str]) -> list[tuple[list[str], list[str]]]:
    return [
        (keys(revision=revision), keys(f"hf://datasets/{REPO}@{revision}"))
        for revision in revisions
    ]


def streamed(hub: HubServer) -> list[tuple[str, str]]:
    """What was asked of shards."""
    return [(seen.method, seen.path) for seen in hub.requests if seen.path.endswith(".tar")]


# Rows and requests.


def test_the_rows_are_those_of_the_folder(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    wanted = list(load_mella("th", repo=folder, decode=False))
    sizes = [{"key": row["key"], "size": (row["width"], row["height"])} for row in wanted]
    assert client(all_ways) == [wanted, wanted, wanted, sizes]


def test_opening_costs_few_requests_and_reading_one_a_shard(
    hub: HubServer, client: Client, folder: Path
) -> None:
    commit = hub.add_repo(REPO, folder)
    client(functools.partial(keys, source="culture"))
    at = f"/datasets/{REPO}/resolve/{commit}"
    asked = [(seen.method, seen.path) for seen in hub.requests if "/agent" not in seen.path]
    # The manifest, which comes with the commit, the index, and where each shard is stored: three
    # requests to the first sample. All are redirected to the storage of the Hub.
    of_the_hub = [one for one in asked if not one[1].startswith("/lfs/")]
    assert of_the_hub[:2] == [
        ("GET", f"/datasets/{REPO}/resolve/main/manifest.json"),
        ("GET", f"{at}/{INDEX}"),
    ]
    # Several shards may be read at once, in any order.
    assert sorted(of_the_hub[2:]) == [("HEAD", f"{at}/{path}") for path in SHARDS[:2]]
    stored = [path.rpartition("/")[2] for _, path in asked if path.startswith("/lfs/")]
    files = [Path(path).name for path in ("manifest.json", INDEX, *SHARDS[:2])]
    assert sorted(stored) == sorted(files)


def test_the_second_time_only_the_manifest_is_asked_for(
    hub: HubServer, client: Client, folder: Path
) -> None:
    commit = hub.add_repo(REPO, folder)
    columns = functools.partial(keys, columns=["key"])
    first = client(columns)
    hub.requests.clear()
    assert client(columns) == first == ORDER
    of_the_hub = [seen.path for seen in hub.requests if seen.path.startswith("/datasets")]
    assert of_the_hub == [f"/datasets/{REPO}/resolve/main/manifest.json"]
    hub.requests.clear()
    assert client(functools.partial(columns, revision=commit)) == ORDER
    assert [seen for seen in hub.requests if "/agent" not in seen.path] == []


def test_only_the_bytes_that_are_needed_are_asked_for(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder)
    chosen = stored_order(CELLS)[1]
    where = f"key == '{chosen.key}'"
    (row,) = client(functools.partial(rows, where=where))
    assert row["image"]["bytes"] == chosen.image
    (asked,) = [seen.range for seen in hub.requests if seen.path.endswith(".tar") and seen.range]
    assert asked is not None
    first, last = asked.removeprefix("bytes=").split("-")
    # The whole sample: its three members, each with a header and padding of up to 512 bytes.
    assert len(chosen.image) < int(last) - int(first) + 1 <= len(chosen.image) + 6 * 1024


def in_workers() -> tuple[list[str], list[str]]:
    from torch.utils.data import DataLoader

    loaded = load_mella("th", repo=REPO, decode=False)
    before = [row["key"] for row in loaded]  # the connection is in use when workers are forked
    loader = DataLoader(loaded, batch_size=None, num_workers=2)
    return before, [row["key"] for row in loader]


def test_workers_make_no_metadata_calls(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    before, found = client(in_workers)
    assert before == ORDER
    assert sorted(found) == sorted(ORDER)
    # Where four shards are stored is asked for at most once in each process, of which there are
    # three, and the bytes are read twice; still one request pins the commit.
    asked = Counter(seen.method for seen in hub.requests if seen.path.endswith(".tar"))
    assert asked["HEAD"] <= 3 * len(SHARDS)
    assert asked["GET"] == 2 * len(SHARDS)
    opening = [seen.path for seen in hub.requests if "/resolve/main/" in seen.path]
    assert opening == [f"/datasets/{REPO}/resolve/main/manifest.json"]
    assert not [seen for seen in hub.requests if seen.path.startswith("/api/datasets")]


def natively() -> list[tuple[str, bytes, str]]:
    import datasets

    files = f"hf://datasets/{REPO}/culture/th/culture-th-train-*.tar"
    loaded = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
    found = loaded.cast_column("jpg", datasets.Image(decode=False))
    return [(row["__key__"], row["jpg"]["bytes"], row["txt"]) for row in found]


def test_datasets_reads_the_shards_without_mella(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder)
    assert client(natively) == [
        (one.key, one.image, one.metadata["text"]) for one in stored_order(CELLS)[:7]
    ]


# Rights.


def test_a_private_repository_opens_with_a_token(
    hub: HubServer, client: Client, folder: Path
) -> None:
    hub.add_repo(REPO, folder, private=True)
    assert client(keys, token=hub.token) == ORDER
    for token in (None, hub.reader_token, "hf_wrong"):
        found, error, message = client(trouble, token=token)
        assert (found, error) == ([], "RepositoryError")
        assert f"Cannot open the Hub data set '{REPO}' at revision main" in message
        assert "log in with `hf auth login`" in message
        assert "hf_" not in message  # the token is not told


def test_a_gated_repository_names_the_gate(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder, gated=True)
    for token in (None, hub.reader_token):  # first: who may open it leaves files in the cache
        found, error, message = client(trouble, token=token)
        assert (found, error) == ([], "RepositoryError")
        assert f"Cannot open the Hub data set '{REPO}' at revision main" in message
        assert "GatedRepo" in message
        assert "restricted" in message
    assert client(keys, token=hub.token) == ORDER


def test_a_repository_that_is_not_there_is_named(hub: HubServer, client: Client) -> None:
    found, error, message = client(functools.partial(trouble, "org/nothing"))
    assert (found, error) == ([], "RepositoryError")
    assert "Cannot open the Hub data set 'org/nothing'" in message
    assert "for a folder, give a path that exists" in message


# Revisions.


def change_while_reading() -> tuple[list[str], list[str]]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    loaded = load_mella("th", repo=REPO, decode=False)
    begun = iter(loaded)
    first = next(begun)["key"]
    changes: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(SHARDS[1], b"something else"),
        CommitOperationDelete("linguistics/", is_folder=True),
        CommitOperationDelete("index/", is_folder=True),
    ]
    HfApi().create_commit(REPO, changes, commit_message="change", repo_type="dataset")
    return [first, *(row["key"] for row in begun)], [row["key"] for row in loaded]


def test_what_was_opened_stays_as_it_was(hub: HubServer, client: Client, folder: Path) -> None:
    first = hub.add_repo(REPO, folder)
    assert client(change_while_reading, token=hub.token) == (ORDER, ORDER)
    assert hub.repos[REPO].branches["main"].id != first
    found, error, _ = client(trouble)  # who opens it now sees the change
    assert (found, error) == ([], "RepositoryError")
    assert client(functools.partial(keys, revision=first)) == ORDER


def test_a_revision_is_a_branch_a_tag_or_a_commit(
    hub: HubServer, client: Client, folder: Path, tmp_path: Path
) -> None:
    first = hub.add_repo(REPO, folder)
    hub.repos[REPO].tags["v1"] = hub.repos[REPO].at(first)
    newer = {("culture", "th", "train"): CELLS["culture", "th", "train"][:2]}
    second = hub.commit(REPO, build(tmp_path / "newer", newer))
    new = [one.key for one in stored_order(newer)]
    assert client(keys_at, ["v1", first, "main", second]) == [
        *[(ORDER, ORDER)] * 2,
        *[(new, new)] * 2,
    ]


def test_an_unknown_revision_is_named(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    _, error, message = client(functools.partial(trouble, revision="v9"))
    assert error == "RepositoryError"
    assert f"'{REPO}' at revision v9" in message


# Faults: those that pass are waited for, the others are named.


def test_faults_that_pass_are_waited_for(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    hub.fail_next(SHARDS[0], 503)
    hub.cut_next(Path(SHARDS[1]).name, after=1000)
    hub.lose_next(SHARDS[2])
    hub.fail_next(SHARDS[3], 429, headers={"Retry-After": "0"})
    assert client(rows) == list(load_mella("th", repo=folder, decode=False))
    tried = Counter(path.rpartition("/")[2] for _, path in streamed(hub))
    assert sorted(tried.values()) == [3, 3, 3, 3]  # a HEAD and a GET, one of them twice


def test_faults_in_opening_are_waited_for(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    hub.fail_next("/resolve/main/manifest.json", 429, headers={"Retry-After": "0"})
    hub.lose_next("/resolve/main/manifest.json")
    hub.fail_next(INDEX, 503, method="GET")
    hub.cut_next("/manifest.json", after=100)
    assert client(functools.partial(keys, columns=["key"])) == ORDER


def test_a_refusal_is_named(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    hub.fail_next(SHARDS[1], 403)
    found, error, message = client(trouble)
    assert "hf auth login" not in message
    assert (found, error) == (ORDER[:4], "RepositoryError")
    assert f"Cannot read {SHARDS[1]} of {REPO}@" in message
    assert "403" in message


def without(folder: Path, name: str) -> dict[str, bytes]:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    return {path: file.read_bytes() for path, file in files.items() if path != name}


@pytest.mark.parametrize(("missing", "before"), [("manifest.json", 0), (INDEX, 0), (SHARDS[1], 4)])
def test_a_missing_file_is_named(
    hub: HubServer, client: Client, folder: Path, missing: str, before: int
) -> None:
    commit = hub.add_repo(REPO, without(folder, missing))
    found, error, message = client(trouble)
    assert (found, error) == (ORDER[:before], "RepositoryError")
    assert f"{REPO}@{commit} has no {missing}. " in message


@pytest.mark.parametrize("left", [0, 3000])
def test_a_shard_that_was_uploaded_short_is_named(
    hub: HubServer, client: Client, folder: Path, left: int
) -> None:
    hub.add_repo(REPO, folder)
    hub.commit(REPO, {SHARDS[1]: (folder / SHARDS[1]).read_bytes()[:left]})
    found, error, message = client(trouble)
    assert (found[:4], error) == (ORDER[:4], "FormatError")
    assert f"{SHARDS[1]} is cut short at sample {ORDER[len(found)]}" in message


def test_an_index_of_another_build_is_named(hub: HubServer, client: Client, folder: Path) -> None:
    hub.add_repo(REPO, folder)
    other = (folder / "index/linguistics/th/train.parquet").read_bytes()
    hub.commit(REPO, {INDEX: other})
    found, error, message = client(trouble)
    assert (found, error) == ([], "FormatError")
    assert f"{INDEX} is not the file that the manifest names" in message
