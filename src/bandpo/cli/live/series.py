"""A metric over a whole run in bounded memory, and as a line of small bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

BLOCKS, ASCII_BLOCKS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_MOST = 512


class Series:
    """The values of a metric so far; in a long run each one kept is the mean of as many neighbours.

    Attributes:
        last: the newest value, None where it is no finite number.
        lowest, highest: of the values kept, None where there are none.

    >>> series = Series()
    >>> for value in (0.0, 2.0, 4.0): series.add(value)
    >>> series.last, series.columns(3), series.columns(2)
    (4.0, [0.0, 2.0, 4.0], [0.0, 3.0])
    """

    def __init__(self):
        self.last: float | None = None
        self._values: list[float] = []
        self._waiting: list[float] = []
        self._of_each = 1

    def add(self, value: object) -> None:
        """Count the next value; one that is no finite number leaves no trace but in `last`."""
        self.last = _finite(value)
        if self.last is None:
            return
        self._waiting.append(self.last)
        if len(self._waiting) == self._of_each:
            self._values.append(_mean(self._waiting))
            self._waiting = []
        if len(self._values) == _MOST:
            self._values = [_mean(pair) for pair in zip(self._values[::2], self._values[1::2], strict=True)]
            self._of_each *= 2

    @property
    def lowest(self) -> float | None:
        """Return the least value kept."""
        return min(self._kept(), default=None)

    @property
    def highest(self) -> float | None:
        """Return the greatest value kept."""
        return max(self._kept(), default=None)

    def columns(self, width: int) -> list[float]:
        """Return the values as at most `width` means of neighbours."""
        values = self._kept()
        count = min(width, len(values))
        edges = [column * len(values) // count for column in range(count + 1)] if count else []
        return [_mean(values[left:right]) for left, right in itertools.pairwise(edges)]

    def _kept(self) -> list[float]:
        return [*self._values, _mean(self._waiting)] if self._waiting else self._values


def sparkline(values: Sequence[float], blocks: str = BLOCKS, *, floor: float | None = None) -> str:
    """Return one sign a value, from the first of `blocks` for the least to the last one for the greatest.

    Args:
        values: finite.
        blocks: from low to high.
        floor: a value that the first sign stands for, where none is less.

    >>> sparkline([0.0, 1.0, 2.0], "_-#"), sparkline([1.0, 1.0], "_-#"), sparkline([1.0, 2.0], "_-#", floor=0.0)
    ('_-#', '__', '-#')
    """
    if not values:
        return ""
    largest = max(map(abs, values)) or 1.0
    scaled = [value / largest for value in values]
    low = min(scaled) if floor is None else min(floor / largest, *scaled)
    span = (max(scaled) - low) or math.inf
    return "".join(blocks[int((value - low) / span * (len(blocks) - 1) + 0.5)] for value in scaled)


def _mean(values: Sequence[float]) -> float:
    return sum(value / len(values) for value in values)


def _finite(value: object) -> float | None:
    """Return the value as a number; None where it is none, or not finite."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
