"""Texts and numbers of runs as a page shows them: nothing in them acts, hides or reorders, and none is too long."""

from __future__ import annotations

import math
from typing import Any

from bandpo.store.records import printable

LINE, PARAGRAPH = 200, 2000
_LARGEST = 1e30


def line(value: object, most: int = LINE) -> str:
    """Return a value as one line: control characters and marks of direction as escapes, what is too long cut.

    >>> line("a\\x00b\\n"), line("x" * 300, most=3)
    ('a\\\\x00b\\\\n', 'xxx… (300 characters)')
    """
    return _cut(str(value), most, printable)


def paragraph(value: object, most: int = PARAGRAPH) -> str:
    """Return a value as text that keeps its line breaks and tabs, else as `line`.

    >>> paragraph("a\\n\\x1b[1m")
    'a\\n\\\\x1b[1m'
    """
    return _cut(str(value), most, _printable_lines)


def _printable_lines(text: str) -> str:
    return "\n".join("\t".join(map(printable, each.split("\t"))) for each in text.split("\n"))


def _cut(text: str, most: int, made: Any) -> str:
    return made(text) if len(text) <= most else f"{made(text[:most])}… ({len(text):,} characters)"


def number(value: Any) -> float | None:
    """Return a value as a number that a page can draw, None for anything else.

    >>> number(3), number(True), number("3"), number(10**400), number(float("nan"))
    (3.0, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and value.bit_length() > 100:
        return None
    return float(value) if math.isfinite(value) and abs(value) < _LARGEST else None


def rounded(values: Any, digits: int = 5) -> list[float | None]:
    """Return numbers with few digits, so that a page stays small; gaps stay gaps.

    >>> rounded([0.123456789, None])
    [0.12346, None]
    """
    return [None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}") for value in values]


def short(value: float | None) -> str:
    """Return a number for people.

    >>> short(0.07934), short(-12345.6), short(2e-5), short(None)
    ('0.0793', '−12,346', '2e−05', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return text.replace("-", "−")


def signed(value: float | None) -> str:
    """Return a number for people with its sign.

    >>> signed(0.5), signed(-0.5)
    ('+0.5', '−0.5')
    """
    return short(value) if value is None or value <= 0 else f"+{short(value)}"
