"""Alignment and categories by image: a tiny CLIP, made and saved here, read by the real code."""

import io
import shutil
from importlib import util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mella.builders.curate.align import READS, WRITES, align_step
from mella.builders.curate.categories.step import CategoriseParams, categorise_step
from mella.builders.curate.categories.taxonomy import categories
from mella.builders.curate.dual_encoder import DualEncoder, EncoderError, EncoderParams
from mella.builders.curate.stored_picture import stored_picture
from stepping import apply

transformers = pytest.importorskip("transformers")

TEXTS = ["мост", "ต้มยำกุ้งน้ำข้น", "A long caption " * 40, "", "phở"]
LENGTH = 77


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP of random weights, with a byte-level tokenizer and its image processor."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    path = tmp_path_factory.mktemp("clip")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: n for n, piece in enumerate([*letters, "<s>", "<e>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [("<s>", vocabulary["<s>"]), ("<e>", vocabulary["<e>"])]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A <e>", None, ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<e>", pad_token="<e>"
    ).save_pretrained(path)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = CLIPConfig(
        text_config={
            **small,
            "num_attention_heads": 2,
            "vocab_size": len(vocabulary),
            "max_position_embeddings": LENGTH,
            "bos_token_id": vocabulary["<s>"],
            "eos_token_id": vocabulary["<e>"],
        },
        vision_config={**small, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(path)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(path)
    return str(path)


def jpeg(seed, size=(60, 40)):
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def table(images, texts):
    return pa.table([images, texts], schema=READS)


def run(params, rows):
    return apply(align_step(params), rows.to_pylist())


def steps(encoder):
    """The two steps that a model is for."""
    return align_step(encoder), categorise_step(CategoriseParams(backend="image", encoder=encoder))


def keys(encoder):
    return [step.key("") for step in steps(encoder)]


def test_scores_are_cosines_and_differ_by_text(folder):
    params = EncoderParams(backend="transformers", model=folder)
    rows = run(params, table([jpeg(1)] * len(TEXTS), TEXTS))
    scores = [row["alignment_score"] for row in rows]
    assert all(-1 <= score <= 1 for score in scores)
    assert len(set(scores)) > 1
    assert [row["reason"] for row in rows] == [None] * len(TEXTS)
    assert rows == run(params, table([jpeg(1)] * len(TEXTS), TEXTS))


def test_neighbours_in_a_batch_change_no_vector(folder):
    images = [Image.open(io.BytesIO(jpeg(n))).convert("RGB") for n in range(5)]
    one, many = (
        DualEncoder(EncoderParams(backend="transformers", model=folder, batch=batch))
        for batch in (1, 4)
    )
    assert np.abs(one.images(images) - many.images(images)).max() < 1e-5
    assert np.abs(one.texts(TEXTS)[0] - many.texts(TEXTS)[0]).max() < 1e-5
    assert np.allclose(np.linalg.norm(many.images(images), axis=1), 1, atol=1e-5)


def test_tokens_that_the_model_did_not_see_are_counted(folder):
    params = EncoderParams(backend="transformers", model=folder)
    rows = run(params, table([jpeg(1)] * 2, ["phở", "a" * 100]))
    assert [row["alignment_tokens_cut"] for row in rows] == [0, 100 + 2 - LENGTH]


def test_unreadable_images_are_named_and_spoil_no_other(folder):
    params = EncoderParams(backend="transformers", model=folder)
    rows = run(params, table([b"no image", jpeg(1), None], ["a", "phở", "b"]))
    assert [row["reason"] for row in rows] == ["align:unreadable", None, "align:unreadable"]
    (alone,) = run(params, table([jpeg(1)], ["phở"]))
    assert rows[1] == alone


def test_without_a_model_scores_are_null():
    assert run(EncoderParams(), table([jpeg(1)], ["a"])) == [dict.fromkeys(WRITES.names)]


def test_without_a_model_images_are_not_even_read():
    assert "image" not in align_step(EncoderParams()).reads.names


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((60, 40), (60, 40)),
        ((1000, 700), (1000, 700)),
        ((2100, 1100), (1050, 550)),
        ((4500, 4200), (563, 525)),
        ((9000, 30), (4096, 14)),
    ],
)
def test_pictures_have_a_bound_and_keep_what_models_look_at(size, seen):
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "JPEG")
    made = stored_picture(file.getvalue())
    assert made is not None
    assert (made.size, made.mode) == (seen, "RGB")


def test_categories_by_image(folder):
    encoder = EncoderParams(backend="transformers", model=folder)
    step = categorise_step(CategoriseParams(backend="image", encoder=encoder))
    first, broken, last = apply(step, [{"image": data} for data in (jpeg(1), b"no image", jpeg(2))])
    assert set(broken.values()) == {None}
    for row in (first, last):
        assert row["category"] in categories()
        assert 1 / len(categories()) <= row["category_score"] <= 1
        assert row["category_origin"] == "image"


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(EncoderError, match="cannot read the model"):
        DualEncoder(EncoderParams(backend="transformers", model=str(tmp_path)))
    with pytest.raises(ValueError, match="needs model"):
        EncoderParams(backend="open_clip")
    with pytest.raises(ValueError, match="backend = 'clip'"):
        EncoderParams(backend="clip", model="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch"):
        EncoderParams(batch=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backend": "open_clip", "model": "ViT-B-32"}, "pretrained.* random"),
        (
            {"backend": "open_clip", "model": "ViT-B-32", "pretrained": "x", "revision": "abc"},
            "revision = 'abc' is for transformers",
        ),
        (
            {"backend": "transformers", "model": "o/n", "pretrained": "x"},
            "pretrained = 'x' is for open_clip",
        ),
        *(({"device": name}, "device") for name in ("", "gpu", "cuda:", "cuda:-1", "cpu ")),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        EncoderParams(**wrong)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "mps"])
