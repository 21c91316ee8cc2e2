"""What a comparison found: means with standard errors, differences paired by seed, and curves over training."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bandpo.runs.comparison.specs import Spec, run_folder
from bandpo.store.folder import EVALUATIONS, RESULT, RunFolder
from bandpo.store.machine import environment

_NOT_COMPARED = ("step", "problems", "errors")


def summarise(specs: Sequence[Spec], seeds: Sequence[int], out: Path) -> dict[str, Any]:
    """Return the scores of every run, mean and standard error per method, and differences paired by seed.

    The 95 % interval and p value of a difference are those of the paired t test, uncorrected for their number.

    Raises:
        ValueError: a run that is not finished, was not evaluated, or whose result is damaged.
    """
    runs = {spec.label: [run_folder(out, spec, seed) for seed in seeds] for spec in specs}
    results = {label: [_result(folder) for folder in folders] for label, folders in runs.items()}
    first, config = next(iter(results.values()))[0], next(iter(runs.values()))[0].config() or {}
    names = [name for name in first["after"] if name not in _NOT_COMPARED]
    for label, folders in runs.items():
        for folder, result in zip(folders, results[label], strict=True):
            _check_scores(folder, result, names)
    scores = {label: {name: [r["after"][name] for r in rows] for name in names} for label, rows in results.items()}
    return {
        "seeds": list(seeds),
        "start": first["before"],
        "methods": {
            label: {name: {**mean_and_error(values), "values": values} for name, values in by_name.items()}
            for label, by_name in scores.items()
        },
        "differences": [
            {"methods": [a, b], **{name: paired_t(scores[a][name], scores[b][name]) for name in names}}
            for b, a in combinations(scores, 2)
        ],
        "curves": {label: _curves(folders, names) for label, folders in runs.items()},
        "config": {name: value for name, value in config.items() if name not in ("method", "method_kwargs", "seed")},
        "environment": environment(),
        "command": shlex.join(["bandpo", *sys.argv[1:]]),
    }


def mean_and_error(values: Sequence[float]) -> dict[str, Any]:
    """Return `mean` and its standard error `se`, None of a single value.

    >>> mean_and_error([1.0, 3.0])
    {'mean': 2.0, 'se': 1.0}
    """
    spread = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "se": spread}


def paired_t(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Return the mean of a - b over pairs with its error, 95 % interval and p of the paired t test.

    Interval and p are there where at least two pairs differ by different amounts.
    """
    difference = np.subtract(a, b)
    entry: dict[str, Any] = mean_and_error(difference.tolist())
    if len(difference) > 1 and np.ptp(difference) > 0:
        test = stats.ttest_rel(a, b)
        low, high = test.confidence_interval(0.95)
        entry |= {"low": float(low), "high": float(high), "p": float(test.pvalue)}
    return entry


def _result(folder: RunFolder) -> dict[str, Any]:
    if not (folder.path / RESULT).is_file():
        raise ValueError(f"{folder.path} is not finished: the same command goes on where it was")
    result = folder.result()
    if not result.get("after"):
        raise ValueError(f"{folder.path} has no evaluation: expected --eval_dataset with problems to compare on")
    return result


def _check_scores(folder: RunFolder, result: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise ValueError where a result lacks a score; one of the start may be missing as a whole."""
    for when in ("before", "after"):
        scores = result.get(when)
        if scores is not None and not _holds_numbers(scores, names):
            way_on = "remove it, and the same command finishes the run again"
            raise ValueError(f"{folder.path / RESULT} is damaged ({when!r} is not all scores): {way_on}")


def _holds_numbers(scores: Any, names: Sequence[str]) -> bool:
    numbers = [scores.get(name) for name in names] if isinstance(scores, Mapping) else [None]
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers)


def _curves(folders: Sequence[RunFolder], names: Sequence[str]) -> dict[str, list]:
    """Return mean and standard error over seeds at every step at which all runs have their evaluation."""
    runs = []
    for folder in folders:
        records = folder.read(EVALUATIONS, say_damage=True)
        whole = {record["step"]: record for record in records if _holds_numbers(record, ["step", *names])}
        if len(whole) < len(records):
            folder.say(f"{EVALUATIONS}: {len(records) - len(whole)} records without all scores are left out")
        runs.append(whole)
    steps = sorted(set.intersection(*map(set, runs)))
    curves: dict[str, list] = {"step": steps}
    for name in names:
        values = np.array([[run[step][name] for step in steps] for run in runs])
        error = values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.zeros(len(steps))
        curves[name], curves[f"{name} se"] = values.mean(0).tolist(), error.tolist()
    return curves
