"""Tell a language from its nearest neighbours by runs of letters, with a small linear model.

Identifiers of a hundred languages keep little of each, and take Slovak for Czech and Macedonian for
Serbian where a text is short. Here each model knows one language and those that are written like
it, and nothing else. The models are the data of `neighbours.tsv`, which
`benchmarks/language_training.py` makes anew from the strings of translated programs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

NEIGHBOURS: dict[tuple[str, str], tuple[str, ...]] = {
    ("ar", "Arab"): ("fa", "ur"),
    ("cs", "Latn"): ("sk", "pl", "sl", "hr"),
    ("ru", "Cyrl"): ("uk", "be", "bg", "mk", "sr"),
    ("sr", "Cyrl"): ("mk", "bg", "ru", "uk"),
    ("sr", "Latn"): ("hr", "bs", "sl"),
}
"""By language and script: the languages that its model tells from it."""

_DATA = "neighbours.tsv"
_LONGEST = 5
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class NeighbourModel:
    """Weights of a logistic regression.

    Attributes:
        bias: Log-odds of a text without a known run of letters.
        weights: What each run of letters adds, each time that it occurs.
    """

    bias: float
    weights: dict[str, float]

    def log_odds(self, text: str) -> float:
        """Log-odds that the text is in the language rather than in one of its neighbours."""
        found = (self.weights.get(run, 0.0) for run in letter_runs(text))
        return sum(found, start=self.bias)


def letter_runs(text: str) -> Iterator[str]:
    """Yield the runs of one to five letters of each word; a space stands at its ends."""
    for word in _WORD.findall(text.casefold()):
        padded = f" {word} "
        size = len(padded)
        for start in range(size):
            for end in range(start + 1, min(start + _LONGEST, size) + 1):
                yield padded[start:end]


@cache
def neighbour_models() -> dict[tuple[str, str], NeighbourModel]:
    """Return the models by language and script; a language without an entry has no such model."""
    lines = resources.files(__package__).joinpath(_DATA).read_text("utf-8").splitlines()
    biases: dict[tuple[str, str], float] = {}
    weights: dict[tuple[str, str], dict[str, float]] = {}
    for line in lines:
        if line.startswith("#"):
            continue
        code, script, run, weight = line.split("\t")
        key = (code, script)
        if run:
            weights.setdefault(key, {})[run] = float(weight)
        else:
            biases[key] = float(weight)
    return {key: NeighbourModel(bias, weights.get(key, {})) for key, bias in biases.items()}
