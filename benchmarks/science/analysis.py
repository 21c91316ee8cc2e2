"""The registered analysis: scores of every arm, differences paired by seed, and hypotheses after Holm's correction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bandpo.runs.comparison.summary import mean_and_error
from benchmarks.science.inference import holm, over_groups, paired
from benchmarks.science.plan import CANDIDATE, CELLS, MAIN, RIVALS, Cell, Record, arms, tuned_pair

MEASURES = ("mean@32", "pass@8", "pass@32", "entropy", "rare", "clip")
MARGIN = 0.01  # of mean@32: what counts as no worse
LEVEL = 0.05


def analyse(test: Sequence[Record], tuning: Sequence[Record], cells: Sequence[Cell] = CELLS) -> dict[str, Any]:
    """Return scores, differences and decisions of all cells that have runs."""
    present = [cell for cell in cells if cell.records(test)]
    return {
        "runs": sum(len(cell.records(test)) for cell in present),
        "cells": [scores_of(cell, test, arms(cell, tuning), tuned_pair(cell, tuning)) for cell in present],
        "hypotheses": {name: decided(list(tests(name, present, test, tuning))) for name in ("H1", "H2", "H3")},
    }


def scores_of(cell: Cell, test: Sequence[Record], arms: Sequence[str], tuned: str | None = None) -> dict[str, Any]:
    """Return the scores of a cell's warm starts and arms; `tuned` is the arm whose settings were searched for."""
    own = cell.records(test)
    starts = {record["start"]: record["curve"][0] for record in own}
    return {
        "task": cell.name,
        "rate": cell.rate,
        "updates": cell.updates,
        "tuned": tuned,
        "given": cell.pair is not None,
        "starts": {start: {name: first[name] for name in MEASURES if name in first} for start, first in starts.items()},
        "arms": {
            arm: {"n": len(finals), **{name: mean_and_error([final[name] for final in finals]) for name in MEASURES}}
            for arm in arms
            if (finals := [record["final"] for record in own if record["method"] == arm])
        },
    }


def compare(
    cell: Cell, test: Sequence[Record], a: str, b: str, measure: str, margin: float | None = None
) -> dict[str, Any] | None:
    """Return the difference of two arms of a cell, paired by seed; None where fewer than two seeds have both.

    Returns:
        what `paired` does, the mean by warm start, and the interval whose unit is the warm start.
    """
    scores: dict[str, dict[int, float]] = {a: {}, b: {}}
    starts = {}
    for record in cell.records(test):
        if record["method"] in scores:
            scores[record["method"]][record["seed"]] = record["final"][measure]
            starts[record["seed"]] = record["start"]
    seeds = sorted(scores[a].keys() & scores[b].keys())
    if len(seeds) < 2:
        return None
    by_start: dict[str, list[float]] = {}
    for seed in seeds:
        by_start.setdefault(starts[seed], []).append(scores[a][seed] - scores[b][seed])
    return {
        **{"task": cell.name, "rate": cell.rate, "a": a, "b": b, "measure": measure, "margin": margin},
        **paired([scores[a][seed] for seed in seeds], [scores[b][seed] for seed in seeds], margin),
        "by_start": {start: sum(values) / len(values) for start, values in sorted(by_start.items())},
        "over_starts": over_groups(by_start) if len(by_start) > 1 else None,
    }


def tests(name: str, cells: Sequence[Cell], test: Sequence[Record], tuning: Sequence[Record]) -> Iterator[Any]:
    """Yield every test of a hypothesis, with its claim."""
    for cell in cells:
        for claim, a, b, measure, margin in claims(name, cell, tuning):
            found = compare(cell, test, a, b, measure, margin)
            if found:
                yield {"claim": claim, **found}


def claims(name: str, cell: Cell, tuning: Sequence[Record]) -> Iterator[tuple[str, str, str, str, float | None]]:
    """Yield claim, arm, other arm, measure and margin of every test of a hypothesis in a cell."""
    if name == "H3":
        for claim, measure in (("H3a", "entropy"), ("H3b", "pass@32"), ("H3c", "mean@32")):
            for other in ("grpo", "clip-higher"):
                yield claim, "band-kl", other, measure, None
        return
    if name == "H1":
        others = list(filter(None, [tuned_pair(cell, tuning)]))
        better, no_worse = "H1b", "H1a"
    else:
        others = [*MAIN[1:], *(RIVALS if cell.has_rivals else ())]
        better, no_worse = "H2a", "H2b"
    for other in others:
        yield better, CANDIDATE, other, "pass@32", None
        yield no_worse, CANDIDATE, other, "mean@32", MARGIN


def decided(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tests with p corrected over all of them, and whether each is shown."""
    corrected = holm([test["p"] for test in found])
    return [{**test, "holm": p, "shown": _shown(test, p)} for test, p in zip(found, corrected, strict=True)]


def _shown(test: Mapping[str, Any], p: float) -> str:
    if p >= LEVEL:
        return "not shown"
    return "shown" if test["margin"] is not None or test["mean"] > 0 else "the opposite"
