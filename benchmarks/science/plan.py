"""What is run for docs/evidence.md, as registered in registration.md: arms, cells, seeds.

Tuning comes first, on seeds of its own: 34 fixed pairs on two seeds, the best four of a task on three more at every
learning rate. A learning rate's test seeds are run once its choice is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bandpo.views.specs import parse_specs
from benchmarks.science.run import Job
from benchmarks.science.stack import Run, Settings

STARTS = ("countdown", "countdown-2", "countdown-3")
TASKS = ("countdown", "countdown-sums")
RATES = (1e-4, 2e-4, 5e-5)  # in the order in which cells are run
MAIN_RATE = RATES[0]
UPDATES, EVALUATE_EVERY = 1200, 25
FIRST_SEEDS, SECOND_SEEDS, TEST_SEEDS = range(4000, 4002), range(4002, 4005), range(5000, 5024)
BLOCK = 6  # seeds of all arms that are run before the next

CANDIDATE = "band-upper:eps_low=0.05"
MAIN = (CANDIDATE, "band-kl", "grpo", "clip-higher")
RIVALS = ("dcpo", "atr-grpo", "dppo-tv", "maspo", "cispo")
OPEN = 1000  # no upper bound: a ratio that large does not occur
PAIRS = (
    *itertools.product((0.02, 0.05, 0.1, 0.2), (0.1, 0.2, 0.28, 0.4, 0.6, 1.0, 2.0, OPEN)),
    (0.3, 0.3),
    (0.5, 0.5),
)
FINALISTS = 4
RADII = (0.01, 0.02, 0.03)  # of band-kl, for the arm that clips as much as grpo

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A task at a learning rate.

    Attributes:
        task: a name in `tasks.TASKS`.
        rate: learning rate.
        updates, evaluate_every: the length of its runs, in updates, and rollouts between their evaluations.
        starts: names of its warm starts, which its seeds take in turn.
        about: what tells it from another cell of the task, such as the size of the model.
        pair: the fixed pair that stands for tuned ones, where none is tuned.
    """

    task: str
    rate: float
    updates: int = UPDATES
    evaluate_every: int = EVALUATE_EVERY
    starts: tuple[str, ...] = STARTS
    about: str = ""
    pair: str | None = None

    @property
    def name(self) -> str:
        """Return the task, and what tells the cell from others of it."""
        return f"{self.task} ({self.about})" if self.about else self.task

    @property
    def settings(self) -> Settings:
        """Return what all of its runs share."""
        return Settings(task=self.task, updates=self.updates, evaluate_every=self.evaluate_every)

    @property
    def has_rivals(self) -> bool:
        """Tell whether the rivals and the matched radius are arms here."""
        return (self.task, self.rate, self.starts) == (TASKS[0], MAIN_RATE, STARTS)

    def job(self, arms: Sequence[str], seeds: Sequence[int]) -> Job:
        """Return the runs of arms on seeds; seed s begins at warm start s modulo their number."""
        specs = parse_specs(",".join(arms))
        runs = [Run(spec, self.rate, seed, self.starts[seed % len(self.starts)]) for spec in specs for seed in seeds]
        return self.settings, runs

    def records(self, records: Sequence[Record]) -> list[Record]:
        """Return those of the cell."""
        own = {"task": self.task, "lr": self.rate, "updates": self.updates}
        return [
            record
            for record in records
            if record["start"] in self.starts and all(record[name] == value for name, value in own.items())
        ]


CELLS = tuple(Cell(task, rate) for rate in RATES for task in TASKS)


def cells_at(rate: float) -> list[Cell]:
    """Return the cells of a learning rate."""
    return [cell for cell in CELLS if cell.rate == rate]


def pair_spec(pair: tuple[float, float]) -> str:
    """Return a fixed pair as users write it.

    >>> pair_spec((0.05, 1.0))
    'clip-higher:eps_low=0.05:eps_high=1.0'
    """
    return f"clip-higher:eps_low={pair[0]}:eps_high={pair[1]}"


def first_tuning(cells: Sequence[Cell]) -> Iterator[Job]:
    """Yield the runs of all pairs, and of the radii where the rivals are arms."""
    for cell in cells:
        yield cell.job([*map(pair_spec, PAIRS)], FIRST_SEEDS)
        if cell.has_rivals:
            yield cell.job(["grpo", *(f"band-kl:delta={radius}" for radius in RADII)], FIRST_SEEDS)


def second_tuning(records: Sequence[Record], cells: Sequence[Cell]) -> Iterator[Job]:
    """Yield the runs of each cell's best pairs."""
    for cell in cells:
        yield cell.job(finalists(cell, records), SECOND_SEEDS)


def finalists(cell: Cell, records: Sequence[Record]) -> list[str]:
    """Return the pairs with the best mean of mean@32 and pass@32 over the first seeds, at the main learning rate."""
    first = [r for r in replace(cell, rate=MAIN_RATE).records(records) if r["seed"] in FIRST_SEEDS]
    found = goodness(first)
    return sorted(found, key=lambda method: -found[method])[:FINALISTS]


def tuned_pair(cell: Cell, records: Sequence[Record]) -> str | None:
    """Return the best pair of a cell over its second tuning seeds, or its given one; None where there is neither."""
    if cell.pair:
        return cell.pair
    found = goodness([record for record in cell.records(records) if record["seed"] in SECOND_SEEDS])
    best = [method for method in finalists(cell, records) if method in found]
    return max(best, key=lambda method: found[method]) if best else None


def goodness(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean of mean@32 and pass@32 by fixed pair."""
    pairs = set(map(pair_spec, PAIRS))
    by_method: dict[str, list[float]] = {}
    for record in records:
        if record["method"] in pairs:
            final = record["final"]
            by_method.setdefault(record["method"], []).append((final["mean@32"] + final["pass@32"]) / 2)
    return {method: float(np.mean(values)) for method, values in by_method.items()}


def matched_radius(cell: Cell, records: Sequence[Record]) -> float:
    """Return the δ at which band-kl stops as many tokens as grpo in tuning, log-linear between radii, to two digits."""
    own = [record for record in cell.records(records) if record["seed"] in FIRST_SEEDS]

    def share(method: str) -> float:
        return float(np.mean([r["final"]["clip"] for r in own if r["method"] == method]))

    shares = [share(f"band-kl:delta={radius}") for radius in RADII]
    order = np.argsort(shares)
    wanted = np.interp(share("grpo"), np.asarray(shares)[order], np.log(np.asarray(RADII))[order])
    return float(f"{np.exp(wanted):.2g}")


def arms(cell: Cell, tuning: Sequence[Record]) -> list[str]:
    """Return the arms of a cell: of the first task at the main learning rate the rivals and the matched radius too."""
    pair = tuned_pair(cell, tuning)
    if pair is None:
        return [*MAIN]
    chosen = [*MAIN, pair]
    if cell.has_rivals:
        chosen += [*RIVALS, f"band-kl:delta={matched_radius(cell, tuning)}"]
    return chosen


def confirmation(tuning: Sequence[Record], cells: Sequence[Cell]) -> Iterator[Job]:
    """Yield the test runs of cells, one cell after the other, all arms of a few seeds before the next seeds.

    Raises:
        ValueError: a cell has no tuned pair.
    """
    for cell in cells:
        if tuned_pair(cell, tuning) is None:
            raise ValueError(f"{cell.name} at learning rate {cell.rate:g} has no tuned pair: expected its tuning runs")
        for start in range(0, len(TEST_SEEDS), BLOCK):
            yield cell.job(arms(cell, tuning), TEST_SEEDS[start : start + BLOCK])
