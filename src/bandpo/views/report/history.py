"""What a trainer logged over training, in a bounded number of points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bandpo.views.report.text import number

MOST_POINTS, _MOST_NAMES = 400, 200
_WANTED = ("reward", "entropy", "grad_norm", "loss", "kl", "completions/mean_length")
# A share's own count of tokens stands beside it under this name.
_COUNT = "/tokens"

Point = dict[str, tuple[float, float]]
Row = TypeVar("Row")


@dataclass
class History:
    """Series over updates. A point is the mean of as many logged records as it takes to stay within `MOST_POINTS`.

    Attributes:
        steps: the last update of every point.
        points: by name, (Σ weight x value, Σ weight); the weight is the share's count of tokens where it is logged.
        per_point: records in a point.
        records: all that were read.
        counted: the series whose counts of tokens were logged.
    """

    steps: list[float] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    per_point: int = 1
    records: int = 0
    counted: set[str] = field(default_factory=set)

    def names(self) -> list[str]:
        """Return the names of all series, in the order in which they were first logged."""
        return list(dict.fromkeys(name for point in self.points for name in point))

    def values(self, name: str) -> list[float | None]:
        """Return a series, None where it was not logged or of no tokens."""
        return [_mean(point.get(name)) for point in self.points]

    def weights(self, name: str) -> list[float]:
        """Return of how many tokens, or records, each value of a series is the mean."""
        return [point.get(name, (0.0, 0.0))[1] for point in self.points]

    def mean(self, name: str, last: float = 1.0) -> float | None:
        """Return the mean of a series over the last part of the points.

        >>> read_history([{"step": 1, "reward": 1}, {"step": 2, "reward": 3}]).mean("reward")
        2.0
        """
        part = self._last(last)
        return _mean((sum(p.get(name, (0, 0))[0] for p in part), self.weight(name, last)))

    def weight(self, name: str, last: float = 1.0) -> float:
        """Return of how many tokens, or records, that mean is."""
        return sum(point.get(name, (0, 0))[1] for point in self._last(last))

    def _last(self, share: float) -> list[Point]:
        return self.points[-max(1, round(share * len(self.points))) :]


def read_history(records: Iterable[Mapping[str, Any]], most: int = MOST_POINTS) -> History:
    """Return the series of logged records; the number of records in a point doubles whenever there are too many.

    Args:
        records: with `step` and numbers; one without is left out.
        most: the most points.

    >>> history = read_history(({"step": n, "reward": n} for n in range(8)), most=2)
    >>> history.steps, history.values("reward"), history.per_point
    ([3.0, 7.0], [1.5, 5.5], 4)
    """
    found, filled = History(), 0
    known: dict[str, None] = {}
    for record in records:
        step = number(record.get("step"))
        if step is None:
            continue
        found.records += 1
        point = _point(record, known)
        found.counted.update(name for name in point if name + _COUNT in record)
        if filled % found.per_point:
            found.points[-1], found.steps[-1] = _joined(found.points[-1], point), step
        else:
            found.points.append(point)
            found.steps.append(step)
        filled += 1
        if len(found.points) == 2 * most and filled % found.per_point == 0:
            found.points = [_joined(*found.points[n : n + 2]) for n in range(0, 2 * most, 2)]
            found.steps, found.per_point = found.steps[1::2], 2 * found.per_point
    order = sorted(range(len(found.steps)), key=found.steps.__getitem__)
    found.steps, found.points = [found.steps[n] for n in order], [found.points[n] for n in order]
    return found


def thinned(rows: Iterable[Row], most: int = MOST_POINTS) -> list[Row]:
    """Return the first, the last and every n-th of the rows, about `most` of them at most.

    >>> thinned(range(10), most=4)
    [0, 4, 8, 9]
    """
    kept: list[Row] = []
    apart, at = 1, -1
    last: list[Row] = []
    for at, row in enumerate(rows):
        last = [row]
        if at % apart == 0:
            kept.append(row)
        if len(kept) > most:
            kept, apart = kept[::2], 2 * apart
    return kept if at % apart == 0 else [*kept, *last]


def _point(record: Mapping[str, Any], known: dict[str, None]) -> Point:
    point: Point = {}
    for name, value in record.items():
        if not (name in _WANTED or name.startswith("band/")) or name.endswith(_COUNT):
            continue
        value, weight = number(value), number(record.get(name + _COUNT, 1))
        if value is None or weight is None or weight < 0 or (name not in known and len(known) >= _MOST_NAMES):
            continue
        known[name] = None
        point[name] = (value * weight, weight)
    return point


def _joined(one: Point, other: Point) -> Point:
    empty = (0.0, 0.0)
    return {
        name: (one.get(name, empty)[0] + other.get(name, empty)[0], one.get(name, empty)[1] + other.get(name, empty)[1])
        for name in {**one, **other}
    }


def _mean(entry: tuple[float, float] | None) -> float | None:
    return entry[0] / entry[1] if entry and entry[1] else None
