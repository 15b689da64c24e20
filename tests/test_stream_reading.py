"""What streams read, decode and skip, and that the examples of the documentation run."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from mella import FormatError, RepositoryError
from mella.fetch import Fetching
from mella.http import Retry
from repositories import Sample, build, serve
from streams import ALL, CELLS, SIZE, keys, ranks, stream

DOCS = Path(__file__).parent.parent / "docs" / "loading.md"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("repository"), CELLS, shards=3)


# What is read: a web server counts.


def stored_bytes(repo: Path) -> int:
    """All samples, without the two blocks that end each shard."""
    return sum(tar.stat().st_size - 1024 for tar in repo.rglob("*.tar"))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_all_ranks_together_fetch_every_byte_once(repo: Path, world_size: int) -> None:
    with serve(repo) as server:
        found = [key for one in ranks(server.url, world_size) for key in keys(one)]
        assert sorted(found) == ALL
        assert sum(server.read(".tar").values()) == stored_bytes(repo)
        assert found == keys(stream(repo))


def test_after_resuming_only_what_is_left_is_fetched(repo: Path) -> None:
    one, whole = stream(repo), keys(stream(repo))
    with serve(repo) as server:
        assert keys(islice(one, 40)) == whole[:40]
        resumed = stream(server.url)
        resumed.load_state_dict(one.state_dict())
        assert keys(resumed) == whole[40:]
        left = sum(len(SIZE[key].image) + 4096 for key in whole[40:])
        assert sum(server.read(".tar").values()) <= left


def test_a_filter_comes_before_the_order(repo: Path) -> None:
    for where in ("category == 'food' and width == 24", pc.field("quality_score") < 1):
        wanted = sorted(row["key"] for row in stream(repo) if _holds(row, where))
        found = keys(stream(repo, where=where))
        assert sorted(found) == wanted
        assert 0 < len(found) < len(ALL)


def _holds(row: dict[str, Any], where: Any) -> bool:
    if isinstance(where, str):
        return bool(row["category"] == "food" and row["width"] == 24)
    return bool(row["quality_score"] < 1)


def test_a_filter_that_holds_for_none_gives_nothing(repo: Path) -> None:
    one = stream(repo, where="width > 9000")
    assert [*one] == []
    assert len(one) == 0
    assert one.epoch == 1


def test_without_the_image_no_shard_is_read(repo: Path) -> None:
    with serve(repo) as server:
        found = [*stream(server.url, columns=["text", "key", "width"])]
        assert server.read(".tar") == {}
    assert [list(row) for row in found] == [["text", "key", "width"]] * 53
    assert keys(found) == keys(stream(repo))
    assert all(row["text"] == SIZE[row["key"]].metadata["text"] for row in found)


def test_columns_are_chosen(repo: Path) -> None:
    found = [*stream(repo, columns=["key", "image", "text"])]
    assert [list(row) for row in found] == [["image", "text", "key"]] * 53
    assert all(row["image"] == SIZE[row["key"]].image for row in found)


def test_takedowns_are_never_yielded(tmp_path: Path) -> None:
    gone = [CELLS["culture", "th", "train"][number].key for number in (0, 7)]
    found = keys(stream(build(tmp_path, CELLS, tombstones=gone)))
    assert sorted(found) == sorted(set(ALL) - set(gone))


# Threads


def test_parts_are_read_in_a_plain_thread_pool(repo: Path) -> None:
    one = stream(repo, batch_size=3)
    with ThreadPoolExecutor(4) as pool:
        found = [keys(batches) for batches in pool.map(lambda part: [*part], one.parts(4))]
    assert sorted(key for part in found for key in part) == ALL
    assert one.epoch == 0  # parts do not move the stream


def test_threads_decode_the_same_in_the_same_order(repo: Path) -> None:
    plain = [(row["key"], row["image"].tobytes()) for row in stream(repo, decode=True, threads=0)]
    for threads in (1, 4):
        found = stream(repo, decode=True, threads=threads)
        assert [(row["key"], row["image"].tobytes()) for row in found] == plain


@pytest.mark.parametrize("output", ["pil", "numpy", "torch"])
def test_images_come_in_the_size_and_form_that_is_asked_for(repo: Path, output: str) -> None:
    row = next(iter(stream(repo, decode=True, image_size=(16, 12), output=output)))
    shape = {"pil": "size", "numpy": "shape", "torch": "shape"}[output]
    wanted = {"pil": (16, 12), "numpy": (12, 16, 3), "torch": (3, 12, 16)}[output]
    assert tuple(getattr(row["image"], shape)) == wanted


def test_views(repo: Path) -> None:
    image, text = next(iter(stream(repo, view="pair")))
    assert (image, text) == (with_text(text).image, text)
    chat = next(iter(stream(repo, view="messages", batch_size=2)))
    assert [one["messages"][0]["role"] for one in chat] == ["user", "user"]
    named = next(iter(stream(repo, view=lambda row: row["key"])))
    assert named in SIZE


def with_text(text: str) -> Sample:
    return next(one for one in SIZE.values() if one.metadata["text"] == text)


# Damage


@pytest.fixture
def damaged(repo: Path, tmp_path: Path) -> tuple[Path, list[Sample]]:
    """A repository in which three samples have a changed byte: image, text, header."""
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    victims = [CELLS["culture", "th", "train"][number] for number in (3, 9, 15)]
    parts = [
        victims[0].image,
        victims[1].metadata["text"].encode(),
        f"{victims[2].key}.json".encode(),
    ]
    for tar in folder.rglob("culture-th-*.tar"):
        content = bytearray(tar.read_bytes())
        for part in parts:
            if (at := content.find(part)) >= 0:
                content[at + len(part) // 2] ^= 4
        tar.write_bytes(content)
    return folder, victims


@pytest.mark.parametrize("remote", [False, True])
def test_damage_is_named(damaged: tuple[Path, list[Sample]], *, remote: bool) -> None:
    folder, victims = damaged
    with serve(folder) as server:
        found: list[str] = []
        with pytest.raises(FormatError) as caught:
            found.extend(row["key"] for row in stream(server.url if remote else folder))
    first = next(key for key in keys(stream(folder, columns=["key"])) if key in keys_of(victims))
    assert found == keys(stream(folder, columns=["key"]))[: len(found)]
    assert f"has other bytes than the index says at sample {first}. " in str(caught.value)
    assert "culture/th/culture-th-train-0000" in str(caught.value)


def keys_of(stored: list[Sample]) -> list[str]:
    return [one.key for one in stored]


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_damaged_samples_are_skipped_counted_and_named(
    damaged: tuple[Path, list[Sample]], batch_size: int | None, *, remote: bool
) -> None:
    folder, victims = damaged
    with serve(folder) as server:
        one = stream(server.url if remote else folder, on_error="skip", batch_size=batch_size)
        with pytest.warns(UserWarning, match="3 samples were skipped: .*has other bytes"):
            found = [*one]
    assert sorted(keys(found)) == sorted(set(ALL) - set(keys_of(victims)))
    assert sorted(skipped.key for skipped in one.skipped) == sorted(keys_of(victims))
    assert {skipped.cell for skipped in one.skipped} == {"culture/th"}
    if batch_size:
        assert len(found) == len(one) == 14


@pytest.mark.parametrize("remote", [False, True])
def test_a_missing_shard_costs_itself_alone(repo: Path, tmp_path: Path, *, remote: bool) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    gone = "culture/vi/culture-vi-train-00001-of-00003.tar"
    (folder / gone).unlink()
    lost = keys_of(CELLS["culture", "vi", "train"][1::3])
    with serve(folder) as server:
        where = server.url if remote else folder
        with pytest.raises(RepositoryError, match=f"has no {gone}. The manifest names it"):
            list(stream(where))
        one = stream(where, on_error="skip")
        with pytest.warns(UserWarning, match="3 samples were skipped"):
            assert sorted(keys(one)) == sorted(set(ALL) - set(lost))
    assert sorted(skipped.key for skipped in one.skipped) == sorted(lost)


@pytest.mark.parametrize("remote", [False, True])
def test_a_shard_cut_short_is_named(repo: Path, tmp_path: Path, *, remote: bool) -> None:
    folder = Path(shutil.copytree(repo, tmp_path / "copy"))
    tar = folder / "culture/vi/culture-vi-train-00001-of-00003.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with (
        serve(folder) as server,
        pytest.raises(FormatError, match=r"train-00001.* is cut short at"),
    ):
        list(stream(server.url if remote else folder))


def test_a_repository_out_of_reach_is_never_skipped(repo: Path) -> None:
    with serve(repo) as server:
        retry = Retry(attempts=2, first_wait=0.01, longest_wait=0.01)
        one = stream(server.url, on_error="skip", fetching=Fetching(retry=retry))
        server._server.server_close()
    with pytest.raises(RepositoryError, match="Cannot read culture"):
        list(one)
    assert one.skipped == []


def test_a_view_that_fails_is_never_skipped(repo: Path) -> None:
    def fail(_: Any) -> None:
        raise FormatError("no")

    with pytest.raises(FormatError, match="no"):
        list(stream(repo, view=fail, on_error="skip"))


# The documentation.


def test_the_examples_run(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELLA_REPO", str(repo))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), names)
    assert names["state"]["done"][-1][-1] == 2
