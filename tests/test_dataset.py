"""Map-style data sets: all that `datasets` can do, with images that stay in the shards."""

import io
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import fsspec
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import DataLoader

from hub_client import Client
from hub_server import HubServer
from mella.dataset import KeyedDataset, map_style
from mella.errors import FormatError, RepositoryError
from mella.plan import COLUMNS, check_names, find_cells
from mella.repository import open_repository
from mella.samples import UnknownKeyError
from repositories import Cell, Sample, build, sample, samples, serve, stored_order

CELLS: dict[Cell, list[Sample]] = {
    ("culture", "th", "train"): samples("culture", "th", 7),
    ("linguistics", "th", "train"): samples("linguistics", "th", 3),
}
ORDER = stored_order(CELLS)
DOCS = Path(__file__).parent.parent / "docs" / "map-style.md"
KEYS = [one.key for one in ORDER]
TH_SHARD = "culture/th/culture-th-train-00001-of-00002.tar"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("a repository: 100% #1"), CELLS)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The caches, empty for each test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path / "fetched"))
    return tmp_path / "cache"


@pytest.fixture
def copy(repo: Path, tmp_path: Path) -> Path:
    """A repository of its own for a test to damage."""
    return Path(shutil.copytree(repo, tmp_path / "copy"))


def load(repo: Path | str, source: str = "both", **options: Any) -> KeyedDataset:
    repository = open_repository(repo)
    entries = find_cells(repository, check_names("th", source, "train"))
    return map_style(repository, entries, **{"columns": COLUMNS, "split": "train", **options})


def as_row(stored: Sample) -> dict[str, Any]:
    """A sample as it is loaded without decoding, its columns in order."""
    values = {"image": {"bytes": stored.image, "path": f"{stored.key}.jpg"}, **stored.metadata}
    return {name: values[name] for name in COLUMNS}


def pixels(image: Any) -> tuple[Any, ...]:
    """What a person sees of an image."""
    if isinstance(image, bytes):
        image = datasets.Image().decode_example({"bytes": image, "path": None})
    return image.mode, image.size, image.tobytes()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# Rows.


def test_rows_are_the_samples_in_order(repo: Path) -> None:
    rows = load(repo, decode=False)
    wanted = [as_row(one) for one in ORDER]
    assert list(rows) == wanted
    assert [rows[number] for number in range(-10, 10)] == wanted * 2
    assert [list(row) for row in rows] == [list(COLUMNS)] * 10


def test_images_are_those_that_datasets_makes(tmp_path: Path) -> None:
    images = [PIL.Image.effect_noise((40, 24), 90).convert(mode) for mode in ("RGB", "L", "CMYK")]
    turned = PIL.Image.Exif()
    turned[PIL.Image.ExifTags.Base.Orientation] = 6
    stored = []
    for number, exif in [(0, None), (1, None), (2, None), (0, turned)]:
        file = io.BytesIO()
        images[number].save(file, "JPEG", **({"exif": exif} if exif else {}))
        stored.append(sample("culture", "th", file.getvalue(), f"ภาพ {number} {bool(exif)}"))
    rows = load(build(tmp_path, {("culture", "th", "train"): stored}, shards=1))
    assert rows.features["image"] == datasets.Image()
    assert [pixels(row["image"]) for row in rows] == [pixels(one.image) for one in stored]
    assert rows[3]["image"].size == (24, 40)


@pytest.mark.parametrize("decode", [True, False])
def test_there_are_many_ways_to_ask(repo: Path, *, decode: bool) -> None:
    rows = load(repo, decode=decode)
    image = (lambda one: pixels(one.image)) if decode else (lambda one: as_row(one)["image"])
    seen: Any = pixels if decode else (lambda value: value)
    texts = [one.metadata["text"] for one in ORDER]
    assert list(rows["text"]) == texts
    assert rows["text"][3] == texts[3]
    assert rows[2:5]["text"] == texts[2:5]
    assert [seen(value) for value in rows[2:5]["image"]] == [image(one) for one in ORDER[2:5]]
    assert [seen(value) for value in rows[[7, 1]]["image"]] == [image(ORDER[7]), image(ORDER[1])]
    assert [seen(value) for value in rows["image"]] == [image(one) for one in ORDER]
    assert [row["key"] for row in rows.__getitems__([4, 2])] == [KEYS[4], KEYS[2]]


