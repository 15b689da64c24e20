"""Bring images and texts into one space by a model with an encoder for each (CLIP and its kind).

Models are read by `transformers` (CLIP, SigLIP, and whatever else `AutoModel` gives the methods
`get_image_features` and `get_text_features`) or by `open_clip`. A. Radford et al., Learning
Transferable Visual Models From Natural Language Supervision, 2021; X. Zhai et al., Sigmoid Loss for
Language Image Pre-Training, 2023.

All texts are padded to one length, whatever stands beside them in a batch: so a score does not
depend on its neighbours, and models that were trained that way (SigLIP) see what they know.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module, util
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from mella.builders.engine.params import check_least
from mella.builders.engine.step import UNKEYED
from mella.errors import MellaError

Vectors = npt.NDArray[np.float32]
"""One row a text or image, of length 1."""

_MOST_TOKENS = 128
_COUNTED = 8  # lengths of a text in which open_clip counts the tokens it cuts
_BACKENDS = ("none", "transformers", "open_clip")
_DTYPES = ("float32", "bfloat16", "float16")
_DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")
_INSTALLED_AS = {"torch": "torch", "transformers": "transformers", "open_clip": "open_clip_torch"}
_LOCAL = "local-dir:"  # how open_clip is told that a model is a folder
_WITH_WEIGHTS = ("hf-hub:", _LOCAL)  # models of open_clip that are no mere architectures


class EncoderError(MellaError, ValueError):
    """A model that cannot be had, or that is no dual encoder."""


@dataclass(frozen=True)
class EncoderParams:
    """Which model, and how it is run.

    Attributes:
        backend: The library that reads the model; "none": there is no model.
        model: Its name or folder, as the library takes it. For open_clip a name such as
            "xlm-roberta-base-ViT-B-32", or "hf-hub:OWNER/NAME".
        revision: transformers: a commit of the model, so that a build can be repeated.
        pretrained: open_clip: the name or the file of the weights; "hf-hub:" has its own.
        device: As torch names it: "cpu", "cuda", "cuda:1", "mps". No part of the key of a step.
        dtype: Of the weights: "float32", "bfloat16" or "float16".
        batch: Images or texts that go through the model at once. No part of the key of a step.
    """

    backend: Literal["none", "transformers", "open_clip"] = "none"
    model: str = ""
    revision: str = ""
    pretrained: str = ""
    device: str = field(default="cpu", metadata=UNKEYED)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: int = field(default=64, metadata=UNKEYED)

    def __post_init__(self) -> None:
        check_least(self, {"batch": 1})
        if self.backend not in _BACKENDS:
            raise ValueError(f"backend = {self.backend!r} must be one of {', '.join(_BACKENDS)}.")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype = {self.dtype!r} must be one of {', '.join(_DTYPES)}.")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(
                f'device = {self.device!r} must be "cpu", "cuda", "cuda:N" (such as "cuda:1") '
                'or "mps".'
            )
        if self.backend == "none" and self.model:
            raise ValueError(
                f'model = {self.model!r} needs backend = "transformers" or "open_clip".'
            )
        if self.backend != "none" and not self.model:
            raise ValueError(f"backend = {self.backend!r} needs model, the name or folder of one.")
        self._check_weights()

    def _check_weights(self) -> None:
        if self.backend == "open_clip":
            if self.revision:
                raise ValueError(
                    f"revision = {self.revision!r} is for transformers: open_clip takes none. "
                    "Name the weights by pretrained."
                )
            if not self.pretrained and not self.model.startswith(_WITH_WEIGHTS):
                raise ValueError(
                    f"model = {self.model!r} needs pretrained, the name or file of its weights: "
                    "without, those of open_clip are random."
                )
        if self.backend == "transformers" and self.pretrained:
            raise ValueError(
                f"pretrained = {self.pretrained!r} is for open_clip: with transformers the "
                "weights are those of the model. Pin them by revision."
            )


@dataclass(frozen=True)
class Encoder:
    """A model as a parameter of a step: its name and what its files hold are the key.

    Attributes:
        params: Which model, and how it is run.
        weights: Digest of the model's files where it lies on this machine, else "".
    """

    params: EncoderParams
    weights: str


def find_encoder(params: EncoderParams) -> Encoder:
    """Check that the packages and the files of a model are there; nothing is loaded yet.

    Raises:
        EncoderError: One is not, or cannot be read.
    """
    _check(params)
    return Encoder(params, " ".join(map(_digest, (params.model, params.pretrained))).strip())


def load_encoder(encoder: Encoder) -> "DualEncoder":
    """Load a model, once per process.

    Raises:
        EncoderError: It cannot be read.
    """
    import torch

    # Each worker of a build is a process with a core to itself: more threads get in their way.
    torch.set_num_threads(1)
    return DualEncoder(encoder.params)


def _check(params: EncoderParams) -> None:
    if params.backend == "none":
        return
    lacking = [name for name in ("torch", params.backend) if util.find_spec(name) is None]
    if lacking:
        install = " ".join(_INSTALLED_AS[name] for name in lacking)
        raise EncoderError(
            f"backend = {params.backend!r} needs packages that are not here: "
            f"{', '.join(lacking)}. Run: pip install {install}"
        )
    for name in (params.model, params.pretrained):
        place = Path(name.removeprefix(_LOCAL))
        if name.startswith(("/", "./", "../", _LOCAL)) and not place.exists():
            raise EncoderError(
                f"There is no model at {name!r} (from {Path.cwd()}): put it there, or name another."
            )
    if params.backend == "transformers":
        folder = Path(params.model)
        if folder.exists() and not (folder / "config.json").is_file():
            raise EncoderError(
                f"transformers cannot read the model {params.model!r}: it has no config.json. "
                "Name the folder that save_pretrained wrote."
            )


def _digest(name: str) -> str:
    """Return the digest of what is at a path, by names and contents; "" where there is nothing."""
    place = Path(name.removeprefix(_LOCAL))
    if not name or not place.exists():
        return ""
    digest = hashlib.sha256()
    try:
        # Hidden files are those of tools (.git, .cache): no model is read from them.
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            inside = path.relative_to(place)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                digest.update(f"{inside.as_posix()}\0{content}\n".encode())
    except OSError as error:
        raise EncoderError(f"The model {name!r} cannot be read: {error}") from error
    return digest.hexdigest()


class _Model(Protocol):
    """What the two libraries have in common. Tensors are torch's."""

    scale: float

    def pixels(self, images: list[Image.Image]) -> Any: ...
    def image_features(self, pixels: Any) -> Any: ...
    def tokens(self, texts: list[str]) -> tuple[Any, list[int]]: ...
    def text_features(self, tokens: Any) -> Any: ...


