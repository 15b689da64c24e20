"""The order of samples: permutations, mixtures and divisions, over grids and at random."""

import json
import subprocess
import sys
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.order import (
    CellOrder,
    Layout,
    Mix,
    Span,
    after,
    apportion,
    derive_seed,
    divide,
    length,
    permutation,
    random_bits,
    remaining,
)

PINNED = [11, 4, 5, 3, 9, 1, 8, 6, 0, 10, 7, 2, 8, 7, 4, 10, 5, 6, 9, 1, 3, 0, 2, 11]

counts = st.lists(st.integers(0, 40), min_size=1, max_size=6)
layouts = st.builds(
    Layout,
    world_size=st.integers(1, 8),
    workers=st.integers(1, 4),
    batch_size=st.integers(1, 7),
    remainder=st.sampled_from(["keep", "repeat", "drop"]),
)


def positions(spans: list[Span]) -> list[int]:
    return [position for start, stop in spans for position in range(start, stop)]


def all_of(spans: list[Span], layout: Layout) -> list[int]:
    return [
        position
        for _, parts in divide(spans, layout)
        for part in parts
        for position in positions(part)
    ]


# Random numbers


def test_random_bits_are_those_of_splitmix64() -> None:
    # Reference values for seed 1234567, from the Java and C implementations.
    first = random_bits(1234567, 0, 3).tolist()
    assert first == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_bits_of_a_part_are_a_part_of_the_random_bits() -> None:
    whole = random_bits(2**64 - 1, 0, 100)
    assert (random_bits(2**64 - 1, 40, 60) == whole[40:60]).all()


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_permutation_has_every_number_once(count: int) -> None:
    assert sorted(permutation(7, count).tolist()) == list(range(count))


def test_permutations_are_random() -> None:
    # Where number 0 lands: 2000 seeds, 10 places, so 200 each with a standard deviation of 13.
    places = Counter(int(np.argmin(permutation(derive_seed(seed), 10))) for seed in range(2000))
    assert len(places) == 10
    assert all(140 < times < 260 for times in places.values())


def test_seeds_depend_on_all_their_parts() -> None:
    seeds = {derive_seed(*parts) for parts in ((1, "a", 2), (1, "a", 3), (2, "a", 2), (12, "a"))}
    assert len(seeds) == 4


# Mixing


@given(counts)
def test_a_mix_has_each_sample_of_each_cell_once_and_in_order(sizes: list[int]) -> None:
    mix = Mix(sizes)
    cells, numbers = mix.between(0, mix.total)
    for cell, size in enumerate(sizes):
        assert numbers[cells == cell].tolist() == list(range(size))


@given(counts, st.data())
def test_any_stretch_of_a_mix_is_found_without_walking_there(
    sizes: list[int], data: st.DataObject
) -> None:
    mix = Mix(sizes)
    cells, numbers = mix.between(0, mix.total)
    start = data.draw(st.integers(0, mix.total))
    stop = data.draw(st.integers(start, mix.total))
    part = mix.between(start, stop)
    assert part[0].tolist() == cells[start:stop].tolist()
    assert part[1].tolist() == numbers[start:stop].tolist()
    assert mix.before(start) == tuple((cells[:start] == c).sum() for c in range(len(sizes)))


@given(counts)
def test_every_stretch_of_a_mix_has_its_share_of_each_cell(sizes: list[int]) -> None:
    mix = Mix(sizes)
    for position in range(0, mix.total + 1, 7):
        for size, seen in zip(sizes, mix.before(position), strict=True):
            assert abs(seen - position * size / mix.total if mix.total else 0) <= len(sizes)


