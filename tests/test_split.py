"""Splits: by domain and by hash, stable as the data grow, and no image in two of them."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.curate.split import SplitParams, split_of, split_step, strictest
from stepping import apply, reasons

EVEN = SplitParams(validation=0.3, test=0.3)

ROWS = st.lists(
    st.builds(
        lambda image, domain: {"sha256": image, "domain": domain},
        st.sampled_from("abcdef"),
        st.one_of(st.none(), st.integers(0, 20).map("site{}.example".format)),
    ),
    max_size=20,
)


@given(ROWS, ROWS)
def test_more_data_never_change_the_split_of_other_domains(rows, more):
    alone = apply(split_step(EVEN), rows)
    grown = apply(split_step(EVEN), [*rows, *more])[: len(rows)]
    assert [one["split"] for one in grown] == [one["split"] for one in alone]
    # What more data may do is to show that an image stands in a stricter split as well.
    for before, after in zip(reasons(alone), reasons(grown), strict=True):
        assert after is not None or before is None


@given(ROWS)
def test_no_image_is_in_two_splits_and_none_is_lost(rows):
    splits, domains = defaultdict(set), defaultdict(set)
    for row, made in zip(rows, apply(split_step(EVEN), rows), strict=True):
        if made["reason"] is None:
            splits[row["sha256"]].add(made["split"])
        domains[row["domain"] or row["sha256"]].add(made["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {*splits} == {row["sha256"] for row in rows}
    assert all(len(found) == 1 for found in domains.values())


def test_of_an_image_in_several_splits_the_strictest_rows_are_kept():
    of = {split_of(f"site{n}.example", EVEN): f"site{n}.example" for n in range(50)}
    rows = [{"sha256": "a", "domain": of[split]} for split in ("train", "validation", "test")]
    assert apply(split_step(EVEN), rows) == [
        {"split": "train", "reason": "split:image_in_test"},
        {"split": "validation", "reason": "split:image_in_test"},
        {"split": "test", "reason": None},
    ]
    assert reasons(apply(split_step(EVEN), rows[:2])) == ["split:image_in_validation", None]
    assert strictest(["train", "validation", "train"]) == "validation"


CLUSTERS = st.lists(
    st.builds(
        lambda image, domain: {"sha256": image, "domain": domain, "cluster": image.lower()},
        st.sampled_from("abcABC"),
        st.one_of(st.none(), st.integers(0, 20).map("site{}.example".format)),
    ),
    max_size=20,
)


@given(CLUSTERS)
def test_no_cluster_and_no_image_is_in_two_splits(rows):
    step = split_step(EVEN, by="cluster")
    clusters, images = defaultdict(set), defaultdict(set)
    for row, made in zip(rows, apply(step, rows), strict=True):
        assert made["split"] == split_of(row["domain"] or row["sha256"], EVEN)
        if made["reason"] is None:
            clusters[row["cluster"]].add(made["split"])
            images[row["sha256"]].add(made["split"])
    assert all(len(found) == 1 for found in (*clusters.values(), *images.values()))
    assert {*clusters} == {row["cluster"] for row in rows}


@given(CLUSTERS, CLUSTERS)
def test_more_data_never_move_a_cluster_to_a_laxer_split(rows, more):
    step = split_step(EVEN, by="cluster")
    alone, grown = apply(step, rows), apply(step, [*rows, *more])[: len(rows)]
    assert [one["split"] for one in grown] == [one["split"] for one in alone]
    for before, after in zip(reasons(alone), reasons(grown), strict=True):
        assert after is not None or before is None


def test_look_alikes_on_other_domains_follow_the_strictest():
    of = {split_of(f"site{n}.example", EVEN): f"site{n}.example" for n in range(50)}
    rows = [
        {"sha256": split, "cluster": "c", "domain": of[split]}
        for split in ("train", "validation", "test")
    ]
    assert reasons(apply(split_step(EVEN, by="cluster"), rows)) == [
        *("split:image_in_test", "split:image_in_test", None)
    ]
    # By their bytes they are three images.
    assert reasons(apply(split_step(EVEN), rows)) == [None, None, None]


@pytest.mark.parametrize("params", [SplitParams(), EVEN, SplitParams(salt="other")])
def test_shares_are_about_right_over_ten_thousand_domains(params):
    splits = [split_of(f"site-{number}.example", params) for number in range(10_000)]
    for split, share in (("validation", params.validation), ("test", params.test)):
        spread = (10_000 * share * (1 - share)) ** 0.5
        assert abs(splits.count(split) - 10_000 * share) < 4 * spread


@pytest.mark.parametrize(
    ("params", "only"),
    [
        (SplitParams(validation=0, test=0), "train"),
        (SplitParams(validation=1, test=0), "validation"),
        (SplitParams(validation=0, test=1), "test"),
    ],
)
def test_a_split_may_be_empty_or_everything(params, only):
    assert {split_of(f"site-{number}.example", params) for number in range(200)} == {only}


def test_another_salt_makes_another_split():
    names = [f"site-{number}.example" for number in range(100)]
    other = SplitParams(EVEN.validation, EVEN.test, salt="other")
    assert [split_of(one, EVEN) for one in names] != [split_of(one, other) for one in names]


def test_these_domains_stay_where_published_data_have_them():
    held = [n for n in range(300) if split_of(f"site-{n}.example", SplitParams()) != "train"]
    assert held == [4, 37, 53, 93, 150, 176, 180, 281, 285]


@pytest.mark.parametrize(
    ("validation", "test"),
    [(-0.1, 0.1), (0.1, -0.1), (0.6, 0.5), (float("nan"), 0.1), (0.1, float("nan"))],
)
def test_shares_that_are_none_are_refused(validation, test):
    with pytest.raises(ValueError, match="shares of the whole"):
        SplitParams(validation, test)
