"""Shelves: which shard each sample is in, whatever the order in which the samples came."""

import re
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.curate.shelve import ShelveParams, shard_count, shelve_step
from stepping import apply, reasons

SMALL = ShelveParams("culture", max_bytes=40_000, min_bytes=10_000)
_SHARD = re.compile(r"culture/(\w\w)/culture-\1-(\w+)-(\d{5})-of-(\d{5})\.tar")


def rows_of(sizes, lang="th", split="train"):
    return [
        {"lang": lang, "split": split, "sha256": f"{number:064x}", "text": "วัด", "bytes": size}
        for number, size in enumerate(sizes)
    ]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 30_000), st.sampled_from(["th", "vi"]), st.sampled_from(["train", "test"])
    ),
    max_size=40,
).map(
    lambda some: [
        {"lang": lang, "split": split, "sha256": f"{n:064x}", "text": "text", "bytes": size}
        for n, (size, lang, split) in enumerate(some)
    ]
)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_shards_do_not_depend_on_the_order(rows, chance):
    def places(some):
        return {one["key"]: one["shard"] for one in apply(shelve_step(SMALL), some)}

    assert places(chance.sample(rows, len(rows))) == places(rows)


@given(ROWS)
def test_no_shard_is_empty_and_its_name_tells_its_place(rows):
    numbers, counts = defaultdict(set), defaultdict(set)
    for row, made in zip(rows, apply(shelve_step(SMALL), rows), strict=True):
        assert made["reason"] is None
        name = _SHARD.fullmatch(made["shard"])
        assert name
        lang, split, number, count = name.groups()
        assert (lang, split) == (row["lang"], row["split"])
        numbers[lang, split].add(int(number))
        counts[lang, split].add(int(count))
    for cell, found in numbers.items():
        assert counts[cell] == {len(found)}
        assert found == set(range(len(found)))


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=100))
def test_shards_have_about_equal_sizes(sizes):
    made = apply(shelve_step(SMALL), rows_of(sizes))
    held: defaultdict[str, int] = defaultdict(int)
    for size, row in zip(sizes, made, strict=True):
        held[row["shard"]] += size + 3072
    whole, largest = sum(held.values()), max(sizes) + 3072
    # A shard ends with the sample in which it comes to its share.
    share = whole / shard_count(whole, SMALL)
    assert max(held.values()) < share + largest
    assert share <= SMALL.max_bytes


@pytest.mark.parametrize(
    ("nbytes", "count"),
    [
        (1, 1),
        (40_000, 1),
        (40_001, 2),
        (79_999, 2),  # eight would be smaller than they may be
        (80_000, 8),
        (320_000, 8),
        (320_001, 16),
        (100_000_000, 2504),
    ],
)
def test_counts_are_multiples_of_eight_where_sizes_allow(nbytes, count):
    assert shard_count(nbytes, SMALL) == count


@given(st.integers(1, 10**13), st.integers(1, 10**9), st.integers(0, 10**9))
def test_a_shard_is_never_larger_than_it_may_be_nor_smaller_if_there_are_eight(nbytes, least, more):
    params = ShelveParams("culture", max_bytes=least + more, min_bytes=least)
    count = shard_count(nbytes, params)
    assert nbytes <= count * params.max_bytes
    # Fewer would be too large, or no multiple of eight.
    assert count == 1 or nbytes > (count - 8) * params.max_bytes
    if count % 8:
        assert nbytes < -(-count // 8) * 8 * params.min_bytes


def test_even_samples_fill_a_multiple_of_eight():
    made = apply(shelve_step(SMALL), rows_of([2000] * 100))
    counts = [sum(row["shard"] == shard for row in made) for shard in {r["shard"] for r in made}]
    assert len(counts) == 16
    assert {*counts} <= {6, 7}


def test_a_sample_that_comes_twice_is_rejected_once():
    rows = rows_of([10, 10])
    made = apply(shelve_step(SMALL), [*rows, rows[0], {**rows[0], "split": "test"}])
    assert reasons(made) == [None, None, "duplicate:sample", "duplicate:sample"]
    assert made[2]["key"] == made[0]["key"]
    assert made[2]["shard"] is None


def test_keys_differ_by_source_language_image_and_text():
    one = rows_of([10])[0]
    rows = [one, {**one, "lang": "vi"}, {**one, "sha256": "f" * 64}, {**one, "text": "chùa"}]
    keys = [row["key"] for row in apply(shelve_step(SMALL), rows)]
    keys += [row["key"] for row in apply(shelve_step(ShelveParams("linguistics")), rows)]
    assert len({*keys}) == 8
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)


@pytest.mark.parametrize(("least", "most"), [(0, 10), (-1, 10), (11, 10), (0, 0)])
def test_sizes_that_fit_nothing_are_refused(least, most):
    with pytest.raises(ValueError, match="must be more than 0"):
        ShelveParams("culture", max_bytes=most, min_bytes=least)
