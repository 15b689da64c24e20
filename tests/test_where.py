"""Metadata filters: the string form means what Python and SQL mean, and does nothing else."""

import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.errors import MellaError, UnknownNameError, WhereError
from mella.index import select
from mella.schema import INDEX
from mella.where import parse_where

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int32(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("bytes", pa.int64()),
        pa.field("score", pa.float64()),
        pa.field("lang", pa.string()),
        pa.field("category", pa.string()),
    ]
)
TABLE = pa.Table.from_pylist(
    [
        {"width": 100, "bytes": 10, "score": 0.5, "lang": "th", "category": "food"},
        {"width": 200, "bytes": 20, "score": None, "lang": "sr", "category": None},
        {"width": 300, "bytes": 300, "score": 1.0, "lang": "sr", "category": "dress"},
        {"width": None, "bytes": 40, "score": 0.0, "lang": "vi", "category": "áo dài 'x'"},
    ],
    SCHEMA.remove(0),
).add_column(0, SCHEMA.field(0), pa.array([0, 1, 2, 3], pa.int32()))


def kept(where: Any) -> list[int]:
    numbers: list[int] = select(TABLE, where)["number"].to_pylist()
    return numbers


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("width >= 200", [1, 2]),
        ("width>=200", [1, 2]),
        ("  width >= 200\n", [1, 2]),
        ("200 <= width", [1, 2]),
        ("100 < width < 300", [1]),
        ("100 < width <= 300 != bytes", [1]),
        ("width == bytes", [2]),
        ("width > -1", [0, 1, 2]),
        ("score < 0.75", [0, 3]),
        ("width > 150.5", [1, 2]),
        ("width < 99999999999", [0, 1, 2]),
        ("lang == 'sr'", [1, 2]),
        ('lang == "sr"', [1, 2]),
        ("lang > 'sr'", [0, 3]),
        ("category == \"áo dài 'x'\"", [3]),
        ("lang in ['th', 'vi']", [0, 3]),
        ("lang in ('th',)", [0]),
        ("lang in {'th'}", [0]),
        ("lang in []", []),
        ("lang not in ['th', 'vi']", [1, 2]),
        ("width in [100, 300]", [0, 2]),
        ("category is None", [1]),
        ("category is not None", [0, 2, 3]),
        ("width >= 200 and lang == 'sr' and score is None", [1]),
        ("lang == 'th' or lang == 'vi' or category == 'dress'", [0, 2, 3]),
        ("lang == 'th' or lang == 'sr' and width > 250", [0, 2]),
        ("(lang == 'th' or lang == 'sr') and width > 250", [2]),
        ("not lang == 'sr'", [0, 3]),
        # A missing value is in no comparison and in no negation of one.
        ("category != 'food'", [2, 3]),
        ("not category == 'food'", [2, 3]),
        ("category not in ['food']", [2, 3]),
        ("not category in ['food']", [2, 3]),
        ("category not in ['food'] or category is None", [1, 2, 3]),
        ("category == category", [0, 2, 3]),
    ],
)
def test_a_string_keeps_the_rows_it_holds_for(where: str, numbers: list[int]) -> None:
    assert kept(where) == numbers


def test_an_expression_is_taken_as_it_is() -> None:
    expression = pc.match_substring(pc.field("category"), "oo")
    assert parse_where(expression, SCHEMA) is expression
    assert kept(expression) == [0]


# Agreement with a plain evaluation in Python, where None is neither true nor false.

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Row = dict[str, Any]
Condition = tuple[str, Callable[[Row], bool | None]]
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "width": st.integers(-3, 3),
    "bytes": st.integers(-(2**53), 2**53),
    "score": st.floats(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, float("inf")]),
    "lang": st.text(st.characters(exclude_categories=["Cs"]), max_size=2),
    "category": st.sampled_from(["food", "dress", "", "'", '"', "\\", "None"]),
}
_NUMBERS = ("width", "bytes", "score")


def _written(value: Any) -> str:
    return "1e999" if value == float("inf") else repr(value)


