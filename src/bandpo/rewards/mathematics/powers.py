"""Powers and roots of exact numbers and balls, none larger than memory holds."""

from __future__ import annotations

from flint import acb, arb, fmpq, fmpz

from bandpo.rewards.mathematics.errors import TooLarge, Undefined
from bandpo.rewards.mathematics.special import Value

MOST_BITS = 400_000
_LARGEST_EXPONENT_BITS = 60


def power(base: Value, exponent: Value, is_real: bool) -> Value:
    """Return base to the power of exponent; of a negative base the real root where its degree is odd.

    Raises:
        Undefined: zero to a power that is not positive, or no real value where one is asked for.
        TooLarge: exponents whose powers no memory holds.
    """
    if isinstance(exponent, fmpq) and exponent.q == 1:
        return _integer_power(base, int(exponent.p))
    _check_exponent(exponent)
    if base == 0:
        if isinstance(exponent, fmpq) and exponent > 0:
            return fmpq(0)
        raise Undefined("zero to this power")
    if isinstance(base, fmpq) and isinstance(exponent, fmpq):
        exact = _exact_root(base, exponent)
        if exact is not None:
            return exact
    if is_real and not isinstance(base, acb):
        return _real_power(base, exponent)
    return acb(base) ** _ball(exponent)


def _real_power(base: fmpq | arb, exponent: Value) -> arb:
    ball = arb(base)
    if ball < 0:
        if isinstance(exponent, fmpq) and int(exponent.q) % 2:
            root = (-ball) ** arb(exponent)
            return -root if int(exponent.p) % 2 else root
        raise Undefined("a real power of a negative number")
    if isinstance(exponent, acb):
        raise Undefined("a complex exponent among real numbers")
    return ball ** arb(exponent)


def _integer_power(base: Value, exponent: int) -> Value:
    if contains_zero(base) and exponent <= 0:
        raise Undefined("zero to a power that is not positive")
    if isinstance(base, fmpq):
        if base in (0, 1, -1):
            return base ** (exponent if abs(exponent) < 2 else 2 - exponent % 2)
        size = max(abs(int(base.p)).bit_length(), int(base.q).bit_length()) * abs(exponent)
        if size <= MOST_BITS:
            return base**exponent
        base = arb(base)
    _check_exponent(fmpq(exponent))
    if contains_zero(base):
        return _by_squaring(base, exponent)  # flint's own power of a ball around zero is not finite
    return base ** fmpz(exponent) if isinstance(base, arb) else base**exponent


def _by_squaring(base: arb | acb, exponent: int) -> arb | acb:
    result: arb | acb = arb(1)
    while exponent:
        result = result * base if exponent & 1 else result
        base, exponent = base * base, exponent >> 1
    return result


def _exact_root(base: fmpq, exponent: fmpq) -> fmpq | None:
    """Return the rational value of a rational power, None where it is irrational or no square root."""
    if int(exponent.q) != 2 or base < 0:
        return None
    above, below = (fmpz(part).isqrt() for part in (int(base.p), int(base.q)))
    if above * above != base.p or below * below != base.q:
        return None
    result = _integer_power(fmpq(above, below), int(exponent.p))
    return result if isinstance(result, fmpq) else None


def _ball(value: Value) -> arb | acb:
    return arb(value) if isinstance(value, fmpq) else value


def _check_exponent(exponent: Value) -> None:
    """Raise TooLarge where the exponent is so large that even the size of the power is unwieldy."""
    size = abs(acb(exponent)) if isinstance(exponent, acb) else abs(arb(exponent))
    if not size < arb(2) ** _LARGEST_EXPONENT_BITS:
        raise TooLarge("a tower of powers")


def check_size(value: Value) -> None:
    """Raise TooLarge where an exact number has more digits than are worked with."""
    if isinstance(value, fmpq) and int(value.p).bit_length() + int(value.q).bit_length() > MOST_BITS:
        raise TooLarge("a number of too many digits")


def contains_zero(value: Value) -> bool:
    """Return whether a value is zero or may be."""
    return value == 0 if isinstance(value, fmpq) else bool(value.contains(0))
