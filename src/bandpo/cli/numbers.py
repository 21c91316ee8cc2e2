"""Numbers as commands read them from a line and print them."""

from __future__ import annotations

import math

_MOST_NUMBERS = 1000


def numbers(option: str, text: str, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Return the numbers between commas, each strictly between `low` and `high`.

    Args:
        option: what errors call it.
        text: what the user wrote.
        low, high: of every number.

    Raises:
        ValueError: no number, another text, a number out of range, or more than 1,000.

    >>> numbers("--p", "0.1, 0.5")
    [0.1, 0.5]
    """
    try:
        values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or not all(low < value < high for value in values):
        between = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise ValueError(f"{option} {text}: expected numbers {between}, commas between")
    if len(values) > _MOST_NUMBERS:
        raise ValueError(f"{option}: {len(values):,} numbers, expected {_MOST_NUMBERS:,} at most")
    return values


def short(value: float, sign: str = "") -> str:
    """Return a number in three digits, without an exponent where a few zeros do.

    >>> short(0.0123456), short(0.25, "+"), short(1e-5), short(-1e-9)
    ('0.0123', '+0.250', '1e-05', '0')
    """
    if value == 0 or abs(value) < 1e-6:
        return "0"
    return f"{value:{sign}.3g}" if abs(value) < 1e-4 or abs(value) >= 1000 else f"{value:{sign}#.3g}".rstrip(".")
