"""Where a stream stands, and its state: a few integers, checked when they come back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mella.errors import MellaError
from mella.order import Layout

_VERSION = 1


class StateError(MellaError, ValueError):
    """A state that does not belong to this stream."""


@dataclass(frozen=True)
class Place:
    """Where a stream stands. Never changed, so that a state that was taken stays what it was.

    Attributes:
        epoch: That is under way.
        done: How it was divided, one division after another, and how many steps of each are done.
        worker: Which part of the last division this process reads, where it has begun.
    """

    epoch: int = 0
    done: tuple[tuple[Layout, int], ...] = ()
    worker: int | None = None

    def moved(self, layout: Layout, steps: int, worker: int | None) -> "Place":
        """Return where so many steps of a division, the last one or a new one, are done."""
        done = self.done
        earlier = done[:-1] if done and done[-1][0] == layout else done
        return Place(self.epoch, (*earlier, (layout, steps)), worker)


def to_state(place: Place, order: Mapping[str, Any]) -> dict[str, Any]:
    """Return a place as JSON-like values, with what tells the order of its samples from others."""
    return {
        "version": _VERSION,
        "epoch": place.epoch,
        "done": [
            [layout.world_size, layout.workers, layout.batch_size, layout.remainder, steps]
            for layout, steps in place.done
        ],
        "worker": place.worker,
        "order": order,
    }


def from_state(state: Mapping[str, Any], order: Mapping[str, Any]) -> Place:
    """Return the place of a state, perhaps after it was in JSON or in a file of torch.save.

    Raises:
        StateError: It is none, or that of another order of samples.
    """
    if not _is_state(state):
        raise StateError(f"This is no state of a MellaStream: {str(state)[:200]}.")
    # Through JSON, where a checkpoint may have been, tuples are lists and keys are texts.
    theirs = json.loads(json.dumps(state["order"]))
    if theirs != order:
        raise StateError(
            f"The state is of another order of samples: {_difference(theirs, order)}. Make the "
            "stream as it was made then: the same data, lang, source, split, where, weights, "
            "shuffle, seed and chunk_bytes."
        )
    done = tuple((Layout(*layout), steps) for *layout, steps in state["done"])
    return Place(state["epoch"], done, state["worker"])


def _is_state(state: object) -> bool:
    return (
        isinstance(state, Mapping)
        and state.get("version") == _VERSION
        and _is_count(state.get("epoch"), 0)
        and isinstance(state.get("order"), Mapping)
        and "worker" in state
        and isinstance(state.get("done"), list | tuple)
        and all(isinstance(one, list | tuple) and _is_division(*one) for one in state["done"])
    )


def _is_division(*values: object) -> bool:
    if len(values) != 5:
        return False
    world_size, workers, batch_size, remainder, steps = values
    sizes = (world_size, workers, batch_size)
    known = remainder in ("keep", "repeat", "drop")
    return known and all(_is_count(size, 1) for size in sizes) and _is_count(steps, 0)


def _is_count(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def _difference(theirs: Any, ours: Any) -> str:
    """Say in what two orders differ."""
    parts = [
        f"{name}={theirs.get(name)!r} there and {ours[name]!r} here"
        for name in ("seed", "chunk_bytes")
        if theirs.get(name) != ours[name]
    ]
    there, here = theirs.get("cells", {}), ours["cells"]
    parts += [f"{name} is not among the samples here" for name in sorted({*there} - {*here})]
    parts += [f"{name} was not among the samples there" for name in sorted({*here} - {*there})]
    parts += [
        f"{name} has other samples or another weight"
        for name in sorted({*there} & {*here})
        if there[name] != here[name]
    ]
    return "; ".join(parts)