@st.composite
def _comparisons(draw: st.DrawFn) -> Condition:
    column = draw(st.sampled_from(list(_VALUES)))
    kind = draw(st.sampled_from([*_COMPARE, "in", "not in", "is None", "is not None"]))
    if kind.startswith("is"):
        return f"{column} {kind}", lambda row: (row[column] is None) == (kind == "is None")
    if kind.endswith("in"):
        values = draw(st.lists(_VALUES[column], max_size=3))
        listed = f"[{', '.join(map(_written, values))}]"

        def member(row: Row) -> bool | None:
            return None if row[column] is None else (row[column] in values) == (kind == "in")

        return f"{column} {kind} {listed}", member
    number = column in _NUMBERS
    other = draw(st.sampled_from(_NUMBERS if number else ("lang", "category")))
    constant = draw(_VALUES[draw(st.sampled_from(_NUMBERS)) if number else column])
    against_column = draw(st.booleans())
    right = other if against_column else _written(constant)

    def compared(row: Row) -> bool | None:
        left_value, right_value = row[column], row[other] if against_column else constant
        if left_value is None or right_value is None:
            return None
        return _COMPARE[kind](left_value, right_value)

    return f"{column} {kind} {right}", compared


def _not(inner: Condition) -> Condition:
    text, holds = inner

    def negated(row: Row) -> bool | None:
        value = holds(row)
        return None if value is None else not value

    return f"not ({text})", negated


def _joined(word: str, parts: list[Condition]) -> Condition:
    def joined(row: Row) -> bool | None:
        values = [holds(row) for _, holds in parts]
        decisive = word == "or"
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    return f" {word} ".join(f"({text})" for text, _ in parts), joined


_CONDITIONS = st.recursive(
    _comparisons(),
    lambda inner: st.one_of(
        inner.map(_not),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)).map(
            lambda drawn: _joined(*drawn)
        ),
    ),
    max_leaves=6,
)
_ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in _VALUES.items()}),
    max_size=5,
)


@given(condition=_CONDITIONS, rows=_ROWS)
def test_a_string_means_what_it_means_in_python(condition: Condition, rows: list[Row]) -> None:
    where, holds = condition
    numbered = [{"number": number, **row} for number, row in enumerate(rows)]
    table = pa.Table.from_pylist(numbered, SCHEMA)
    wanted = [row["number"] for row in numbered if holds(row) is True]
    assert select(table, where)["number"].to_pylist() == wanted


# What is no filter is refused with a message that helps, and is never run.


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "invalid syntax"),
        ("width >=", "invalid syntax"),
        ("width = 3", "invalid syntax"),
        ("width >= 3; lang == 'th'", "invalid syntax"),
        ("width", "width is not a comparison"),
        ("True", "True is not a comparison"),
        ("not width", "width is not a comparison"),
        ("width and lang == 'th'", "width is not a comparison"),
        ("-width > 3", "-width is not a constant"),
        ("width + 1 > 3", r"width \+ 1 is not a constant"),
        ("width > 2**70", r"2 \*\* 70 is not a constant"),
        ("width > 1180591620717411303424", "too large"),
        ("width == 1j", "1j is not a text or number"),
        ("width == ...", "... is not a text or number"),
        ("lang == b'th'", "b'th' is not a text or number"),
        ("width == [100]", "is not a text or number"),
        ("width == '100'", r"equal.*\(int32, string\)"),
        ("lang > 3", r"greater.*\(string"),
        ("width == True", r"\(int32, bool\)"),
        ("width == lang", r"\(int32, string\)"),
        ("width in ['a']", "int32 vs string"),
        ("lang in ['th', 1]", "'int' object"),
        ("lang in 'th'", "a list in brackets on its right"),
        ("lang in lang", "a list in brackets on its right"),
        ("'th' in lang", "a column on its left"),
        ("category in ['food', None]", "ask `is None`"),
        ("category == None", "ask `is None`"),
        ("category != None", "ask `is None`"),
        ("lang is 'th'", "`is` and `is not` are for None"),
        ("lang is lang", "`is` and `is not` are for None"),
        ("lang == 'th\0'", "null bytes"),
        (42, "int is no string and no pyarrow expression"),
        (["width > 3"], "list is no string"),
        (pc.field("colour") == "red", "No match for FieldRef.Name.colour"),
        (pc.field("width") == "red", r"\(int32, string\)"),
        (pc.field("width"), "must evaluate to bool"),
    ],
)
def test_what_is_no_filter_is_refused(where: Any, message: str) -> None:
    with pytest.raises(WhereError, match=message) as caught:
        select(TABLE, where)
    assert "A filter compares columns with constants" in str(caught.value)
    assert "Columns: number, width, bytes" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_expression_that_fails_on_the_rows_is_named() -> None:
    with pytest.raises(WhereError, match="cannot be evaluated: divide by zero"):
        select(TABLE, pc.divide(pc.field("bytes"), pc.subtract(pc.field("number"), 1)) > 1)


