"""Values of expressions: exact rational numbers as long as there are any, else balls that contain the true value.

A ball is a midpoint and a radius (Johansson 2017, Arb, doi:10.1109/TC.2017.2690633): if two balls do not overlap the
values differ, whatever the precision. python-flint has them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flint import acb, arb, ctx, fmpq

from bandpo.rewards.mathematics.errors import Spent, TooLarge, Undefined, Unreadable
from bandpo.rewards.mathematics.functions import HYPERBOLIC
from bandpo.rewards.mathematics.nodes import (
    Applied,
    Call,
    Constant,
    Dots,
    Infinity,
    Iterated,
    Matrix,
    Node,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
    Symbol,
)
from bandpo.rewards.mathematics.powers import check_size, contains_zero, power
from bandpo.rewards.mathematics.special import Value, determinant, function_value

_MOST_TERMS = 2000
_LARGEST_HYPERBOLIC = 10**6

_lock = threading.RLock()


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Let balls have so many bits; flint has one precision for all threads of a process, so others wait."""
    with _lock:
        before = ctx.prec
        ctx.prec = bits
        try:
            yield
        finally:
            ctx.prec = before


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)  # the thread that held it does not exist there


class Budget:
    """The work that comparing two answers may cost: nodes evaluated, weighted by their precision.

    Attributes:
        left: units of work that are left; four million take about a second.
    """

    def __init__(self, units: int = 2_500_000):
        self.left = units

    def spend(self, units: int) -> None:
        """Count work that is about to be done.

        Raises:
            TooLarge: more than is left.
        """
        self.left -= units
        if self.left < 0:
            raise Spent("an answer that takes too long to work out")


class Evaluator:
    """A calculator of expressions at a point.

    Args:
        point: a value for every variable.
        bits: precision of balls, which the caller has set by `precision`.
        is_real: whether the root of a negative number is undefined rather than complex.
        budget: what the work is counted against.

    Attributes:
        lowest, highest: binary exponents of the smallest and the largest value met.
    """

    def __init__(self, point: Mapping[str, Value], bits: int, is_real: bool, budget: Budget):
        self.point, self.is_real, self.budget = dict(point), is_real, budget
        self.cost = 10 + bits // 16
        self.lowest = self.highest = 0

    def __call__(self, node: Node) -> Value:
        """Return the value of an expression.

        Raises:
            Undefined: it has none at this point.
            TooLarge: it would take more work than an answer may cost.
            Unreadable: it holds what has no value, such as an ellipsis.
        """
        self.budget.spend(self.cost)
        value = _RULES[type(node)](self, node)
        if isinstance(value, fmpq):
            self._note_size(int(value.p).bit_length() - int(value.q).bit_length() if value else 0)
        elif value.is_finite():
            self._note(value)
        else:
            raise Undefined("no finite value")
        return value

    def _note(self, value: arb | acb) -> None:
        """Widen the range of magnitudes met, which says how many bits it takes to see a small difference."""
        for part in (value.real, value.imag) if isinstance(value, acb) else (value,):
            if not part.contains(0):
                mantissa, exponent = part.mid().man_exp()
                self._note_size(int(exponent) + int(mantissa).bit_length())

    def _note_smallest_exponential(self, argument: Value) -> None:
        """Widen the range by exp(-2|x|): tanh(x) is no further than that from 1, nor cosh(x) from sinh(x)."""
        size = abs(argument) if isinstance(argument, acb) else abs(arb(argument))
        if not size < _LARGEST_HYPERBOLIC:
            raise TooLarge("a hyperbolic function of a large number")
        self._note_size(-3 * int(size.upper().floor().unique_fmpz() or 0))

    def _note_size(self, size: int) -> None:
        self.lowest, self.highest = min(self.lowest, size), max(self.highest, size)

    def _symbol(self, node: Symbol) -> Value:
        if node.name not in self.point:
            raise Unreadable(f"no value for {node.name}")
        return self.point[node.name]

    def _constant(self, node: Constant) -> Value:
        if node.name == "i":
            return acb(0, 1)
        if node.name in ("pi", "e"):
            return arb.pi() if node.name == "pi" else arb.const_e()
        raise Unreadable(f"a {node.name} sign inside an expression")

    def _sum(self, node: Sum) -> Value:
        result: Value = fmpq(0)
        for term in node.terms:
            result = result + self(term)
        return result

    def _product(self, node: Product) -> Value:
        result: Value = fmpq(1)
        for factor in node.factors:
            result = result * self(factor)
            check_size(result)
        return result

    def _quotient(self, node: Quotient) -> Value:
        above, below = self(node.above), self(node.below)
        if contains_zero(below):
            raise Undefined("a division by zero")
        return above / below

    def _power(self, node: Power) -> Value:
        return power(self(node.base), self(node.exponent), self.is_real)

    def _call(self, node: Call) -> Value:
        if node.name == "determinant":
            matrix = node.arguments[0]
            assert isinstance(matrix, Matrix)
            return determinant([[self(entry) for entry in row] for row in matrix.rows])
        values = [self(argument) for argument in node.arguments]
        if node.name == "root":
            degree = values[1]
            if not isinstance(degree, fmpq) or degree == 0:
                raise Undefined("a root of no rational degree")
            return power(values[0], 1 / degree, self.is_real)
        value = function_value(node.name, values, self.is_real)
        if node.name in HYPERBOLIC:
            self._note_smallest_exponential(values[0])
        return value

    def _iterated(self, node: Iterated) -> Value:
        first, last = self(node.first), self(node.last)
        if not all(isinstance(end, fmpq) and end.q == 1 for end in (first, last)):
            raise Undefined("a sum between ends that are no integers")
        if last - first > _MOST_TERMS:
            raise TooLarge(f"a sum of {last - first} terms")
        outside = self.point.get(node.index)
        result: Value = fmpq(0 if node.kind == "sum" else 1)
        for index in range(int(first.p), int(last.p) + 1):
            self.point[node.index] = fmpq(index)
            term = self(node.body)
            result = result + term if node.kind == "sum" else result * term
            check_size(result)
        self.point.pop(node.index, None)
        if outside is not None:
            self.point[node.index] = outside
        return result


def _unreadable(evaluator: Evaluator, node: Node) -> Value:
    raise Unreadable(f"{type(node).__name__.lower()} has no value")


_RULES: dict[type, Callable[[Evaluator, Any], Value]] = {
    Number: lambda _, node: fmpq(node.value.numerator, node.value.denominator),
    Symbol: Evaluator._symbol,
    Constant: Evaluator._constant,
    Sum: Evaluator._sum,
    Product: Evaluator._product,
    Quotient: Evaluator._quotient,
    Power: Evaluator._power,
    Call: Evaluator._call,
    Iterated: Evaluator._iterated,
    Applied: _unreadable,
    Dots: _unreadable,
    Infinity: _unreadable,
    Matrix: _unreadable,
}
