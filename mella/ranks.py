"""Which rank, and which worker of a torch DataLoader, this process is; torch is never imported."""

import os
import sys
from typing import Any

from mella.errors import OptionError, whole_number


def find_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return the rank of this process and the number of ranks.

    Those that are given; else those of torch.distributed, else of the environment, else 0 of 1.

    Raises:
        OptionError: One without the other, or no such rank.
    """
    if (rank is None) != (world_size is None):
        raise OptionError(f"rank={rank!r}, world_size={world_size!r}: give both or neither.")
    if rank is None or world_size is None:
        rank, world_size = _around()
    rank, world_size = whole_number("rank", rank), whole_number("world_size", world_size, 1)
    if not 0 <= rank < world_size:
        raise OptionError(f"rank is a number from 0 below world_size={world_size}, got {rank}.")
    return rank, world_size


def _around() -> tuple[int, int]:
    # Who has not imported torch does not run under it, and need not wait for it.
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if world_size in (None, "1") and rank in (None, "0"):
        return 0, 1
    try:
        return int(rank or ""), int(world_size or "")
    except ValueError:
        raise OptionError(
            f"$RANK={rank!r} and $WORLD_SIZE={world_size!r} are not two numbers: set both, or give "
            "rank= and world_size=."
        ) from None


def find_worker() -> tuple[int, int] | None:
    """Return the number of this worker of a torch DataLoader and how many there are."""
    data: Any = sys.modules.get("torch.utils.data")
    info = data and data.get_worker_info()
    return (info.id, info.num_workers) if info else None


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_of_rank() -> int:
    """Return how many cores this process has, of those that the ranks of this machine share."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")  # as torchrun sets it
    return max(1, cores() // int(beside)) if beside.isdecimal() and int(beside) else cores()