def test_parameters_that_make_sense_are_not(device):
    assert EncoderParams(device=device).device == device
    for model, pretrained in (("ViT-B-32", "openai"), ("hf-hub:o/n", ""), ("local-dir:/a", "")):
        assert EncoderParams(backend="open_clip", model=model, pretrained=pretrained)
    assert EncoderParams(backend="transformers", model="o/n", revision="abc")


# What is not there is missed before anything runs


@pytest.mark.parametrize(
    ("lacks", "backend", "install"),
    [
        ("transformers", "transformers", "pip install transformers"),
        ("open_clip", "open_clip", "pip install open_clip_torch"),
        ("torch", "transformers", "pip install torch"),
    ],
)
def test_a_missing_package_is_named_when_steps_are_made(monkeypatch, lacks, backend, install):
    found = util.find_spec("json")
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == lacks else found)
    encoder = EncoderParams(backend=backend, model="hf-hub:o/n")
    with pytest.raises(EncoderError, match=install):
        align_step(encoder)
    with pytest.raises(EncoderError, match=install):
        categorise_step(CategoriseParams(backend="image", encoder=encoder))


def test_a_missing_folder_is_named_when_steps_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in (str(tmp_path / "none"), "./none", "../none"):
        with pytest.raises(EncoderError, match=f"no model at '{model}'"):
            align_step(EncoderParams(backend="transformers", model=model))
    with pytest.raises(EncoderError, match=r"no config\.json"):
        align_step(EncoderParams(backend="transformers", model=str(tmp_path)))
    monkeypatch.setattr(util, "find_spec", lambda _: object())  # as if open_clip were here
    for names in (("ViT-B-32", "./w.pt"), ("local-dir:none", "")):
        model, pretrained = names
        with pytest.raises(EncoderError, match="no model at"):
            align_step(EncoderParams(backend="open_clip", model=model, pretrained=pretrained))
    Path("w.pt").write_bytes(b"weights")
    assert align_step(EncoderParams(backend="open_clip", model="ViT-B-32", pretrained="./w.pt"))


# Keys


def test_how_a_model_is_run_is_no_part_of_the_key(folder):
    plain = keys(EncoderParams(backend="transformers", model=folder))
    assert keys(EncoderParams(backend="transformers", model=folder, batch=3)) == plain
    assert keys(EncoderParams(backend="transformers", model=folder, device="cuda:1")) == plain
    other = keys(EncoderParams(backend="transformers", model=folder, dtype="bfloat16"))
    assert all(one != two for one, two in zip(plain, other, strict=True))


def test_the_weights_of_a_folder_are_in_the_key(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    encoder = EncoderParams(backend="transformers", model=str(copy))
    before = keys(encoder)
    assert before == keys(encoder)
    (copy / ".cache").mkdir()
    (copy / ".cache" / "seen").write_text("today")
    assert keys(encoder) == before
    weights = copy / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert all(one != two for one, two in zip(keys(encoder), before, strict=True))
    weights.write_bytes(data)
    weights.rename(copy / "other.safetensors")
    assert all(one != two for one, two in zip(keys(encoder), before, strict=True))


def test_the_weights_of_a_file_are_in_the_key(tmp_path, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda _: object())  # as if open_clip were here
    file = tmp_path / "w.pt"
    encoder = EncoderParams(backend="open_clip", model="ViT-B-32", pretrained=str(file))
    file.write_bytes(b"weights")
    before = keys(encoder)
    file.write_bytes(b"others")
    assert all(one != two for one, two in zip(keys(encoder), before, strict=True))


def test_a_loaded_model_keeps_to_one_thread(folder):
    import torch

    threads = torch.get_num_threads()
    for step in steps(EncoderParams(backend="transformers", model=folder)):
        assert step.setup is not None
        torch.set_num_threads(2)
        try:
            step.setup(step.params, None)
            assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(threads)


def test_as_many_pictures_go_through_at_once_as_were_asked_for(folder, monkeypatch):
    seen = []
    images = DualEncoder.images

    def counted(self, some):
        seen.append(len(some))
        return images(self, some)

    monkeypatch.setattr(DualEncoder, "images", counted)
    encoder = EncoderParams(backend="transformers", model=folder, batch=2)
    rows = [{"image": jpeg(n), "text": "a"} for n in range(5)]
    for step in steps(encoder):
        apply(step, [{name: row[name] for name in step.reads.names} for row in rows])
    assert seen == [2, 2, 1] * 2