class DualEncoder:
    """A loaded model.

    Attributes:
        scale: What the model multiplies cosines by before it takes them for logits.

    Args:
        params: Which model, and how it is run; `backend` is not "none".

    Raises:
        EncoderError: The library is not installed, or the model cannot be read or is none.
    """

    def __init__(self, params: EncoderParams) -> None:
        if params.backend == "none":
            raise EncoderError('There is no model with backend = "none".')
        self._batch = params.batch
        self._model: _Model
        try:
            if params.backend == "transformers":
                self._model = _Transformers(params)
            else:
                self._model = _OpenClip(params)
        except ImportError as error:
            raise EncoderError(
                f"backend = {params.backend!r} needs a package that is not here: {error}. "
                f"Run: pip install torch {_INSTALLED_AS[params.backend]}"
            ) from error
        except EncoderError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise EncoderError(
                f"{params.backend} cannot read the model {params.model!r}: {error}"
            ) from error
        self.scale = self._model.scale

    def images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return the vectors of images, (images, width of the model)."""
        return self._run(
            images, lambda some: self._model.image_features(self._model.pixels(list(some)))
        )

    def texts(self, texts: Sequence[str]) -> tuple[Vectors, list[int]]:
        """Return the vectors of texts, (texts, width), and how many tokens of each were cut off."""
        cut: list[int] = []

        def features(some: Sequence[str]) -> Any:
            tokens, lost = self._model.tokens(list(some))
            cut.extend(lost)
            return self._model.text_features(tokens)

        return self._run(texts, features), cut

    def _run(self, items: Sequence[Any], features: Callable[[Sequence[Any]], Any]) -> Vectors:
        import torch

        pieces = []
        with torch.inference_mode():
            for some in _batches(items, self._batch):
                found = features(some).float()
                pieces.append(torch.nn.functional.normalize(found, dim=-1).cpu().numpy())
        return np.concatenate(pieces) if pieces else np.zeros((0, 0), np.float32)


class _Transformers:
    def __init__(self, params: EncoderParams) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        of_revision = {"revision": params.revision} if params.revision else {}
        dtype = getattr(torch, params.dtype)
        model: Any = AutoModel.from_pretrained(params.model, dtype=dtype, **of_revision)
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            raise EncoderError(
                f"{params.model!r} is a {type(model).__name__}, which lacks get_image_features or "
                "get_text_features: take a CLIP or SigLIP model."
            )
        self._model = model.to(params.device).eval()
        self._to = {"device": params.device}
        self._dtype = dtype
        self._processor = _image_processor(params.model, of_revision)
        self._tokenizer = AutoTokenizer.from_pretrained(params.model, **of_revision)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        text: Any = getattr(model.config, "text_config", model.config)
        places = getattr(text, "max_position_embeddings", _MOST_TOKENS)
        self._length = min(places, _MOST_TOKENS, self._tokenizer.model_max_length)
        scale = getattr(model, "logit_scale", None)
        self.scale = 100.0 if scale is None else float(scale.detach().float().exp())

    def pixels(self, images: list[Image.Image]) -> Any:
        inputs = self._processor(images=images, return_tensors="pt")
        return inputs["pixel_values"].to(**self._to, dtype=self._dtype)

    def image_features(self, pixels: Any) -> Any:
        return _pooled(self._model.get_image_features(pixel_values=pixels))

    def tokens(self, texts: list[str]) -> tuple[Any, list[int]]:
        whole = self._tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        tokens = self._tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        )
        return tokens.to(**self._to), [max(0, len(ids) - self._length) for ids in whole]

    def text_features(self, tokens: Any) -> Any:
        given = {"input_ids": tokens["input_ids"]}
        # SigLIP was trained without a mask, and its tokenizer gives none.
        if "attention_mask" in tokens:
            given["attention_mask"] = tokens["attention_mask"]
        return _pooled(self._model.get_text_features(**given))


class _OpenClip:
    def __init__(self, params: EncoderParams) -> None:
        import torch

        open_clip: Any = import_module("open_clip")
        self._dtype = getattr(torch, params.dtype)
        model, _, preprocess = open_clip.create_model_and_transforms(
            params.model, pretrained=params.pretrained or None, device=params.device
        )
        self._model = model.to(self._dtype).eval()
        self._preprocess = preprocess
        self._tokenizer = open_clip.get_tokenizer(params.model)
        self._device = params.device
        self.scale = float(model.logit_scale.detach().float().exp())

    def pixels(self, images: list[Image.Image]) -> Any:
        import torch

        stacked = torch.stack([self._preprocess(image) for image in images])
        return stacked.to(self._device, self._dtype)

    def image_features(self, pixels: Any) -> Any:
        return self._model.encode_image(pixels)

    def tokens(self, texts: list[str]) -> tuple[Any, list[int]]:
        tokens = self._tokenizer(texts)
        padding = self._tokenizer([""])[0, -1]
        whole = self._tokenizer(texts, context_length=_COUNTED * tokens.shape[1])
        lost = (whole != padding).sum(-1) - tokens.shape[1]
        return tokens.to(self._device), lost.clamp(min=0).tolist()

    def text_features(self, tokens: Any) -> Any:
        return self._model.encode_text(tokens)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _pooled(features: Any) -> Any:
    """Return the vectors that a transformers model gives, bare or with its other outputs."""
    return getattr(features, "pooler_output", features)


def _image_processor(model: str, of_revision: dict[str, str]) -> Any:
    """Return the processor of a model that works with PIL: the others need torchvision."""
    from transformers import AutoImageProcessor

    processors: Any = AutoImageProcessor
    return processors.from_pretrained(model, backend="pil", **of_revision)
