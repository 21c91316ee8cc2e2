"""References: what a data set gives as the right answer, as text, or as several texts of which each is right."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Reference = str | tuple[str, ...]

# The least whole number after which doubles skip some: digits of larger ones may be another number's.
_EXACT = 2**53


def reference(value: Any) -> str:
    """Return an answer as text: text without the space around it, a number as the digits it prints.

    A float that is whole, which some copies have for integers, is an integer; one with an exponent is written out.

    Args:
        value: text, an integer or a float, of Python or NumPy.

    Raises:
        ValueError: missing, empty, not finite, a whole float from 2^53 on, whose digits are not exact, or of another
            type.

    >>> from bandpo.data.references import reference
    >>> reference(27.0), reference(" 033 "), reference(0.1), reference(1e-07)
    ('27', '033', '0.1', '0.0000001')
    """
    value = _plain(value)
    if value is None:
        raise ValueError("answer is missing (null)")
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("answer is empty")
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError(f"answer is {described(value)}: expected text or a number")
    if not math.isfinite(value):
        raise ValueError(f"answer is {value}: expected a finite number or text")
    if isinstance(value, float) and abs(value) >= _EXACT:
        raise ValueError(f"answer is {value!r}, a float whose digits are not exact from 2^53 on: expected it as text")
    return _digits(value)


def read_reference(value: Any, *, alternatives: bool = False, read: Callable[[Any], str] = reference) -> Reference:
    """Return what `read` makes of an answer; of a list, where lists are alternatives, what it makes of each entry.

    Args:
        value: one answer, or a list of answers of which each is right.
        alternatives: whether a list is taken.
        read: from one answer to its text.

    Raises:
        ValueError: a list that is not taken, is empty or holds lists; or as `read`.

    >>> from bandpo.data.references import read_reference
    >>> read_reference(["1/2", 0.5], alternatives=True)
    ('1/2', '0.5')
    """
    value = _plain(value)
    if not isinstance(value, list):
        return read(value)
    if not alternatives:
        raise ValueError(
            f"answer is {described(value)}: expected one answer, or --alternatives where each of a list is right"
        )
    if not value:
        raise ValueError("answer is an empty list: expected at least one alternative")
    return tuple(read(entry) for entry in value)


def described(value: Any) -> str:
    """Return what a value is, as a phrase: its type, and as much of it as fits.

    >>> from bandpo.data.references import described
    >>> described(["3", "5"]), described(True), described({"a": 1})
    ("a list, ['3', '5']", 'a bool, True', "a dict, {'a': 1}")
    """
    kind = type(value).__name__
    shown = repr(value) if len(repr(value)) <= 40 else repr(value)[:39] + "…"
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}, {shown}"


def _plain(value: Any) -> Any:
    """Return the Python value of a NumPy scalar or array, floats by their shortest digits; another value as it is."""
    if type(value).__module__ != "numpy":
        return value
    return float(str(value)) if getattr(value, "shape", None) == () and value.dtype.kind == "f" else value.tolist()


def _digits(value: int | float | Decimal) -> str:
    """Return a finite number without exponent: the shortest digits that read back as the same number."""
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return str(int(exact)) if exact == exact.to_integral_value() else format(exact.normalize(), "f")
