"""Values of functions: exact where the arguments are rational and the value is, else balls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flint import acb, arb, fmpq

from bandpo.rewards.mathematics.errors import TooLarge, Undefined, Unreadable

Value = Any  # fmpq, arb or acb; flint's types know no arithmetic between them

_LARGEST_EXACT = 10_000
_LARGEST_ARGUMENT = 10**15
_LARGEST_BETWEEN_INTEGERS = 40  # of the gamma function, whose work grows with precision and argument


def function_value(name: str, values: Sequence[Value], is_real: bool) -> Value:
    """Return the value of a function.

    Raises:
        Undefined: it has none there.
        TooLarge: an argument too large to be worked with.
        Unreadable: a function without a rule.

    >>> from flint import fmpq
    >>> from bandpo.rewards.mathematics.special import function_value
    >>> function_value("binomial", [fmpq(5), fmpq(2)], True), function_value("floor", [fmpq(-7, 2)], True)
    (10, -4)
    """
    exact = _EXACT.get(name)
    if exact is not None:
        return exact(*values)
    if name not in _BALLS:
        raise Unreadable(f"{name} has no value here")
    if name in ("ln", "log10", "log") and values[0] == 1:
        return fmpq(0)
    [value] = values
    ball = value if isinstance(value, acb) else arb(value)
    if not abs(ball) < _LARGEST_ARGUMENT and name not in ("ln", "log10", "log"):
        raise TooLarge(f"{name} of a large number")
    if name in ("ln", "log10", "log"):
        ball = _checked_logarithm(ball, is_real)
    return _BALLS[name](ball)


def _checked_logarithm(ball: arb | acb, is_real: bool) -> arb | acb:
    if ball.contains(0):
        raise Undefined("the logarithm of zero")
    if isinstance(ball, arb) and ball < 0:
        if is_real:
            raise Undefined("the logarithm of a negative number")
        return acb(ball)
    return ball


def determinant(rows: Sequence[Sequence[Value]]) -> Value:
    """Return a determinant by cofactors.

    Raises:
        Undefined: not square.
        TooLarge: more than five rows.
    """
    size = len(rows)
    if any(len(row) != size for row in rows):
        raise Undefined("the determinant of a matrix that is not square")
    if size > 5:
        raise TooLarge("a large determinant")
    if size == 1:
        return rows[0][0]
    result: Value = fmpq(0)
    for column, entry in enumerate(rows[0]):
        minor = [[*row[:column], *row[column + 1 :]] for row in rows[1:]]
        result = result + (-1) ** column * entry * determinant(minor)
    return result


def _integer(value: Value) -> int | None:
    return int(value.p) if isinstance(value, fmpq) and value.q == 1 else None


def _factorial(value: Value) -> Value:
    n = _integer(value)
    if n is not None and n < 0:
        raise Undefined("the factorial of a negative integer")
    if n is not None and n <= _LARGEST_EXACT:
        return fmpq(math.factorial(n))
    return _gamma(value + 1)


def _gamma(value: Value) -> arb | acb:
    ball = value if isinstance(value, acb) else arb(value)
    limit = _LARGEST_ARGUMENT if _integer(value) is not None else _LARGEST_BETWEEN_INTEGERS
    if not abs(ball) < limit:
        raise TooLarge("the factorial of a large number")
    return ball.gamma()


def _binomial(above: Value, below: Value) -> Value:
    n, k = _integer(above), _integer(below)
    if n is not None and k is not None:
        if n < 0 or k < 0:
            raise Undefined("a binomial coefficient of a negative number")
        if k > n:
            return fmpq(0)
        if n <= _LARGEST_EXACT:
            return fmpq(math.comb(n, k))
    if k is not None and 0 <= k <= 50:
        result: Value = fmpq(1)
        for j in range(k):
            result = result * (above - j) / (j + 1)
        return result
    return _gamma(above + 1) / (_gamma(below + 1) * _gamma(above - below + 1))


def _absolute(value: Value) -> Value:
    return abs(value)


def _rounded(name: str) -> Callable[[Value], Value]:
    def rounded(value: Value) -> Value:
        if isinstance(value, fmpq):
            return fmpq(value.floor() if name == "floor" else value.ceil())
        if isinstance(value, acb):
            raise Undefined(f"the {name} of a complex number")
        whole = (value.floor() if name == "floor" else value.ceil()).unique_fmpz()
        if whole is None:
            raise Undefined(f"the {name} of a number that may be an integer")
        return fmpq(whole)

    return rounded


def _of_integers(combine: Callable[..., int]) -> Callable[..., Value]:
    def combined(*values: Value) -> Value:
        whole = [_integer(value) for value in values]
        if None in whole:
            raise Undefined("a common divisor or multiple of numbers that are no integers")
        return fmpq(combine(*whole))

    return combined


def _extreme(choose: Callable[..., Value]) -> Callable[..., Value]:
    def extreme(*values: Value) -> Value:
        if not all(isinstance(value, fmpq) for value in values):
            raise Undefined("the largest or smallest of numbers that are not rational")
        return choose(values)

    return extreme


def _sign(value: Value) -> Value:
    if isinstance(value, acb) or (isinstance(value, arb) and value.contains(0)):
        raise Undefined("the sign of a number that may be zero")
    return fmpq((value > 0) - (value < 0))


def _reciprocal(of: Callable[[arb | acb], arb | acb]) -> Callable[[arb | acb], arb | acb]:
    def value(ball: arb | acb) -> arb | acb:
        below = of(ball)
        if below.contains(0):
            raise Undefined("a division by zero")
        return 1 / below

    return value


_EXACT: dict[str, Callable[..., Value]] = {
    "factorial": _factorial,
    "binomial": _binomial,
    "abs": _absolute,
    "floor": _rounded("floor"),
    "ceil": _rounded("ceil"),
    "gcd": _of_integers(math.gcd),
    "lcm": _of_integers(math.lcm),
    "max": _extreme(max),
    "min": _extreme(min),
    "sgn": _sign,
}
_BALLS: dict[str, Callable[..., arb | acb]] = {
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tan": lambda x: x.tan(),
    "sec": _reciprocal(lambda x: x.cos()),
    "csc": _reciprocal(lambda x: x.sin()),
    "cot": _reciprocal(lambda x: x.tan()),
    "arcsin": lambda x: x.asin(),
    "arccos": lambda x: x.acos(),
    "arctan": lambda x: x.atan(),
    "arccot": lambda x: x.__class__.pi() / 2 - x.atan(),
    "arcsec": lambda x: (1 / x).acos(),
    "arccsc": lambda x: (1 / x).asin(),
    "sinh": lambda x: x.sinh(),
    "cosh": lambda x: x.cosh(),
    "tanh": lambda x: x.tanh(),
    "coth": _reciprocal(lambda x: x.tanh()),
    "arcsinh": lambda x: x.asinh(),
    "arccosh": lambda x: x.acosh(),
    "arctanh": lambda x: x.atanh(),
    "ln": lambda x: x.log(),
    "log": lambda x: x.log(),
    "log10": lambda x: x.log() / arb(10).log(),
    "cis": lambda x: acb(x).cos() + acb(0, 1) * acb(x).sin(),
}
