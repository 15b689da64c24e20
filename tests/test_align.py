"""Alignment and categories by image: a tiny CLIP, made and saved here, read by the real code."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mella.builders.curate.align import READS, WRITES, align_step, load_encoder
from mella.builders.curate.categories.step import CategoriseParams, categorise_step
from mella.builders.curate.categories.taxonomy import categories
from mella.builders.curate.dual_encoder import DualEncoder, EncoderError, EncoderParams

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


def jpeg(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()


def table(images, texts):
    return pa.table([images, texts], schema=READS)


def run(params, rows):
    step = align_step(params)
    (out,) = step.apply(rows, load_encoder(params))
    assert out.schema == WRITES
    return out.to_pylist()


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


def test_categories_by_image(folder):
    encoder = EncoderParams(backend="transformers", model=folder)
    step = categorise_step(CategoriseParams(backend="image", encoder=encoder))
    assert step.setup is not None
    resource = step.setup(step.params, None)
    rows = pa.table([[jpeg(1), b"no image", jpeg(2)]], schema=step.reads)
    (out,) = step.apply(rows, resource)
    first, broken, last = out.to_pylist()
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
