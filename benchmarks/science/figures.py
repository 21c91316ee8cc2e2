"""The figures of docs/evidence.md: scores over updates, mean and standard error over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bandpo.runs.comparison.summary import mean_and_error
from bandpo.views.style import curve_figure
from benchmarks.science.plan import MAIN, Cell, Record, tuned_pair

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SHOWN = {"pass@32": "pass@32", "mean@32": "mean@32", "entropy": "entropy, nats", "rare": "answers with ×"}


def curves(cell: Cell, test: Sequence[Record], methods: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard error of every score at every evaluation, by method."""
    found = {}
    for method in methods:
        runs = [record["curve"] for record in cell.records(test) if record["method"] == method]
        columns: dict[str, list[float]] = {"step": [scores["updates"] for scores in runs[0]]}
        for name in SHOWN:
            points = [mean_and_error([run[place][name] for run in runs]) for place in range(len(runs[0]))]
            columns[name], columns[f"{name} se"] = [p["mean"] for p in points], [p["se"] for p in points]
        found[method] = columns
    return found


def draw(cell: Cell, test: Sequence[Record], tuning: Sequence[Record], folder: Path = FOLDER) -> Path:
    """Draw the main arms and the tuned pair of a cell, and return the file."""
    pair = tuned_pair(cell, tuning)
    drawn = curves(cell, test, [*MAIN, *([pair] if pair and pair not in MAIN else [])])
    title = f"{cell.task}, learning rate {cell.rate:g}: mean ± standard error over seeds"
    figure = curve_figure(drawn, list(SHOWN), title, labels=SHOWN)
    path = folder / f"evidence-{cell.task}.png"
    metadata: Mapping[str, Any] = {"Software": None}
    figure.savefig(path, dpi=110, metadata=metadata)
    return path
