"""Cuts by stored scores: bounds, quantiles, languages, what is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.curate.cuts import (
    SCORES,
    CutError,
    CutParams,
    Limit,
    Limits,
    cut_step,
    read_cuts,
)
from mella.builders.recipe import Recipe, RecipeError
from mella.languages import resolve_languages
from stepping import apply, reasons

COLUMNS = ("lang", "width", "height", "language_score", "nsfw_score", "alignment_score")


def cut(rows, params):
    return apply(cut_step(params, COLUMNS), [{"lang": "th", **row} for row in rows])


def of(**limits):
    return CutParams(Limits(**limits))


def test_a_bound_itself_is_kept_and_what_lies_beyond_is_cut():
    params = of(language_score=Limit(least=0.5, most=0.9))
    rows = [{"language_score": score} for score in (0.49, 0.5, 0.7, 0.9, 0.91)]
    why = "cut:language_score"
    assert reasons(cut(rows, params)) == [why, None, None, None, why]


def test_an_unknown_score_passes_unless_it_is_required():
    limits = Limits(nsfw_score=Limit(most=0.1))
    rows = [{"nsfw_score": None}, {"nsfw_score": float("nan")}, {"nsfw_score": 0.1}]
    assert reasons(cut(rows, CutParams(limits))) == [None, None, None]
    required = CutParams(limits, require=("nsfw_score",))
    assert reasons(cut(rows, required)) == ["cut:no_nsfw_score", "cut:no_nsfw_score", None]


def test_sides_and_shape_are_made_of_width_and_height():
    params = of(min_side=Limit(least=200), aspect=Limit(most=3))
    rows = [
        {"width": 200, "height": 600},
        {"width": 199, "height": 400},
        {"width": 201, "height": 604},
        {"width": None, "height": None},
        {"width": 0, "height": 300},
    ]
    made = reasons(cut(rows, params))
    assert made == [None, "cut:min_side", "cut:aspect", None, "cut:min_side"]


def test_the_first_score_that_fails_is_the_reason():
    params = of(language_score=Limit(least=0.5), nsfw_score=Limit(most=0.5))
    made = reasons(cut([{"language_score": 0.1, "nsfw_score": 0.9}], params))
    assert made == ["cut:language_score"]


def test_a_language_has_lines_of_its_own_and_keeps_the_general_ones_it_does_not_name():
    params = CutParams(
        Limits(alignment_score=Limit(least=0.5, most=0.9)),
        (
            ("th", Limits(alignment_score=Limit(least=0.2))),
            ("ko", Limits(alignment_score=Limit(least=float("-inf")))),
        ),
    )
    rows = [{"lang": lang, "alignment_score": s} for lang in ("cs", "th", "ko") for s in (0.1, 0.3)]
    why = "cut:alignment_score"
    made = cut(rows, params)
    assert reasons(made) == [why, why, why, None, None, None]
    lines = {row["lang"]: new["cut_lines"] for row, new in zip(rows, made, strict=True)}
    assert lines["cs"] == [{"score": "alignment_score", "least": 0.5, "most": 0.9}]
    assert lines["th"] == [{"score": "alignment_score", "least": 0.2, "most": 0.9}]
    assert lines["ko"] == [{"score": "alignment_score", "least": None, "most": 0.9}]


def test_a_quantile_is_of_each_language_and_becomes_a_line():
    rows = [{"lang": "th", "alignment_score": n / 10} for n in range(10)]
    rows += [{"lang": "vi", "alignment_score": n / 10 - 5} for n in range(10)]
    rows += [{"lang": "vi", "alignment_score": None}]
    made = cut(rows, of(alignment_score=Limit(quantile=0.3)))
    kept = [n for n, why in enumerate(reasons(made)) if why is None]
    assert kept == [*range(3, 10), *range(13, 21)]
    assert made[0]["cut_lines"] == [{"score": "alignment_score", "least": 0.3, "most": None}]
    assert made[-1]["cut_lines"] == [{"score": "alignment_score", "least": -4.7, "most": None}]


def test_of_a_quantile_and_a_bound_the_stricter_counts():
    rows = [{"alignment_score": n / 10} for n in range(10)]
    made = cut(rows, of(alignment_score=Limit(least=0.8, quantile=0.3)))
    assert reasons(made).count(None) == 2
    made = cut(rows, of(alignment_score=Limit(least=0.1, quantile=0.3)))
    assert reasons(made).count(None) == 7


@given(
    scores=st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75]) | st.floats(-1, 1)),
    quantile=st.floats(0, 0.99),
    data=st.data(),
)
def test_a_quantile_cuts_no_more_than_its_share_in_whatever_order(scores, quantile, data):
    params = of(alignment_score=Limit(quantile=quantile))
    known = [score for score in scores if score is not None]
    verdict = {}
    for order in (scores, data.draw(st.permutations(scores))):
        made = reasons(cut([{"alignment_score": score} for score in order], params))
        cut_scores = [s for s, why in zip(order, made, strict=True) if why is not None]
        kept_scores = [s for s, why in zip(order, made, strict=True) if why is None]
        assert len(cut_scores) <= quantile * len(known)
        assert None not in cut_scores
        kept_known = [s for s in kept_scores if s is not None]
        assert not cut_scores or max(cut_scores) < min(kept_known)
        verdict[tuple(sorted(cut_scores))] = True
    assert len(verdict) == 1


def test_without_cuts_all_rows_pass_and_only_the_language_is_read():
    step = cut_step(CutParams(), ())
    assert step.reads.names == ["lang"]
    assert apply(step, [{"lang": "th"}]) == [{"cut_lines": [], "reason": None}]
    assert apply(step, []) == []


def test_a_score_that_no_step_writes_is_refused():
    with pytest.raises(CutError, match=r"asks for nsfw_score, which no step"):
        cut_step(of(nsfw_score=Limit(most=0.5)), ["lang", "language_score"])
    with pytest.raises(CutError, match="height"):
        cut_step(of(aspect=Limit(most=3)), ["width"])
    with pytest.raises(CutError, match="category_score"):
        cut_step(CutParams(require=("category_score",)), COLUMNS)


def read(tmp_path, text, langs=("sr", "th")):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    recipe = Recipe(file)
    made = read_cuts(recipe, resolve_languages(langs))
    recipe.end()
    return made


def test_a_recipe_names_scores_and_languages(tmp_path):
    made = read(
        tmp_path,
        """
        [cuts]
        require = ["alignment_score"]
        nsfw_score = { most = 0.4 }
        alignment_score.quantile = 0.3
        min_side.least = 200
        [cuts.th]
        alignment_score = { least = 0.1, quantile = 0 }
        [cuts.sr.language_score]
        least = 0.7
        """,
    )
    assert made.limit("nsfw_score", "th") == Limit(most=0.4)
    assert made.limit("alignment_score", "sr") == Limit(quantile=0.3)
    assert made.limit("alignment_score", "th") == Limit(least=0.1, quantile=0)
    assert made.limit("language_score", "sr") == Limit(least=0.7)
    assert made.limit("language_score", "th") == Limit()
    assert made.require == ("alignment_score",)
    assert made.scores() == ["min_side", "language_score", "nsfw_score", "alignment_score"]
    assert hash(cut_step(made, (*COLUMNS,)))
    assert read(tmp_path, "") == CutParams()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alignement_score = { least = 1 }", r"unknown key 'alignement_score'.*alignment_score"),
        ("nsfw_score = { moast = 1 }", r"\[cuts.nsfw_score\]: unknown key 'moast'"),
        ("nsfw_score = 0.5", r"\[cuts.nsfw_score\] is a table"),
        ("nsfw_score = { most = nan }", "nan"),
        ("nsfw_score = { least = 2, most = 1 }", "not be more than most"),
        ("alignment_score = { quantile = 1 }", "less than 1"),
        ("alignment_score = { quantile = -0.1 }", "0 or more"),
        ("[cuts.ko]\nnsfw_score = { most = 1 }", r"\[cuts\]: unknown key 'ko'"),
        ("[cuts.th]\nrequire = []", r"\[cuts.th\]: unknown key 'require'"),
        ('require = ["beauty"]', f"require names beauty.*{SCORES[0]}"),
    ],
)
def test_a_wrong_cut_is_an_error_that_says_where(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        read(tmp_path, f"[cuts]\n{text}")
