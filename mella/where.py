"""Turn a metadata filter from its string form into an Arrow expression."""

import ast
import functools
import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.errors import MellaError, WhereError, unknown_name

_MOST = 256
"""Comparisons in a string: Arrow walks an expression by recursion and crashes on thousands."""
_UNFIT = (TypeError, ValueError, pa.ArrowException)
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_HELP = (
    "A filter compares columns with constants and joins comparisons with and, or, not: "
    "\"width >= 300 and domain == 'example.org'\", \"script in ['Latn', 'Cyrl']\", "
    '"category is not None".'
)


def parse_where(where: pc.Expression | str, schema: pa.Schema) -> pc.Expression:
    """Return a filter as an Arrow expression that fits the columns of `schema`.

    A comparison with a missing value holds for no row, and neither does its negation, as in SQL:
    `category != 'food'` keeps only samples that have a category. Ask `is None` for the others.

    Args:
        where: An expression, or its string form: Python syntax with columns as names, constants,
            the six comparisons, `in`, `not in`, `is None`, `is not None`, `and`, `or`, `not`. The
            string is parsed, never executed.
        schema: Of the table to filter.

    Raises:
        WhereError: It is not such a filter, or compares a column with a value of another type; the
            message shows what a filter looks like.
        UnknownNameError: The string names a column that is not there.
    """
    try:
        return _fitting(_parse(where, schema) if isinstance(where, str) else where, schema)
    except MellaError:
        raise
    # On a string that is nested too deep the parser gives up with a SyntaxError, MemoryError or
    # RecursionError, on a null byte with a SyntaxError or ValueError: Python versions differ.
    except (SyntaxError, MemoryError, RecursionError, OverflowError, *_UNFIT) as error:
        why = _short(str(error)) or "it is nested too deep"
        raise WhereError(
            f"where={_short(str(where))!r} is not a filter of these columns: {why}. {_HELP} "
            f"Columns: {', '.join(schema.names)}."
        ) from error


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _parse(where: str, schema: pa.Schema) -> pc.Expression:
    tree = ast.parse(where.strip(), mode="eval").body
    comparisons = sum(len(node.ops) for node in ast.walk(tree) if isinstance(node, ast.Compare))
    if comparisons > _MOST:
        raise TypeError(f"{comparisons} comparisons are more than {_MOST}: use `column in [...]`")
    return _condition(tree, schema)


def _fitting(expression: object, schema: pa.Schema) -> pc.Expression:
    """Return an expression that a table of this schema can be filtered by."""
    if not isinstance(expression, pc.Expression):
        raise TypeError(f"{type(expression).__name__} is no string and no pyarrow expression")
    schema.empty_table().filter(expression)
    return expression


def _condition(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    match node:
        case ast.BoolOp(op=ast.And()):
            return functools.reduce(
                operator.and_, [_condition(value, schema) for value in node.values]
            )
        case ast.BoolOp(op=ast.Or()):
            return functools.reduce(
                operator.or_, [_condition(value, schema) for value in node.values]
            )
        case ast.UnaryOp(op=ast.Not()):
            return ~_condition(node.operand, schema)
        case ast.Compare():
            lefts = [node.left, *node.comparators[:-1]]
            parts = [
                _comparison(left, op, right, schema)
                for left, op, right in zip(lefts, node.ops, node.comparators, strict=True)
            ]
            return functools.reduce(operator.and_, parts)
    raise TypeError(f"{ast.unparse(node)} is not a comparison")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(op, ast.In | ast.NotIn):
        found = _membership(left, right, schema)
        return ~found if isinstance(op, ast.NotIn) else found
    if isinstance(op, ast.Is | ast.IsNot):
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise TypeError("`is` and `is not` are for None")
        null = _operand(left, schema).is_null()
        return ~null if isinstance(op, ast.IsNot) else null
    return _COMPARISONS[type(op)](_operand(left, schema), _operand(right, schema))


def _membership(left: ast.expr, right: ast.expr, schema: pa.Schema) -> pc.Expression:
    if not (isinstance(left, ast.Name) and isinstance(right, ast.List | ast.Tuple | ast.Set)):
        raise TypeError("`in` takes a column on its left and a list in brackets on its right")
    column = _operand(left, schema)
    values = pa.array(
        [_constant(element) for element in right.elts],
        # An empty list has no type of its own.
        None if right.elts else schema.field(left.id).type,
    )
    # `isin` alone says of a missing value that it is not in the list.
    return pc.if_else(column.is_valid(), column.isin(values), pa.scalar(None, pa.bool_()))


def _operand(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(node, ast.Name):
        if node.id not in schema.names:
            raise unknown_name("column", node.id, schema.names)
        return pc.field(node.id)
    return pc.scalar(_constant(node))


def _constant(node: ast.expr) -> str | float:
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise TypeError(f"{ast.unparse(node)} is not a constant") from error
    if value is None:
        raise TypeError("nothing compares with None: ask `is None` or `is not None`")
    if not isinstance(value, str | int | float):
        raise TypeError(f"{ast.unparse(node)} is not a text or number")
    return value