def test_columns_and_rows_are_chosen(repo: Path) -> None:
    only = load(repo, columns=("image",), decode=False)
    assert list(only) == [{"image": as_row(one)["image"]} for one in ORDER]
    few = load(repo, columns=("key", "width"), where="width == 24")
    assert list(few) == [
        {"key": one.key, "width": 24} for one in ORDER if one.metadata["width"] == 24
    ]
    none = load(repo, where="width > 9000")
    assert (list(none), none.features, none.split) == ([], load(repo).features, "train")


def test_what_was_taken_down_is_left_out(tmp_path: Path) -> None:
    rows = load(build(tmp_path, CELLS, tombstones=[KEYS[0], KEYS[8]]))
    left = [key for key in KEYS if key not in (KEYS[0], KEYS[8])]
    assert list(rows["key"]) == left
    with pytest.raises(UnknownKeyError):
        rows[KEYS[0]]


# Keys.


def test_a_row_is_found_by_its_key_whatever_its_place(repo: Path) -> None:
    rows = load(repo, decode=False)
    for some in (
        rows,
        rows.shuffle(seed=1),
        rows.sort("width"),
        rows.select(range(9, -1, -1)),
        rows.with_format("torch")
        .with_format(None)
        .with_transform(rows.format["format_kwargs"]["transform"]),
        rows.shuffle(seed=1).shuffle(seed=2).flatten_indices(),
        pickle.loads(pickle.dumps(rows)),
    ):
        for one in ORDER:
            assert some[one.key] == as_row(one)


def test_a_derived_data_set_knows_its_own_rows_only(repo: Path) -> None:
    rows = load(repo)
    assert rows[KEYS[0]]["key"] == KEYS[0]
    few = rows.select([3, 4])
    assert few[KEYS[4]]["key"] == KEYS[4]
    with pytest.raises(UnknownKeyError, match=f"No row has the key '{KEYS[0]}'"):
        few[KEYS[0]]
    with pytest.raises(UnknownKeyError, match="'txt', and no column this name"):
        rows["txt"]
    with pytest.raises(UnknownKeyError, match="keep the column 'key'"):
        rows.select_columns(["text"])[KEYS[0]]


# What `datasets` does with data sets.


def test_methods_make_data_sets_that_find_keys(repo: Path) -> None:
    rows = load(repo)
    parts = rows.train_test_split(test_size=3, seed=0)
    for some in (
        *parts.values(),
        rows.filter(lambda row: row["width"] == 24),
        rows.map(lambda row: {"letters": len(row["text"])}),
        rows.skip(1).take(5).repeat(2).shard(2, 0),
        rows.add_column("number", list(range(10))),
        rows.cast_column("image", datasets.Image(mode="L")),
        rows.rename_column("text", "caption").remove_columns(["phash"]),
    ):
        assert isinstance(some, KeyedDataset)
        key = some["key"][1]
        assert some[key]["key"] == key
        assert some[key]["image"].size == (some[key]["width"], some[key]["height"])
    assert sorted([*parts["train"]["key"], *parts["test"]["key"]]) == sorted(KEYS)


@pytest.mark.parametrize("decode", [True, False])
def test_functions_see_the_images(repo: Path, *, decode: bool) -> None:
    def size(image: Any) -> int:
        return image.width if decode else len(image["bytes"])

    rows = load(repo, decode=decode)
    wanted = [one.metadata["width" if decode else "bytes"] for one in ORDER]
    one_by_one = rows.map(lambda row: {"size": size(row["image"])})
    assert list(one_by_one["size"]) == wanted
    batched = rows.map(lambda batch: {"size": [*map(size, batch["image"])]}, batched=True)
    assert list(batched["size"]) == wanted
    large = rows.filter(lambda row: size(row["image"]) > wanted[0])
    assert list(large["key"]) == [k for k, w in zip(KEYS, wanted, strict=True) if w > wanted[0]]


def test_a_tensor_is_made_of_an_image(repo: Path) -> None:
    row = load(repo).with_format("torch")[0]
    _, (width, height), content = pixels(ORDER[0].image)
    assert row["image"].shape == (3, height, width)
    assert row["image"].permute(1, 2, 0).numpy().tobytes() == content
    assert row["width"] == torch.tensor(width)


