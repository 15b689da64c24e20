"""Look-alikes: clusters that do not chain, one row of each in a language, its texts remembered."""

import random
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.builders.culture.images.phash import perceptual_hash, to_text
from mella.builders.curate.clusters import ClustersParams, Pairs, clusters_step, stars
from mella.builders.curate.near_duplicates import NearDuplicatesParams, near_duplicates_step
from mella.builders.engine.executor import LocalExecutor
from mella.builders.engine.runner import Pipeline, run
from mella.builders.engine.step import REASON, Step
from pictures import load, picture, save
from stepping import apply, reasons

RICH = 0x5A3C_96F0_A55A_3CC3
"""A hash of a picture with something to tell."""


def flipped(number, *bits):
    for bit in bits:
        number ^= 1 << bit
    return number


def clusters(*hashes, **params):
    """The clusters of images with these hashes: numbers, or None."""
    rows = [
        {"sha256": f"{n:064x}", "phash": None if one is None else to_text(one)}
        for n, one in enumerate(hashes)
    ]
    return [row["cluster"] for row in apply(clusters_step(ClustersParams(**params)), rows)]


def star(count, pairs):
    left, right = np.array(pairs, np.int32).reshape(-1, 2).T
    return stars(count, [(left, right)]).tolist()


# Clusters


def test_what_looks_alike_is_one_cluster_named_by_its_middle():
    near = [RICH, flipped(RICH, 0, 9), flipped(RICH, 0, 9, 20, 30, 40)]
    assert clusters(*near, ~RICH & 2**64 - 1) == [to_text(RICH)] * 3 + [to_text(~RICH & 2**64 - 1)]


def test_a_bit_too_many_is_another_cluster():
    at = [flipped(RICH, *range(bits)) for bits in (5, 6)]
    assert len({*clusters(RICH, at[0])}) == 1
    assert len({*clusters(RICH, at[1])}) == 2
    assert len({*clusters(RICH, at[1], max_distance=6)}) == 1
    assert len({*clusters(RICH, flipped(RICH, 0), max_distance=0)}) == 2


def test_a_chain_is_cut():
    # Each is near to the next one, and the last is unlike the first in all that it can be.
    chain = [flipped(RICH, *range(3 * links)) for links in range(20)]
    found = clusters(*chain)
    members = defaultdict(list)
    for number, cluster in zip(chain, found, strict=True):
        members[cluster].append(number)
    assert 1 < len(members) < len(chain)
    for alike in members.values():
        assert max((a ^ b).bit_count() for a in alike for b in alike) <= 2 * 5


def test_a_hash_that_says_little_makes_no_cluster():
    hashes = [0, 0, 1 << 60, 0xFF00_0000_0000_FFFF]
    assert clusters(*hashes) == [f"{n:064x}" for n in range(4)]
    assert len({*clusters(*hashes, min_bits=0)}) == 2


def test_an_image_without_a_hash_is_alone():
    assert clusters(None, RICH, None) == [f"{0:064x}", to_text(RICH), f"{2:064x}"]
    assert clusters(None) == [f"{0:064x}"]


def test_one_image_is_in_one_cluster_whatever_hashes_it_has():
    step = clusters_step(ClustersParams())
    far = flipped(RICH, *range(30))
    rows = [{"sha256": "a", "phash": one} for one in (to_text(RICH), to_text(far), None)]
    assert len({row["cluster"] for row in apply(step, rows)}) == 1


def test_the_star_with_the_most_neighbours_comes_first():
    assert star(4, [(0, 1), (1, 2), (1, 3)]) == [1, 1, 1, 1]
    assert star(5, [(0, 1), (1, 2), (2, 3), (3, 4)]) == [1, 1, 1, 3, 3]
    assert star(3, []) == [0, 1, 2]
    assert stars(3, []).tolist() == [0, 1, 2]


GRAPHS = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))).map(
            lambda pairs: sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
        ),
    )
)


