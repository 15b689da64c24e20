"""Decontamination: what a benchmark holds is rejected, in whatever form, and nothing else."""

import hashlib
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mella.builders.culture.images.picture import ImageRules, StoredImage, normalise_image
from mella.builders.curate.benchmarks import BenchmarkError, BenchmarkFiles, find_benchmarks
from mella.builders.curate.decontaminate import DecontaminateParams, decontaminate_step
from mella.builders.curate.fingerprints import Runs, fingerprints
from pictures import picture, save
from stepping import apply, reasons

CAPTION = "Старая деревянная церковь на острове Кижи в лучах вечернего летнего солнца"
THAI = "พระปรางค์วัดอรุณราชวรารามริมแม่น้ำเจ้าพระยาในยามเย็นที่มีเรือหางยาวแล่นผ่าน"


def step(images=(), texts=(), **params):
    return decontaminate_step(DecontaminateParams(**params), find_benchmarks(images, texts))


def row(data=None, text="Кижи"):
    """A row of an image, as the steps before leave it."""
    if data is None:
        return {"sha256": "0" * 64, "original_sha256": "1" * 64, "phash": None, "text": text}
    image = normalise_image(data, ImageRules(min_bytes=0, min_deviation=0))
    assert isinstance(image, StoredImage)
    return {
        "sha256": hashlib.sha256(image.data).hexdigest(),
        "original_sha256": hashlib.sha256(data).hexdigest(),
        "phash": image.phash,
        "text": text,
    }


def judged(made, *rows):
    return reasons(apply(made, rows))


