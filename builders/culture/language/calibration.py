"""Turn what models say of a text into log-odds that hold: how much to believe them, by language.

Identifiers are too sure of some languages and too shy of others. `calibration.toml` has, for each
language and script, a logistic regression on two kinds of evidence, fitted by
`benchmarks/language_training.py` on emoji names and descriptions of pictures: those of the
language, of its neighbours, and, of the same weight, of other languages in Latin letters.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from mella.builders.culture.language.neighbours import neighbour_models
from mella.builders.culture.language.serbian import TWINS
from mella.builders.culture.text.alphabets import foreign_share

_DATA = "calibration.toml"
# No model says more than this for or against a language.
_CERTAIN = 0.999
# Nor do letters, as log-odds.
_MOST_OF_LETTERS = 12.0
# Where every second word has a letter that the language lacks, the odds fall to a quarter.
_LETTERS_COUNT = 2.0


@dataclass(frozen=True)
class Calibration:
    """Log-odds of a language, where half of the texts are in it, from the evidence of `evidence`.

    Attributes:
        bias: Log-odds where the evidence says nothing.
        models: Weight of what the identifiers say.
        letters: Weight of what the letters say.
    """

    bias: float = 0.0
    models: float = 1.0
    letters: float = 1.0

    def log_odds(self, models: float, letters: float) -> float:
        """Weigh both kinds of evidence."""
        return self.bias + self.models * models + self.letters * letters


def evidence(
    text: str, code: str, script: str, shares: dict[str, float], *, weight: float = 1.0
) -> tuple[float, float]:
    """Return the evidence of a text for a language, both as log-odds.

    Args:
        text: The text; only its words in the script should be there.
        code: The language.
        script: The script, ISO 15924.
        shares: What the identifiers say, as `Ensemble.shares`.
        weight: Weight of the identifiers, less than 1 for a short text.

    Returns:
        What the identifiers say, with the twins that they cannot tell apart; and what the letters
        say: the model of the neighbours, and letters that the language lacks.
    """
    family = (code, *TWINS.get((code, script), ()))
    share = math.fsum(shares.get(one, 0.0) for one in family)
    share = min(max(share, 1 - _CERTAIN), _CERTAIN)
    own = 1 - foreign_share(text, code, script)
    letters = _LETTERS_COUNT * math.log(max(own, 1 - _CERTAIN))
    model = neighbour_models().get((code, script))
    if model is not None:
        letters += model.log_odds(text)
    letters = min(max(letters, -_MOST_OF_LETTERS), _MOST_OF_LETTERS)
    return weight * math.log(share / (1 - share)), letters


@cache
def calibrations() -> dict[tuple[str, str], Calibration]:
    """Return what was fitted, by language and script. A language without an entry is taken as is.

    Such a language is judged by `Calibration()`: its evidence is believed.
    """
    tables = tomllib.loads(resources.files(__package__).joinpath(_DATA).read_text("utf-8"))
    return {
        (name.partition("-")[0], name.partition("-")[2]): Calibration(**table)
        for name, table in tables.items()
    }
