"""The tables of docs/alignment.md, made of the results and of the causes the package names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bandpo.microscope.alignment import CAUSES
from benchmarks.marks import put

PAGE = Path(__file__).parents[1] / "docs" / "alignment.md"
CAUSES_START = "<!-- causes: python -m benchmarks.alignment -->\n"
RATES_START = "<!-- table: python -m benchmarks.alignment -->\n"
GOAL = 95


def causes_table() -> list[str]:
    """Return what every verdict means and its cure."""
    rows = [f"| {name} | {cause.meaning} | {cause.cure} |" for name, cause in CAUSES.items()]
    return ["| verdict | meaning | cure |", "|---|---|---|", *rows]


def rates_table(beds: Mapping[str, Any]) -> Iterator[str]:
    """Yield the share of batches named right, by fault, bed and noise; below the goal in bold."""
    sigmas = list(next(iter(next(iter(beds.values()))["faults"].values())))
    columns = [(bed, sigma) for bed in beds for sigma in sigmas]
    yield "| planted | " + " | ".join(f"{bed}, σ = {sigma}" for bed, sigma in columns) + " | where it falls short |"
    yield "|---|" + "---|" * (len(columns) + 1)
    names = list(dict.fromkeys(name for bed in beds.values() for name in bed["faults"]))
    for name in names:
        cells, misses = [], Counter()
        for bed, sigma in columns:
            trial = beds[bed]["faults"].get(name, {}).get(sigma)
            if trial is None:
                cells.append("–")
                continue
            percent = 100 * trial["right"] / beds[bed]["batches"]
            goal = 99 if trial["truth"] == "aligned" else GOAL
            cells.append(f"{percent:.0f}" if percent >= goal else f"**{percent:.0f}**")
            if percent < goal:
                misses[f"{bed} {sigma}: {_most_said_else(trial)}"] += 1
        yield f"| {name} | " + " | ".join(cells) + f" | {'; '.join(misses)} |"


def _most_said_else(trial: Mapping[str, Any]) -> str:
    truth = trial["truth"]
    wrong = {
        said: count for said, count in trial["said"].items() if truth not in said.split(" | ") or truth == "aligned"
    }
    wrong.pop("aligned", None) if truth == "aligned" else None
    said, count = max(wrong.items(), key=lambda item: item[1])
    return f"“{said.split(' | ')[0]}” {count}"


def confidence_table(beds: Mapping[str, Any]) -> list[str]:
    """Return how often a verdict of each confidence was right, over all beds, faults and noises."""
    counts: Counter[str] = Counter()
    for bed in beds.values():
        for trials in bed["faults"].values():
            for trial in trials.values():
                counts.update(trial["sure"])
    lines = ["| confidence | batches | right |", "|---|---|---|"]
    for word in ("sure", "likely", "unclear"):
        right, wrong = counts[f"{word}, right"], counts[f"{word}, wrong"]
        lines.append(f"| {word} | {right + wrong:,} | {100 * right / max(right + wrong, 1):.0f} % |")
    return lines


def write_page(results: Mapping[str, Any], page: Path = PAGE) -> None:
    """Put the tables between their marks."""
    rates = [*rates_table(results["beds"]), "", *confidence_table(results["beds"])]
    for start, lines in ((CAUSES_START, causes_table()), (RATES_START, rates)):
        put(page, start, "\n".join(lines) + "\n")