# Images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A benchmark as they come: images in folders, some with odd names, labels, a licence."""
    root = tmp_path_factory.mktemp("benchmark")
    (root / "test").mkdir()
    for seed in range(5):
        kind = ("PNG", "JPEG")[seed % 2]
        path = root / "test" / f"{seed}.{kind.lower() if seed else 'bin'}"
        path.write_bytes(save(picture(size=(500, 400), seed=seed), kind))
    (root / "labels.json").write_text("{}")
    (root / "LICENSE").write_text("CC0")
    (root / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (root / "nothing.jpg").write_bytes(b"")
    return root


def test_an_image_is_found_as_it_is_and_changed(folder):
    made = step([folder])
    for seed in range(5):
        image = picture(size=(500, 400), seed=seed)
        for data in (
            save(image, ("PNG", "JPEG")[seed % 2]),
            save(image.resize((250, 200)), "JPEG", quality=60),
            save(image, "WEBP"),
        ):
            assert judged(made, row(data)) == ["contaminated:image"]


def test_other_images_pass(folder):
    others = [row(save(picture(seed=seed), "JPEG")) for seed in range(5, 30)]
    assert judged(step([folder]), *others) == [None] * 25


def test_a_flat_image_is_found_by_its_bytes_only(tmp_path):
    red = save(Image.new("RGB", (200, 200), "red"), "PNG")
    blue = save(Image.new("RGB", (200, 200), "blue"), "PNG")
    (tmp_path / "red.png").write_bytes(red)
    assert judged(step([tmp_path]), row(red), row(blue)) == ["contaminated:image", None]


@pytest.mark.parametrize("column", ["sha256", "original_sha256"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_table_of_hashes(tmp_path, column, kind):
    held, other = (row(save(picture(seed=seed), "PNG")) for seed in (1, 2))
    hashes = [{"sha256": held[column], "split": "test"}, {"sha256": None}]
    table = write(tmp_path / f"hashes.{kind}", hashes)
    assert judged(step([table]), held, other, row()) == ["contaminated:image", None, None]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_table_of_perceptual_hashes(tmp_path, kind):
    held = row(save(picture(seed=1), "PNG"))
    near, far = (
        {**held, "sha256": "2" * 64, "phash": f"{int(held['phash'], 16) ^ mask:016x}"}
        for mask in (0b11111, 0b111111)
    )
    table = write(tmp_path / f"hashes.{kind}", [{"phash": held["phash"]}, {"phash": None}])
    assert judged(step([table]), near, far) == ["contaminated:image", None]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


# Texts


@pytest.mark.parametrize("held", [CAPTION, THAI, "경복궁의 겨울 풍경", "Pražský hrad v zimě"])
def test_an_equal_text_is_found_in_whatever_case_and_punctuation(tmp_path, held):
    file = tmp_path / "texts.txt"
    file.write_text(f"\n{held}\nfoo\n", "utf-8")
    dressed = f"«{held.upper()}» !"
    made = step(texts=[file])
    assert judged(made, row(text=held), row(text=dressed)) == ["contaminated:text"] * 2
    assert judged(made, row(text=held[: len(held) // 3]), row(text="foo")) == [None, None]


def test_thai_is_found_however_it_is_spaced(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(THAI, "utf-8")
    spaced = " ".join(THAI[n : n + 7] for n in range(0, len(THAI), 7))
    assert judged(step(texts=[file]), row(text=spaced)) == ["contaminated:text"]


def test_arabic_is_found_with_and_without_vowel_signs():
    plain, pointed = "مسجد السلطان حسن في القاهرة", "مَسْجِد السُّلطان حَسَن في القـــاهرة"
    assert fingerprints(plain, Runs()) == fingerprints(pointed, Runs())


def test_a_long_run_is_found_inside_another_text(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(f"{CAPTION}\n{THAI}\n", "utf-8")
    made = step(texts=[file])
    words = CAPTION.split()
    eight, seven = " ".join(words[1:9]), " ".join(words[1:8])
    assert judged(
        made,
        row(text=f"Вид: {eight}, вчера"),
        row(text=f"Вид: {seven}, вчера"),
        row(text=f"ภาพถ่าย{THAI[:60]}ครับ"),
        row(text=f"ภาพถ่าย{THAI[:15]}ครับ"),
    ) == ["contaminated:text", None, "contaminated:text", None]


def test_short_texts_are_names_that_anyone_may_write(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("Кижи\nхрам\n", "utf-8")
    assert judged(step(texts=[file]), row(text="Кижи"), row(text="Храм")) == [None, None]
    strict = step(texts=[file], runs=Runs(whole=4))
    assert judged(strict, row(text="Кижи")) == ["contaminated:text"]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_tables_of_texts(tmp_path, kind):
    rows = [{"question": CAPTION, "answers": [THAI, "a"], "other": "Pražský hrad v zimě"}]
    table = write(tmp_path / f"qa.{kind}", rows)
    made = step(texts=[table], text_columns=("question", "answers"))
    texts = (CAPTION, THAI, "Pražský hrad v zimě")
    assert judged(made, *(row(text=text) for text in texts)) == [
        *("contaminated:text", "contaminated:text", None)
    ]


@given(st.text(max_size=60), st.integers(1, 5), st.integers(1, 9))
def test_equal_texts_share_all_fingerprints_and_longer_ones_the_runs(text, words, graphemes):
    runs = Runs(whole=1, words=words, graphemes=graphemes)
    prints = fingerprints(text, runs)
    assert prints == fingerprints(f"  {text} ", runs)
    longer = fingerprints(f"xyz {text} xyz", runs)
    assert len(prints - longer) <= 1  # all but that of the whole


# Neither, and what cannot be read


def test_without_benchmarks_all_rows_pass(folder):
    rows = [row(save(picture(seed=1), "PNG"), CAPTION), row()]
    assert judged(step(), *rows) == [None, None]
    assert apply(step(), []) == []


def test_the_image_is_named_where_both_are_held(tmp_path, folder):
    file = tmp_path / "texts.txt"
    file.write_text(CAPTION, "utf-8")
    image = save(picture(size=(500, 400), seed=1), "JPEG")
    assert judged(step([folder], [file]), row(image, CAPTION)) == ["contaminated:image"]


def test_the_key_follows_the_content_and_not_the_place(tmp_path):
    def key(folder, text):
        (tmp_path / folder).mkdir(exist_ok=True)
        file = tmp_path / folder / "texts.txt"
        file.write_text(text, "utf-8")
        files = find_benchmarks([], [file])
        return decontaminate_step(DecontaminateParams(texts=("*.txt",)), files).key("")

    assert key("a", CAPTION) == key("b", CAPTION)
    assert key("a", CAPTION) != key("a", THAI)
    assert key("a", CAPTION) != step().key("")


def test_a_step_is_equal_to_its_copy_so_that_files_are_read_once(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text(CAPTION, "utf-8")
    assert step(texts=[file]) == step(texts=[file])
    assert hash(step(texts=[file])) == hash(step(texts=[file]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.jpg", save(picture(), "JPEG")[:3000], "cannot be decoded"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.jsonl", b"{", "cannot be read"),
        ("b.jsonl", b"[1]\n", "not an object"),
        ("c.jsonl", b'{"hash": "a"}\n', "no column sha256 or phash"),
        ("d.jsonl", b'{"phash": "a"}\n', "16 hex digits"),
        ("e.jsonl", b'{"phash": 7}\n', "no text"),
    ],
)
def test_images_that_cannot_be_read_stop_the_build(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as caught:
        judged(step([tmp_path]), row())
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "Žluťoučký".encode("cp1250"), "not UTF-8"),
        ("a.jsonl", b'{"caption": "a"}\n', "no column text"),
        ("a.jsonl", b'{"text": {"th": "a"}}\n', "no text"),
    ],
)
def test_texts_that_cannot_be_read_stop_the_build(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message):
        judged(step(texts=[tmp_path]), row())


def test_what_holds_nothing_to_compare_with_is_refused(tmp_path):
    (tmp_path / "README.md").write_text("# A benchmark")
    for paths in ([tmp_path], [tmp_path / "README.md"]):
        with pytest.raises(BenchmarkError, match="nothing to compare"):
            find_benchmarks(paths, [])
        with pytest.raises(BenchmarkError, match=r"\.txt"):
            find_benchmarks([], paths)


def test_many_hashes_and_rows():
    chance = random.Random(1)
    rows = [{**row(), "phash": f"{chance.getrandbits(64):016x}"} for _ in range(2000)]
    assert judged(step(), *rows) == [None] * 2000
    assert BenchmarkFiles().digest() == BenchmarkFiles((), ()).digest()
