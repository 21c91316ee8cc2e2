"""The order of constants, and the factor between two expressions."""

from __future__ import annotations

from fractions import Fraction

from flint import acb, arb, fmpq

from bandpo.rewards.mathematics.errors import Undefined
from bandpo.rewards.mathematics.nodes import (
    Node,
    Number,
    Quotient,
    Sum,
    Symbol,
    negative,
    number,
    product,
    rewritten,
    symbols,
)
from bandpo.rewards.mathematics.powers import contains_zero
from bandpo.rewards.mathematics.same import BITS, infinite, points, same
from bandpo.rewards.mathematics.values import Budget, Evaluator, precision


def order(left: Node, right: Node, budget: Budget) -> int | None:
    """Return the sign of left − right for constants, None where there is none to be had.

    >>> from bandpo.rewards.mathematics.nodes import INFINITY, PI, number
    >>> from bandpo.rewards.mathematics.ordering import order
    >>> from bandpo.rewards.mathematics.values import Budget
    >>> order(number(3), PI, Budget()), order(INFINITY, PI, Budget())
    (-1, 1)
    """
    signs = infinite(left) or 0, infinite(right) or 0
    if signs != (0, 0):
        return (signs[0] > signs[1]) - (signs[0] < signs[1])
    if symbols((left, right)):
        return None
    if isinstance(left, Number) and isinstance(right, Number):
        return (left.value > right.value) - (left.value < right.value)
    if same(left, right, budget):
        return 0
    for bits in BITS:
        try:
            with precision(bits):
                difference = Evaluator({}, bits, True, budget)(Sum((left, negative(right))))
        except Undefined:
            continue
        if not isinstance(difference, acb) and (difference > 0 or difference < 0):
            return 1 if difference > 0 else -1
    return None


def ratio(left: Node, right: Node, budget: Budget) -> int | None:
    """Return the sign of the constant c with left = c · right, None where there is none."""
    names = sorted(symbols(left) | symbols(right))
    point = dict(zip(names, points(len(names))[0], strict=True))
    try:
        with precision(BITS[1]):
            evaluator = Evaluator(point, BITS[1], True, budget)
            values = evaluator(left), evaluator(right)
    except Undefined:
        return None
    if not all(isinstance(value, (fmpq, arb)) for value in values) or any(contains_zero(value) for value in values):
        return None
    here = {Symbol(name): number(Fraction(int(value.p), int(value.q))) for name, value in point.items()}
    scaled = product((right, Quotient(rewritten(left, here), rewritten(right, here))))
    if not same(left, scaled, budget):
        return None
    quotient = values[0] / values[1]
    return 1 if quotient > 0 else -1
