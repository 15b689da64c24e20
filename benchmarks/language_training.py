"""Make `builders/culture/neighbours.tsv` and `builders/culture/calibration.toml` anew.

    python benchmarks/language_training.py build/package/annotations build

The models of the neighbours learn from the strings of programs; the calibration from emoji names
and descriptions of pictures, of those that are not held out for `benchmarks/language_id.py`.
Takes some minutes; the result is the same on each run with the same packages.
"""

import math
import random
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from language_texts import emoji_names, picture_texts, program_texts
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mella.builders.culture.language.calibration import evidence
from mella.builders.culture.language.identifiers import Ensemble
from mella.builders.culture.language.neighbours import NEIGHBOURS, letter_runs, neighbour_models
from mella.builders.culture.language.step import LanguageParams, load_identifiers
from mella.builders.culture.text.alphabets import words_in_script
from mella.languages import languages

PACKAGE = Path(__file__).parent.parent / "builders" / "culture"
TEXTS_OF_LANGUAGE = 4000
RUNS_OF_MODEL = 4000
EPOCHS = 6
CALIBRATED_ON = 200
OTHERS = {"Latn": ("en", "de", "fr", "es", "it", "nl", "tr")}
NEAR = {("hu", "Latn"): ("sk", "ro", "cs"), ("vi", "Latn"): ("cs", "ro"), **NEIGHBOURS}


def locale(code: str, script: str) -> str:
    """Return the name of a language and script in CLDR."""
    return f"{code}-Latn" if (code, script) == ("sr", "Latn") else code


def train(build: Path, code: str, script: str) -> list[tuple[str, float]]:
    """Return the weights of a model by run of letters; "" is the bias."""
    draw = random.Random(1)
    own = [item.text for item in program_texts(build, locale(code, script))]
    own = draw.sample(own, min(len(own), TEXTS_OF_LANGUAGE))
    texts, answers = list(own), [1.0] * len(own)
    for other in NEIGHBOURS[code, script]:
        near = [item.text for item in program_texts(build, other)]
        near = draw.sample(near, min(len(near), TEXTS_OF_LANGUAGE // 2))
        texts += near
        answers += [0.0] * len(near)
    counted = [Counter(letter_runs(text)) for text in texts]
    ours = Counter(chain.from_iterable(counted[: len(own)]))
    theirs = Counter(chain.from_iterable(counted[len(own) :]))
    strength = {
        run: abs(math.log((ours[run] + 1) / (theirs[run] + 1))) * (ours[run] + theirs[run]) ** 0.5
        for run in sorted({*ours, *theirs})
    }
    runs = sorted(sorted(strength, key=lambda run: (-strength[run], run))[:RUNS_OF_MODEL])
    weights, bias = _fit(counted, answers, runs)
    return [("", bias), *weights.items()]


def _fit(
    counted: list[Counter[str]], answers: list[float], runs: list[str]
) -> tuple[dict[str, float], float]:
    """Fit a logistic regression on counts of runs; both classes weigh the same."""
    torch.manual_seed(1)
    place = {run: index for index, run in enumerate(runs)}
    rows = [
        torch.tensor([place[run] for run in one.elements() if run in place], dtype=torch.long)
        for one in counted
    ]
    table = torch.nn.EmbeddingBag(len(runs), 1, mode="sum")
    torch.nn.init.zeros_(table.weight)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([table.weight, bias], lr=0.02)
    target = torch.tensor(answers)
    share = target.mean()
    weight = torch.where(target > 0, 0.5 / share, 0.5 / (1 - share))
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(512):
            picked = [rows[index] for index in batch.tolist()]
            offsets = torch.tensor([0, *(len(row) for row in picked)][:-1]).cumsum(0)
            odds = table(torch.cat(picked), offsets).squeeze(1) + bias
            loss = binary_cross_entropy_with_logits(odds, target[batch], weight=weight[batch])
            loss = loss + 2e-5 * table.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    values = [round(value, 2) for value in table.weight.detach().squeeze(1).tolist()]
    return dict(zip(runs, values, strict=True)), round(bias.item(), 2)


def calibrate(
    root: Path, build: Path, code: str, script: str, ensemble: Ensemble
) -> tuple[float, float, float]:
    """Return bias and weights of the identifiers and of the neighbours' model, per language."""
    near = NEAR.get((code, script), ())
    features: list[tuple[float, float]] = []
    answers: list[float] = []
    weights: list[float] = []
    for other in (locale(code, script), *near, *OTHERS.get(script, ())):
        texts = _held_in(root, build, other)
        own = float(other == locale(code, script))
        features += [
            evidence(text, code, script, ensemble.shares(words_in_script(text, script)))
            for text in texts
        ]
        answers += [own] * len(texts)
        # The neighbours weigh as much as the language, and so do all others together.
        group = 1.0 if own else (1 / len(near) if other in near else 1 / len(OTHERS[script]))
        weights += [group / len(texts)] * len(texts)
    return _fit_calibration(features, answers, weights)


def _held_in(root: Path, build: Path, name: str) -> Sequence[str]:
    items = [*emoji_names(root, name), *picture_texts(build, name)]
    texts = [item.text for item in items if not item.held_out]
    return random.Random(1).sample(texts, min(len(texts), CALIBRATED_ON))


def _fit_calibration(
    features: list[tuple[float, float]], answers: list[float], weights: list[float]
) -> tuple[float, float, float]:
    x, y = torch.tensor(features, dtype=torch.float64), torch.tensor(answers, dtype=torch.float64)
    weight = torch.tensor(weights, dtype=torch.float64)
    values = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")
    optimizer.step(partial(_loss, optimizer, values, x, y, weight))
    bias, models, letters = (round(value, 3) for value in values.tolist())
    return bias, models, letters


def _loss(
    optimizer: torch.optim.Optimizer, values: Tensor, x: Tensor, y: Tensor, weight: Tensor
) -> Tensor:
    optimizer.zero_grad()
    odds = values[0] + x @ values[1:]
    loss = binary_cross_entropy_with_logits(odds, y, weight=weight, reduction="sum")
    loss = loss + 1e-3 * values.square().sum()
    loss.backward()
    return loss


def main(root: Path, build: Path) -> None:
    """Write both files."""
    lines = ["# Made by benchmarks/language_training.py: language, script, run of letters, weight"]
    for code, script in sorted(NEIGHBOURS):
        for run, weight in train(build, code, script):
            lines.append(f"{code}\t{script}\t{run}\t{weight}")
        print(code, script, len(lines), flush=True)
    (PACKAGE / "neighbours.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    neighbour_models.cache_clear()
    ensemble = load_identifiers(LanguageParams(tuple(languages().values())))
    lines = ["# Made by benchmarks/language_training.py: see calibration.py."]
    for code, script in sorted(NEAR):
        bias, models, letters = calibrate(root, build, code, script, ensemble)
        lines += ["", f"[{code}-{script}]", f"bias = {bias}", f"models = {models}"]
        lines += [f"letters = {letters}"]
        print(code, script, bias, models, letters)
    (PACKAGE / "calibration.toml").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