@pytest.mark.parametrize(("start", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_read_for_a_data_loader(repo: Path, start: str, workers: int) -> None:
    rows = load(repo, columns=("image", "key"))
    rows[0]  # opens a shard before the workers start
    loader: DataLoader[Any] = DataLoader(
        rows, batch_size=4, num_workers=workers, collate_fn=list, multiprocessing_context=start
    )
    found = [(row["key"], pixels(row["image"])) for batch in loader for row in batch]
    assert found == [(one.key, pixels(one.image)) for one in ORDER]


# On disk.


def test_a_key_is_in_it_or_not_and_no_image_is_decoded(repo: Path) -> None:
    loaded = load(repo)
    assert loaded[3]["key"] in loaded
    assert "none" not in loaded
    assert loaded[3]["text"] not in loaded["key"]


def test_nothing_is_copied(repo: Path, cache: Path) -> None:
    rows = load(repo)
    assert len([row["image"] for row in rows]) == 10
    rows.shuffle(seed=0).select([1, 2]).sort("width")[0]
    assert files(cache) == []
    assert rows.cache_files == []
    rows.map(lambda row: {"letters": len(row["text"])})
    (kept,) = files(cache)
    assert not any(one.image in kept.read_bytes() for one in ORDER)


def test_the_cache_follows_the_content(repo: Path, copy: Path, cache: Path) -> None:
    def times(row: dict[str, Any]) -> dict[str, Any]:
        return {"more": row["width"] * factor}

    def kept(rows: KeyedDataset) -> int:
        assert list(rows.map(times)["more"]) == [width * factor for width in rows["width"]]
        return len(files(cache))

    factor = 2
    assert kept(load(repo)) == kept(load(repo)) == 1
    assert kept(load(repo, where="width == 24")) == 2
    assert kept(load(repo, decode=False)) == 3
    assert kept(load(copy)) == 4  # whose images lie elsewhere
    factor = 3
    assert kept(load(repo)) == kept(load(repo)) == 5
    build(copy, {**CELLS, ("culture", "th", "train"): ORDER[:3]})
    assert kept(load(copy)) == 6
    filtered = [load(repo).filter(lambda row: row["width"] == 24) for _ in range(2)]
    assert len(files(cache)) == 7
    assert list(filtered[0]) == list(filtered[1])


def test_a_map_may_be_kept_in_memory(repo: Path, cache: Path) -> None:
    rows = load(repo).map(lambda row: {"more": row["width"] + 1}, keep_in_memory=True)
    assert rows[0]["more"] == rows[0]["width"] + 1
    assert files(cache) == []


def test_a_function_that_has_no_hash_is_still_mapped(repo: Path, cache: Path) -> None:
    numbers = (number for number in range(10))  # generators cannot be pickled
    rows = load(repo).map(lambda _: {"number": next(numbers)})
    assert list(rows["number"]) == list(range(10))
    assert files(cache) == []


def test_what_is_mapped_further_is_cached_by_datasets(repo: Path, cache: Path) -> None:
    for _ in range(2):
        rows = load(repo).map(lambda row: {"a": row["width"]}).map(lambda row: {"b": row["a"] + 1})
        assert rows[KEYS[3]]["b"] == ORDER[3].metadata["width"] + 1
        assert rows[KEYS[3]]["image"].size == (rows[3]["width"], rows[3]["height"])
    assert len(files(cache)) == 2


@pytest.mark.parametrize("decode", [True, False])
def test_what_is_saved_has_the_images_in_it(
    copy: Path, tmp_path: Path, cache: Path, *, decode: bool
) -> None:
    rows = load(copy, decode=decode).shuffle(seed=3)
    keys = list(rows["key"])
    rows.save_to_disk(str(tmp_path / "saved"))
    assert rows.to_parquet(str(tmp_path / "rows.parquet")) > 10_000
    assert files(cache) == []
    shutil.rmtree(copy)
    wanted = [as_row(next(one for one in ORDER if one.key == key)) for key in keys]
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == wanted
    saved = datasets.load_from_disk(str(tmp_path / "saved"))
    assert saved.features == rows.features
    assert saved.cast_column("image", datasets.Image(decode=False)).to_list() == wanted


def pushed(repo: str) -> list[dict[str, Any]]:
    load(repo).push_to_hub("org/pushed")
    found = datasets.load_dataset("org/pushed", split="train")
    rows: list[dict[str, Any]] = found.cast_column("image", datasets.Image(decode=False)).to_list()
    return rows


def test_what_is_pushed_has_the_images_in_it(repo: Path, hub: HubServer, client: Client) -> None:
    assert client(pushed, str(repo), token=hub.token) == [as_row(one) for one in ORDER]


# Shards that are not here.


def test_only_shards_with_chosen_rows_are_fetched_and_once(repo: Path) -> None:
    chosen = ORDER[5]
    with serve(repo) as server:
        for _ in range(2):
            rows = load(server.url, where=f"key == '{chosen.key}'", decode=False)
            assert list(rows) == [as_row(chosen)]
        assert server.read(".tar") == {f"/{TH_SHARD}": (repo / TH_SHARD).stat().st_size}
        load(server.url, columns=("text",))
        assert len(server.read(".tar")) == 1


def test_progress_is_shown_on_request(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve(repo) as server:
        load(server.url, "linguistics")
        assert capfd.readouterr().err == ""
        load(server.url, "culture", progress=True)
        assert "Fetching shards" in capfd.readouterr().err


# Damage names the shard and the sample, when the row is looked at.


@pytest.mark.parametrize("decode", [True, False])
def test_a_changed_byte_is_named(copy: Path, *, decode: bool) -> None:
    victim = ORDER[5]
    content = bytearray((copy / TH_SHARD).read_bytes())
    content[content.index(victim.image) + 40] ^= 1
    (copy / TH_SHARD).write_bytes(content)
    rows = load(copy, decode=decode)
    found: list[str] = []
    with pytest.raises(FormatError) as caught:
        found.extend(row["key"] for row in rows)
    assert found == KEYS[:5]
    assert str(caught.value) == (
        f"{copy}/{TH_SHARD} has other bytes than the index says at sample {victim.key}. "
        "Fetch or build the shard again."
    )
    assert rows[6]["key"] == KEYS[6]
    assert len(rows["text"][:]) == 10


def test_a_shard_that_is_short_or_missing_is_named_when_it_is_loaded(copy: Path) -> None:
    content = (copy / TH_SHARD).read_bytes()
    (copy / TH_SHARD).write_bytes(content[:3000])
    with pytest.raises(FormatError, match=f"{TH_SHARD} is not the file that the manifest names"):
        load(copy)
    (copy / TH_SHARD).unlink()
    with pytest.raises(RepositoryError, match=f"has no {TH_SHARD}"):
        load(copy)


def test_a_shard_that_is_lost_later_is_named(copy: Path) -> None:
    rows = load(copy)
    (copy / TH_SHARD).unlink()
    assert rows[0]["image"].size == (24, 24)
    with pytest.raises(RepositoryError, match=f"There is no {copy}/{TH_SHARD} any more"):
        rows[5]


def test_a_repository_built_anew_is_read_anew(tmp_path: Path) -> None:
    cell = ("culture", "th", "train")
    assert load(build(tmp_path / "r", {cell: ORDER[:4]}), decode=False)[0] == as_row(ORDER[0])
    shutil.rmtree(tmp_path / "r")
    newer = load(build(tmp_path / "r", {cell: ORDER[4:]}), decode=False)
    assert newer[0] == as_row(ORDER[4])


# The file system of the images.


def test_every_program_opens_an_image_through_fsspec(repo: Path) -> None:
    urls = [value["path"] for value in load(repo).with_format("arrow")[:]["image"].to_pylist()]
    for url, one in zip(urls, ORDER, strict=True):
        with fsspec.open(url) as file:
            assert file.read() == one.image
        assert Path(url).name == f"{one.key}.jpg"
    system = fsspec.filesystem("mella-shard")
    assert system.size(urls[0]) == len(ORDER[0].image)
    assert system.cat_file(urls[0], 2, 9) == ORDER[0].image[2:9]
    assert system.exists(urls[0])
    assert not system.exists("mella-shard://1-2-3/nowhere.tar/k.jpg")


@pytest.mark.parametrize("url", ["mella-shard://x", "mella-shard://1-2-3/a.tar", ""])
def test_what_is_no_image_is_named(url: str) -> None:
    with pytest.raises(FileNotFoundError, match="does not name an image in a shard"):
        fsspec.filesystem("mella-shard").cat_file(url)
    with pytest.raises(OSError, match="only read"):
        fsspec.filesystem("mella-shard").open("1-2-3/a.tar/k.jpg", "wb")


# The documentation.


def test_the_examples_run(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELLA_REPO", str(repo))
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), {})