def test_a_large_mix_is_exact_where_floats_are_not() -> None:
    sizes = [10**9, 10**9 - 1, 3, 7 * 10**8]
    mix = Mix(sizes)
    for position in (0, 1, mix.total // 3, mix.total // 2, mix.total - 5, mix.total):
        before = mix.before(position)
        assert sum(before) == position
        cells, numbers = mix.between(position, min(position + 50, mix.total))
        for cell, number in zip(cells.tolist(), numbers.tolist(), strict=True):
            assert number == before[cell]
            before = tuple(n + (c == cell) for c, n in enumerate(before))


# The order within a cell


@pytest.mark.parametrize(("seed", "window"), [*product([None, 0, 5], [1, 4, 100])])
@pytest.mark.parametrize("ends", [[1], [3, 4, 9], list(range(5, 105, 5)), [7, 8, 30, 31, 64]])
def test_an_epoch_of_a_cell_has_every_row_once(
    seed: int | None, window: int, ends: list[int]
) -> None:
    order = CellOrder(np.array(ends), seed, "culture/th", window)
    size = ends[-1]
    epochs = [
        np.concatenate([block.rows for block in order.blocks(epoch * size, (epoch + 1) * size)])
        for epoch in range(3)
    ]
    for rows in epochs:
        assert sorted(rows.tolist()) == list(range(size))
    if seed is None:
        assert all(rows.tolist() == list(range(size)) for rows in epochs)
    elif size > 20:
        assert len({tuple(rows.tolist()) for rows in epochs}) == 3
    # A stretch over the border of two epochs, found without walking there.
    both = np.concatenate(epochs[:2])
    middle = [block.rows for block in order.blocks(size // 2, size + size // 2)]
    assert np.concatenate(middle).tolist() == both[size // 2 : size + size // 2].tolist()


def test_a_block_lies_in_a_few_chunks_and_says_in_which() -> None:
    ends = np.arange(10, 210, 10)
    order = CellOrder(ends, 3, "culture/th", 4)
    blocks = list(order.blocks(0, 200))
    assert [len(block.rows) for block in blocks] == [40] * 5
    for rows, chunks in blocks:
        assert len(set(chunks.tolist())) == 4
        assert (rows // 10 == chunks).all()
        assert chunks.tolist() != sorted(chunks.tolist())


def test_cells_and_seeds_have_orders_of_their_own() -> None:
    ends = np.arange(5, 105, 5)
    orders = {
        tuple(next(CellOrder(ends, seed, name, 4).blocks(0, 100)).rows.tolist())
        for seed, name in product([1, 2], ["culture/th", "culture/vi"])
    }
    assert len(orders) == 4


def test_the_order_is_the_same_everywhere_and_for_ever() -> None:
    order = CellOrder(np.array([4, 6, 11, 12]), 42, "culture/th", 2)
    rows = [row for block in order.blocks(0, 24) for row in block.rows.tolist()]
    assert rows == PINNED
    # In another process, with another hash seed.
    code = (
        "import json, numpy as np; from mella.order import CellOrder; "
        "order = CellOrder(np.array([4, 6, 11, 12]), 42, 'culture/th', 2); "
        "print(json.dumps([row for b in order.blocks(0, 24) for row in b.rows.tolist()]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONHASHSEED": "9"}
    )
    assert json.loads(found.stdout) == rows


# Dividing


@settings(max_examples=300)
@given(st.integers(0, 300), layouts)
def test_a_division_leaves_nothing_out_and_gives_nothing_twice(total: int, layout: Layout) -> None:
    found = all_of([(0, total)], layout)
    if layout.remainder == "keep":
        assert found == list(range(total))
    elif layout.remainder == "drop":
        assert found == list(range(len(found)))
        assert total - len(found) < layout.world_size * layout.batch_size
    elif total:
        extra = -total % layout.world_size
        assert Counter(found) == Counter([p % total for p in range(total + extra)])


@settings(max_examples=300)
@given(st.integers(0, 300), layouts)
def test_all_ranks_have_as_many_steps(total: int, layout: Layout) -> None:
    shares = layout.shares(total)
    sizes = [[share.size(step) for step in range(share.steps)] for share in shares]
    assert [sum(one) for one in sizes] == [share.samples for share in shares]
    assert all(1 <= size <= layout.batch_size for one in sizes for size in one)
    enough = layout.batch_size > 1 and total >= layout.world_size
    if layout.remainder != "keep" or enough:
        assert len({share.steps for share in shares}) == 1
    if layout.remainder == "drop":
        assert {size for one in sizes for size in one} <= {layout.batch_size}
    for share in shares:
        for step in range(share.steps + 2):
            by_worker = [share.taken(k, layout.workers, step) for k in range(layout.workers)]
            assert sum(by_worker) == sum(share.size(i) for i in range(min(step, share.steps)))


@settings(max_examples=300)
@given(st.integers(0, 200), st.lists(st.tuples(layouts, st.integers(0, 9)), max_size=4), layouts)
def test_resuming_in_other_divisions_again_and_again_is_exact(
    total: int, history: list[tuple[Layout, int]], last: Layout
) -> None:
    spans: list[Span] = [(0, total)]
    taken: list[int] = []
    for layout, steps in history:
        for share, parts in divide(spans, layout):
            for worker, part in enumerate(parts):
                taken += positions(part)[: share.taken(worker, layout.workers, steps)]
        spans = remaining(spans, layout, steps)
    kept = all(layout.remainder != "repeat" for layout, _ in history)
    everything = Counter(taken) + Counter(positions(spans))
    assert set(everything) == set(range(total))
    if kept:
        assert set(everything.values()) <= {1}
    if last.remainder == "keep":
        assert all_of(spans, last) == positions(spans)


def test_parts_of_a_division_are_stretches_so_that_no_two_read_the_same_chunks() -> None:
    parts = [
        part for _, of_rank in divide([(0, 1000)], Layout(4, 3, batch_size=8)) for part in of_rank
    ]
    assert len(parts) == 12
    assert all(len(part) == 1 for part in parts)
    assert [part[0][0] for part in parts[1:]] == [part[0][1] for part in parts[:-1]]


def test_the_state_stays_small_however_often_a_run_is_resumed() -> None:
    spans: list[Span] = [(0, 10**6)]
    for number in range(20):
        spans = remaining(spans, Layout(1 + number % 7, 1 + number % 3, 4), 1000)
    assert len(spans) < 20 * 7 * 3
    assert length(spans) > 0


def test_after_leaves_out_what_came_first() -> None:
    assert after([(0, 3), (10, 12)], 0) == [(0, 3), (10, 12)]
    assert after([(0, 3), (10, 12)], 4) == [(11, 12)]
    assert after([(0, 3)], 9) == []


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_parts_sum_to_the_whole(total: int, shares: list[float]) -> None:
    parts = apportion(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - total * share / sum(shares)) < 1 + 1e-6