@pytest.mark.parametrize(
    ("where", "hint"),
    [("widht > 3", "Did you mean 'width'"), ("colour == 'red'", "Known: "), ("width > x", "'x'")],
)
def test_an_unknown_column_is_named_with_the_nearest(where: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=hint):
        parse_where(where, INDEX)


ATTACKS = [
    "__import__('os').system('touch ATTACKED') == 0",
    "lang == __import__('os').system('touch ATTACKED')",
    "lang in [open('ATTACKED', 'w')]",
    "lang in [*open('ATTACKED', 'w')]",
    "open('ATTACKED', 'w') is None",
    "(lambda: open('ATTACKED', 'w'))() == 1",
    "[open('ATTACKED', 'w') for _ in [1]] == 1",
    'f\'{open("ATTACKED", "w")}\' == lang',
    "(x := open('ATTACKED', 'w')) == 1",
    "lang == 'th' if open('ATTACKED', 'w') else 1",
    "lang.__class__.__mro__[1].__subclasses__() == 1",
    'exec(\'open("ATTACKED", "w")\') is None',
    "lang[open('ATTACKED', 'w')] == 1",
]


@pytest.mark.parametrize("where", ATTACKS)
def test_a_string_is_never_run(where: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WhereError):
        select(TABLE, where)
    assert list(tmp_path.iterdir()) == []


@given(where=st.text(max_size=40) | st.text("width lang'()[]<>=!andornotis.,:0 \n\\", max_size=40))
def test_any_text_is_a_filter_or_an_error_of_mella(where: str) -> None:
    try:
        select(TABLE, where)
    except MellaError as error:
        assert isinstance(error, WhereError | UnknownNameError)  # noqa: PT017  a filter may pass


MANY = 20_000  # Arrow crashes the process on an expression some thousand levels deep


@pytest.mark.parametrize(
    "where",
    [
        " or ".join(f"width == {number}" for number in range(MANY)),
        "1 < " * MANY + "width",
        "not " * MANY + "width == 1",
        "(" * MANY + "width == 1" + ")" * MANY,
        "width == " + "-" * MANY + "1",
        "width == " + "1 + " * MANY + "1",
        "width" + ".a" * MANY + " == 1",
    ],
    ids=["or", "chain", "not", "brackets", "minus", "sum", "attributes"],
)
def test_a_filter_too_deep_for_arrow_is_refused(where: str) -> None:
    with pytest.raises(WhereError) as caught:
        select(TABLE, where)
    assert len(str(caught.value)) < 2000
    assert where[:100] in str(caught.value)


def test_many_values_go_into_a_list() -> None:
    listed = ", ".join(map(str, range(MANY)))
    assert kept(f"width in [{listed}]") == [0, 1, 2]
    assert kept(" or ".join(f"width == {number}" for number in range(256))) == [0, 1]


def test_every_column_of_the_index_can_be_filtered_by() -> None:
    values = {"string": "'x'", "int32": "1", "int64": "1", "uint64": "1", "double": "0.5"}
    for column in INDEX:
        parse_where(f"{column.name} >= {values[str(column.type)]}", INDEX)