@given(GRAPHS)
def test_each_item_is_a_middle_or_beside_one(graph):
    count, pairs = graph
    middles = star(count, pairs)
    for item, middle in enumerate(middles):
        assert middles[middle] == middle
        assert item == middle or (min(item, middle), max(item, middle)) in pairs
    # No two middles are near: they would have been one star.
    chosen = sorted(set(middles))
    assert not {(a, b) for a in chosen for b in chosen} & {*pairs}


HASHES = st.lists(
    st.builds(
        lambda base, bits: flipped(base, *bits),
        st.sampled_from([RICH, ~RICH & 2**64 - 1, 0]),
        st.sets(st.integers(0, 63), max_size=8),
    ),
    max_size=15,
)


@given(GRAPHS)
def test_stars_are_those_that_are_found_one_by_one(graph):
    count, pairs = graph
    beside = defaultdict(set)
    for a, b in pairs:
        beside[a].add(b)
        beside[b].add(a)
    middles: dict[int, int] = {}
    for item in sorted(range(count), key=lambda one: (-len(beside[one]), one)):
        if item not in middles:
            for one in {item, *beside[item]} - {*middles}:
                middles[one] = item
    assert star(count, pairs) == [middles[item] for item in range(count)]


def test_too_many_pairs_to_hold_are_searched_again():
    hashes = np.array([RICH ^ mask for mask in range(300)], dtype=np.uint64)
    held, searched = Pairs(hashes, 5), Pairs(hashes, 5, hold=10)
    for _ in range(2):
        assert sum(len(left) for left, _ in held) == sum(len(left) for left, _ in searched) > 10
    assert stars(300, held).tolist() == stars(300, searched).tolist()


@settings(deadline=None)
@given(HASHES, st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order(hashes, chance):
    rows = [{"sha256": f"{n}", "phash": to_text(one)} for n, one in enumerate(hashes)]
    shuffled = chance.sample(rows, len(rows))
    step = clusters_step(ClustersParams())

    def named(some):
        made = apply(step, some)
        return {row["sha256"]: one["cluster"] for row, one in zip(some, made, strict=True)}

    assert named(shuffled) == named(rows)


def test_pictures_and_their_copies():
    originals = [picture(size=(640, 480), seed=seed) for seed in range(12)]
    copies = [load(save(one.resize((320, 240)), "JPEG", quality=50)) for one in originals]
    found = clusters(*(int(perceptual_hash(one), 16) for one in originals + copies))
    assert found[:12] == found[12:]
    assert len({*found}) == 12


# Which row is kept


def row(text, **changes):
    return {
        "cluster": "c",
        "lang": "th",
        "text": text,
        "text_origin": "alt",
        "language_score": 0.9,
        "width": 400,
        "height": 300,
        "id": text,
        "other_texts": [],
        **changes,
    }


STEP = near_duplicates_step(NearDuplicatesParams())


def kept(*rows):
    made = apply(STEP, rows)
    assert {*reasons(made)} <= {None, "duplicate:near"}
    return [one["id"] for one, new in zip(rows, made, strict=True) if new["reason"] is None]


def test_the_best_text_of_a_language_is_kept_and_the_others_are_remembered():
    rows = [
        row("วัดอรุณ", id="1"),
        row("วัดอรุณราชวรารามยามเย็น", id="2"),
        row("วัดอรุณราชวราราม", id="3", other_texts=["พระปรางค์", "วัดอรุณ"]),
        row("chùa Arun", id="4", lang="vi"),
    ]
    assert apply(STEP, rows) == [
        {"cluster_langs": "th vi", "other_texts": [], "reason": "duplicate:near"},
        {
            "cluster_langs": "th vi",
            "other_texts": ["วัดอรุณราชวราราม", "วัดอรุณ", "พระปรางค์"],
            "reason": None,
        },
        {"cluster_langs": "th vi", "other_texts": [], "reason": "duplicate:near"},
        {"cluster_langs": "th vi", "other_texts": [], "reason": None},
    ]


def test_clusters_and_languages_do_not_compete():
    rows = [row("วัด", id=f"{c}{lang}", cluster=c, lang=lang) for c in "ab" for lang in ("th", "ru")]
    assert kept(*rows) == ["ath", "aru", "bth", "bru"]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"text": "Pražský hrad v zimě"}, {"text": "Pražský hrad"}),
        ({"text": "경복궁의 겨울 풍경"}, {"text": "경복궁 a b c d"}),
        ({"text_origin": "alt"}, {"text_origin": "title"}),
        ({"text_origin": "paragraph"}, {"text_origin": None}),
        # Beyond enough, more words are not better: the origin decides.
        ({"text": "a" * 90}, {"text": "a" * 500, "text_origin": "title"}),
        ({"width": 800}, {"language_score": 1.0}),
        ({"language_score": 0.95}, {}),
        ({"language_score": 0.1}, {"language_score": None}),
        ({"id": "1"}, {}),
    ],
)
def test_what_is_better(better, worse):
    good = {**row("Pražský hrad", id="9"), **better}
    bad = {**row("Pražský hrad", id="8"), **worse}
    assert kept(good, bad) == [good["id"]]
    assert kept(bad, good) == [good["id"]]


ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["th", "vi"]), st.text("กข ", max_size=3)),
    max_size=12,
).map(
    lambda some: [
        row(text, cluster=cluster, lang=lang, id=f"{number}")
        for number, (cluster, lang, text) in enumerate(some)
    ]
)


