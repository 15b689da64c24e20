"""How many samples of each cell an epoch has: all of them, or as weights say."""

from collections.abc import Mapping

from mella.errors import MellaError, unknown_name
from mella.order import apportion

_LEAST_TEMPERATURE = 0.01
_GREATEST_WEIGHT = 1e100


class WeightsError(MellaError, ValueError):
    """Weights that cannot be followed."""


def samples_per_epoch(
    sizes: Mapping[str, int],
    *,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    epoch_samples: int | None = None,
) -> list[int]:
    """Return how many samples each cell gives to an epoch.

    A cell that gives more than it has starts over, in a new order; one that gives fewer goes on in
    the next epoch where it stopped. So over the epochs every sample of a cell comes equally often.

    Args:
        sizes: Samples of each cell, by its name "SOURCE/LANG".
        weights: Shares of the epoch, of any sum: by cells ("culture/th"), by languages ("th") or by
            sources ("culture"), all of one kind and every one named. The share of a language or a
            source is divided among its cells by size.
        temperature: Sizes count as size ** (1 / temperature), as in multilingual training: 1: as
            they are; larger: small cells count more; infinity: all count the same.
        epoch_samples: Of an epoch. Default: as many as there are.

    Returns:
        Numbers in the order of `sizes`. By default these are the sizes.

    Raises:
        WeightsError: A weight or the temperature is out of range, or a name is missing.
        UnknownNameError: A name that is neither a cell nor a language nor a source here.
    """
    if not temperature >= _LEAST_TEMPERATURE:
        raise WeightsError(
            f"temperature is a number from {_LEAST_TEMPERATURE}, got {temperature!r}."
        )
    if epoch_samples is not None and not (type(epoch_samples) is int and epoch_samples >= 1):
        raise WeightsError(f"epoch_samples is a whole number from 1, got {epoch_samples!r}.")
    total = sum(sizes.values())
    if weights is None and temperature == 1 and epoch_samples in (None, total):
        return list(sizes.values())
    if not total:
        return [0] * len(sizes)
    by_size = {name: float(n) ** (1 / temperature) if n else 0.0 for name, n in sizes.items()}
    shares = by_size if weights is None else _shares(by_size, weights)
    return apportion(epoch_samples or total, list(shares.values()))


def _shares(by_size: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the share of each cell, from shares of cells, languages or sources."""
    kinds = [
        {name: name for name in by_size},
        {name: name.partition("/")[2] for name in by_size},
        {name: name.partition("/")[0] for name in by_size},
    ]
    known = {group for kind in kinds for group in kind.values()}
    for name, weight in weights.items():
        if name not in known:
            raise unknown_name("name in weights", name, known)
        if not 0 <= weight <= _GREATEST_WEIGHT:
            raise WeightsError(
                f"A weight is a number from 0 to {_GREATEST_WEIGHT:g}, got {name!r}: {weight!r}."
            )
    group_of = next((kind for kind in kinds if set(kind.values()) == set(weights)), None)
    if group_of is None:
        wanted = " or ".join(", ".join(sorted(set(kind.values()))) for kind in kinds)
        raise WeightsError(
            f"weights names {', '.join(sorted(weights)) or 'nothing'}: name all cells, or all "
            f"languages, or all sources: {wanted}."
        )
    sums: dict[str, float] = {}
    for name, size in by_size.items():
        sums[group_of[name]] = sums.get(group_of[name], 0.0) + size
    shares = {
        name: weights[group_of[name]] * size / sums[group_of[name]] if size else 0.0
        for name, size in by_size.items()
    }
    if not any(shares.values()):
        raise WeightsError("weights leaves no sample: every weight is 0, or its cells are empty.")
    return shares
