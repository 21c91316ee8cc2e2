"""Equality of expressions: exact rational values, else balls at a precision that their sizes call for.

Two expressions with variables are equal where their values are at several rational and integer points. At points
where one of them is undefined nothing is learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

from flint import fmpq

from bandpo.rewards.mathematics.errors import Spent, TooLarge, Undefined
from bandpo.rewards.mathematics.functions import LOGARITHMS
from bandpo.rewards.mathematics.nodes import (
    IMAGINARY,
    Applied,
    Call,
    Dots,
    Infinity,
    Matrix,
    Node,
    Number,
    Product,
    Quotient,
    Symbol,
    negative,
    product,
    rewritten,
    symbols,
    walk,
)
from bandpo.rewards.mathematics.values import Budget, Evaluator, Value, precision

BITS, BITS_AT_POINT = (96, 512, 4096), (96, 512)
_MARGIN, _MOST_BITS = 512, 131_072
_ENOUGH = 3


def same(left: Node, right: Node, budget: Budget) -> bool:
    """Return whether two expressions are equal wherever both have a value.

    Raises:
        TooLarge: it would take more work than the budget has.
        Unreadable: one of them holds what has no value.

    >>> from bandpo.rewards.mathematics.nodes import Call, Quotient, number
    >>> from bandpo.rewards.mathematics.same import same
    >>> from bandpo.rewards.mathematics.values import Budget
    >>> half = Call("root", (Quotient(number(1), number(4)), number(2)))
    >>> same(half, number("0.5"), Budget()), same(half, number("0.4999"), Budget())
    (True, False)
    """
    if left == right:
        return True
    if isinstance(left, Number) and isinstance(right, Number):
        return left.value == right.value
    found = [type(node) for side in (left, right) for node in walk(side)]
    if Dots in found:
        return False
    if Infinity in found:
        signs = infinite(left), infinite(right)
        return None not in signs and signs[0] == signs[1]
    if Matrix in found and (as_matrix(left) or as_matrix(right)):
        return _same_matrix(left, right, budget)
    if Applied in found:
        names: dict[Node, Node] = {}
        for node in (*walk(left), *walk(right)):
            if isinstance(node, Applied):
                names.setdefault(node, Symbol(f"applied {len(names)}"))
        left, right = rewritten(left, names), rewritten(right, names)
    return any(_same_value(*pair, budget) for pair in _with_logarithms(left, right))


def _with_logarithms(left: Node, right: Node) -> list[tuple[Node, Node]]:
    """Return the readings of "log", natural and to base 10, the same on both sides; what one side names decides."""
    names = {node.name for side in (left, right) for node in walk(side) if isinstance(node, Call)}
    if "log" not in names:
        return [(left, right)]
    bases = {"ln"} if "ln" in names else {"log10"} if "log10" in names else {"ln", "log10"}
    return [(_renamed(left, base), _renamed(right, base)) for base in sorted(bases)]


def _renamed(node: Node, name: str) -> Node:
    logarithms = {
        part: Call(name, part.arguments) for part in walk(node) if isinstance(part, Call) and part.name == "log"
    }
    return rewritten(node, logarithms)


def _same_value(left: Node, right: Node, budget: Budget) -> bool:
    names = sorted(symbols(left) | symbols(right))
    has_imaginary = any(
        node == IMAGINARY or (isinstance(node, Call) and node.name == "cis")
        for side in (left, right)
        for node in walk(side)
    )
    if not names:
        found = _at(left, right, {}, not has_imaginary, budget)
        if found is None and not has_imaginary:
            found = _at(left, right, {}, False, budget)
        return bool(found)
    agreed, is_for_all_signs = 0, any(_is_logarithm_of_bars(node) for node in walk(left))
    for point in points(len(names)):
        try:
            found = _at(left, right, dict(zip(names, point, strict=True)), not has_imaginary, budget)
        except Spent:
            raise
        except TooLarge:
            continue
        if found is False or (found is None and is_for_all_signs and _is_narrower(right, left, names, point, budget)):
            return False
        agreed += found is True
    return agreed >= _ENOUGH


def _is_logarithm_of_bars(node: Node) -> bool:
    """Return whether a node is ln|u|, written for u of either sign."""
    if not isinstance(node, Call) or node.name not in LOGARITHMS:
        return False
    return any(isinstance(part, Call) and part.name == "abs" for part in walk(node.arguments))


def _is_narrower(node: Node, other: Node, names: Sequence[str], point: Sequence[Value], budget: Budget) -> bool:
    """Return whether an expression has no real value at a point where another has one."""
    with precision(BITS_AT_POINT[0]):
        evaluate = Evaluator(dict(zip(names, point, strict=True)), BITS_AT_POINT[0], True, budget)
        try:
            evaluate(other)
        except Undefined:
            return False
        try:
            evaluate(node)
        except Undefined:
            return True
    return False


_REACH = ("3/10", "-2/5", "7/10", "13/10", "-27/10", "51/10", "-113/10", "379/10", "-832/10", "12345/10", "-23456/10")


@lru_cache(maxsize=64)
def points(count: int) -> tuple[tuple[fmpq, ...], ...]:
    """Return points to compare at: fractions from small to far on either side, then integers fit for factorials."""
    rationals = []
    for k, text in enumerate(_REACH):
        start = Fraction(text)
        sign = -1 if k % 3 == 2 else 1
        values = [start * Fraction(sign if j % 2 else 1) * Fraction(97 + 31 * j, 97 + 11 * j + k) for j in range(count)]
        rationals.append(tuple(fmpq(value.numerator, value.denominator) for value in values))
    integers = [tuple(fmpq(k + (3 + k % 4) * j) for j in range(count)) for k in (5, 8, 6, 11, 16, 21)]
    return (*rationals, *integers)


def _at(left: Node, right: Node, point: Mapping[str, Value], is_real: bool, budget: Budget) -> bool | None:
    """Return whether two expressions have the same value at a point, None where one has none.

    Balls that overlap are taken for equal once their precision covers the range of magnitudes that was met.
    """
    ladder = BITS_AT_POINT if point else BITS
    bits = ladder[0]
    while True:
        with precision(bits):
            evaluator = Evaluator(point, bits, is_real, budget)
            try:
                verdict = _same_here(evaluator(left), evaluator(right))
            except Undefined:
                if bits >= ladder[-1]:
                    return None
                verdict, needed = None, bits + 1
            else:
                needed = max(ladder[-1], evaluator.highest - evaluator.lowest + _MARGIN)
        if verdict is not None:
            return verdict
        if bits >= needed:
            return True
        if needed > _MOST_BITS:
            raise TooLarge("values of too different sizes")
        bits = next((larger for larger in ladder if larger > bits), needed)


def _same_here(left: Value, right: Value) -> bool | None:
    """Return whether two values are equal, None where their balls overlap."""
    if isinstance(left, fmpq) and isinstance(right, fmpq):
        return left == right
    return None if (left - right).contains(0) else False


def infinite(node: Node) -> int | None:
    """Return the sign of an infinite value, None where it is finite or no value at all."""
    if isinstance(node, Infinity):
        return 1
    return -1 if node == negative(Infinity()) else None


def _same_matrix(left: Node, right: Node, budget: Budget) -> bool:
    a, b = as_matrix(left) or _as_column(left), as_matrix(right) or _as_column(right)
    if a is None or b is None or len(a) != len(b) or len(a[0]) != len(b[0]):
        return False
    return all(same(x, y, budget) for rows in zip(a, b, strict=True) for x, y in zip(*rows, strict=True))


def _as_column(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    r"""Return the column that \binom{a}{b} writes beside a matrix."""
    if isinstance(node, Call) and node.name == "binomial":
        return tuple((entry,) for entry in node.arguments)
    return None


def as_matrix(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """Return the entries of a matrix, or of a matrix times a number; None for anything else."""
    if isinstance(node, Matrix):
        return node.rows
    factors = node.factors if isinstance(node, Product) else ()
    if isinstance(node, Quotient):
        rows = as_matrix(node.above)
        return rows and tuple(tuple(Quotient(entry, node.below) for entry in row) for row in rows)
    matrices = [factor for factor in factors if isinstance(factor, Matrix)]
    others = tuple(factor for factor in factors if not isinstance(factor, Matrix))
    if len(matrices) != 1 or any(isinstance(part, Matrix) for part in walk(others)):
        return None
    return tuple(tuple(product((*others, entry)) for entry in row) for row in matrices[0].rows)