@given(ROWS, st.randoms(use_true_random=False))
def test_one_row_of_each_cell_is_kept_whatever_the_order_and_no_text_is_lost(rows, chance):
    assert {*kept(*rows)} == {*kept(*chance.sample(rows, len(rows)))}
    said, remembered = defaultdict(set), {}
    for one, made in zip(rows, apply(STEP, rows), strict=True):
        cell = one["cluster"], one["lang"]
        said[cell].add(one["text"])
        if made["reason"] is None:
            assert cell not in remembered
            assert one["text"] not in made["other_texts"]
            remembered[cell] = {one["text"], *made["other_texts"]}
    assert remembered == said


def test_only_so_many_texts_are_remembered():
    rows = [row("วัด" * 9, id="0"), *(row(f"วัด {n}", id=f"{n}") for n in range(1, 150))]
    assert len(apply(STEP, rows)[0]["other_texts"]) == 100


# In a pipeline

_ROW = pa.schema([*near_duplicates_step(NearDuplicatesParams()).reads]).remove(0)
_MADE = pa.schema([*_ROW, pa.field("sha256", pa.string()), pa.field("phash", pa.string()), REASON])


def make(table, params, _):
    for start in table["start"].to_pylist():
        rows = [
            {
                **row(f"{n}", id=f"{n:04d}"),
                "sha256": f"{n:064x}",
                "phash": to_text(flipped(RICH, n % 7) if n % 3 else n),
            }
            for n in range(start, start + 40)
        ]
        yield pa.Table.from_pylist(rows, schema=_MADE)


@pytest.mark.parametrize("workers", [1, 2])
def test_look_alikes_meet_from_all_parts(tmp_path, workers):
    inputs = pa.table({"start": list(range(0, 120, 40))})
    first = Step(
        *("make", 1, make, inputs.schema, _MADE, ClustersParams()), expands=True, part_rows=15
    )
    steps = (first, clusters_step(ClustersParams()), near_duplicates_step(NearDuplicatesParams()))
    with LocalExecutor(workers) as executor:
        stages = run(Pipeline(steps, inputs, "digest"), tmp_path, executor)
    # One star of seven hashes, and flat pictures that are each alone.
    alone = len(range(0, 120, 3))
    assert sum(part.kept for part in stages[-1].parts()) == alone + 1


def test_millions_of_copies_are_no_pairs():
    rows = [{"sha256": f"{n}", "phash": to_text(RICH)} for n in range(5000)]
    random.Random(1).shuffle(rows)
    made = apply(clusters_step(ClustersParams()), rows)
    assert {one["cluster"] for one in made} == {to_text(RICH)}
