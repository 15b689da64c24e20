"""Turn a metadata filter from its string form into an Arrow expression."""

import ast
import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mella.errors import MellaError, unknown_name

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


class WhereError(MellaError, ValueError):
    """A filter that cannot be understood."""


def parse_where(where: pc.Expression | str, schema: pa.Schema) -> pc.Expression:
    """Return a filter as an Arrow expression.

    Args:
        where: An expression, returned as it is, or its string form: Python syntax with columns as
            names, constants, the six comparisons, `in`, `not in`, `is None`, `is not None`, `and`,
            `or`, `not`.
        schema: Of the table to filter.

    Raises:
        WhereError: The string is not such a filter; the message shows what one looks like.
        UnknownNameError: It names a column that is not there.
    """
    if isinstance(where, pc.Expression):
        return where
    try:
        tree = ast.parse(where.strip(), mode="eval").body
        return _condition(tree, schema)
    except (SyntaxError, RecursionError, TypeError, pa.ArrowInvalid) as error:
        raise WhereError(f"where={where!r} is not a filter: {error}. {_HELP}") from error


def _condition(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    match node:
        case ast.BoolOp(op=ast.And()):
            return _joined(operator.and_, node, schema)
        case ast.BoolOp(op=ast.Or()):
            return _joined(operator.or_, node, schema)
        case ast.UnaryOp(op=ast.Not()):
            return ~_condition(node.operand, schema)
        case ast.Compare():
            operands = [node.left, *node.comparators]
            parts = [
                _comparison(left, op, right, schema)
                for left, op, right in zip(operands, node.ops, operands[1:], strict=False)
            ]
            result = parts[0]
            for part in parts[1:]:
                result = result & part
            return result
    raise TypeError(f"{ast.unparse(node)} is not a comparison")


def _joined(join: Callable[[Any, Any], Any], node: ast.BoolOp, schema: pa.Schema) -> pc.Expression:
    result = _condition(node.values[0], schema)
    for value in node.values[1:]:
        result = join(result, _condition(value, schema))
    return result


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(op, ast.In | ast.NotIn):
        found = _operand(left, schema).isin(_constant(right))
        return ~found if isinstance(op, ast.NotIn) else found
    if isinstance(op, ast.Is | ast.IsNot):
        if _constant(right) is not None:
            raise TypeError("`is` and `is not` are for None")
        null = _operand(left, schema).is_null()
        return ~null if isinstance(op, ast.IsNot) else null
    return _COMPARISONS[type(op)](_operand(left, schema), _operand(right, schema))


def _operand(node: ast.expr, schema: pa.Schema) -> pc.Expression:
    if isinstance(node, ast.Name):
        if node.id not in schema.names:
            raise unknown_name("column", node.id, schema.names)
        return pc.field(node.id)
    return pc.scalar(_constant(node))


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise TypeError(f"{ast.unparse(node)} is not a constant") from error
