"""Hamming search: all that is near is found, once, and nothing else."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.builders.curate import hamming
from mella.builders.curate.hamming import MAX_DISTANCE, HammingIndex, near_pairs

DISTANCES = st.integers(0, MAX_DISTANCE)


@st.composite
def families(draw):
    """Hashes that come in families: each differs in few bits, anywhere, from one of some others."""
    heads = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    hashes = []
    for _ in range(draw(st.integers(0, 30))):
        bits = draw(st.sets(st.integers(0, 63), max_size=MAX_DISTANCE + 2))
        hashes.append(draw(st.sampled_from(heads)) ^ sum(1 << bit for bit in bits))
    return np.array(hashes, dtype=np.uint64)


def found(hashes, distance):
    """Every pair that is yielded, as often as it is."""
    pairs: list[tuple[int, int]] = []
    for left, right in near_pairs(hashes, distance):
        assert left.shape == right.shape
        pairs += zip(left.tolist(), right.tolist(), strict=True)
    return sorted(tuple(sorted(pair)) for pair in pairs)


def brute_force(hashes, distance):
    numbers = hashes.tolist()
    return [
        (a, b)
        for a, b in combinations(range(len(numbers)), 2)
        if (numbers[a] ^ numbers[b]).bit_count() <= distance
    ]


@settings(deadline=None)
@given(families(), DISTANCES)
def test_each_near_pair_is_found_once(hashes, distance):
    assert found(hashes, distance) == brute_force(hashes, distance)


@settings(deadline=None, max_examples=40)
@given(families(), st.integers(0, 6), st.integers(1, hamming._MOST_BLOCKS))
def test_whatever_tables_are_chosen(hashes, distance, blocks):
    with pytest.MonkeyPatch.context() as patch:
        # As if sorting were free or comparing were: from one block to as many as there may be.
        patch.setattr(hamming, "_MOST_BLOCKS", blocks)
        patch.setattr(hamming, "_SORT", 0)
        assert found(hashes, distance) == brute_force(hashes, distance)
        assert HammingIndex(hashes, distance).contains(hashes).all()


@settings(deadline=None)
@given(families(), families(), DISTANCES)
def test_what_is_near_to_something_known_is_told(known, asked, distance):
    expected = [
        any((one ^ other).bit_count() <= distance for other in known.tolist())
        for one in asked.tolist()
    ]
    assert HammingIndex(known, distance).contains(asked).tolist() == expected


def spread(count, seed=1):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


@pytest.mark.parametrize("count", [3000, 60_000])
def test_among_many_none_is_missed(count):
    heads = np.unique(spread(count))
    near = heads[:500].copy()
    for seed in range(5):
        near ^= np.uint64(1) << np.random.default_rng(seed).integers(0, 64, 500, dtype=np.uint64)
    hashes = np.concatenate([heads, near])
    expected = {(number, len(heads) + number) for number in range(500)}
    assert expected <= {*found(hashes, 5)}
    assert len(found(hashes, 5)) < 600


def test_hashes_that_share_most_bits_are_told_apart():
    # All of the first 44 bits are equal: most tables hold one long run of equal keys.
    hashes = np.unique(spread(1500) & np.uint64((1 << 20) - 1))
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = np.argwhere(np.triu(distances <= 2, 1))
    assert found(hashes, 2) == sorted(map(tuple, expected.tolist()))


def test_more_distance_or_hashes_mean_longer_keys_and_more_tables():
    def count(hashes, distance):
        return len(hamming._tables(hashes, hashes, distance))

    assert count(1000, 5) == 6
    assert count(1000, 5) < count(100_000, 5) < count(100_000_000, 5)


def test_no_hashes_have_no_pairs():
    empty = np.empty(0, np.uint64)
    assert found(empty, 5) == []
    assert HammingIndex(empty, 5).contains(spread(3)).tolist() == [False] * 3
    assert HammingIndex(spread(3), 5).contains(empty).tolist() == []


@pytest.mark.parametrize("distance", [-1, MAX_DISTANCE + 1])
def test_a_distance_out_of_range_is_refused(distance):
    with pytest.raises(ValueError, match="0 to 16"):
        list(near_pairs(spread(3), distance))
    with pytest.raises(ValueError, match=str(distance)):
        HammingIndex(spread(3), distance)
