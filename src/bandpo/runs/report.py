"""What a comparison found: means with standard errors, differences paired by seed, a table and curves."""

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

from bandpo.runs.specs import Spec, run_folder
from bandpo.store.durable import PARTIAL, write_file
from bandpo.store.folder import EVALUATIONS, RESULT, RunFolder
from bandpo.store.machine import environment
from bandpo.store.records import printable, to_json

_NOT_COMPARED = ("step", "problems")
_NOT_IN_TABLE = ("well-formed",)

_LABELS = {"entropy": "entropy, nats a token"}


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
            label: {name: {**_mean(values), "values": values} for name, values in by_name.items()}
            for label, by_name in scores.items()
        },
        "differences": [
            {"methods": [a, b], **{name: _paired(scores[a][name], scores[b][name]) for name in names}}
            for b, a in combinations(scores, 2)
        ],
        "curves": {label: _curves(folders, names) for label, folders in runs.items()},
        "config": {name: value for name, value in config.items() if name not in ("method", "method_kwargs", "seed")},
        "environment": environment(),
        "command": shlex.join(["bandpo", *sys.argv[1:]]),
    }


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    spread = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "se": spread}


def _paired(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    difference = np.subtract(a, b)
    entry: dict[str, Any] = _mean(difference.tolist())
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
    """Mean and standard error over seeds at every step at which all runs have their evaluation."""
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


def write_report(summary: dict[str, Any], out: Path) -> str:
    """Write results.json, table.md and curves.png to the comparison's folder; return the table."""
    write_file(out / "results.json", to_json(summary, indent=1) + "\n")
    table = _table(summary)
    write_file(out / "table.md", table)
    _plot(summary, out / "curves.png")
    return table


def _scores(summary: dict[str, Any]) -> list[str]:
    return list(next(iter(summary["methods"].values())))


def _table(summary: dict[str, Any]) -> str:
    names = [name for name in _scores(summary) if name not in _NOT_IN_TABLE]
    count = len(summary["seeds"])
    lines = [
        f"Mean ± standard error over {count} seeds ({_seeds_text(summary['seeds'])}).",
        "",
        *_head("method", names),
    ]
    if summary["start"] is not None:
        lines.append(_row(["*start*", *(f"{summary['start'][name]:.3f}" for name in names)]))
    for label, scores in summary["methods"].items():
        lines.append(_row([_cell(label), *(_plus_minus(scores[name]) for name in names)]))
    if count > 1:
        lines += ["", "Differences paired by seed; p of the paired t test, uncorrected.", *_caution(count), ""]
        lines += _head("difference", names)
        for entry in summary["differences"]:
            a, b = map(_cell, entry["methods"])
            lines.append(_row([f"{a} − {b}", *(_signed(entry[name]) for name in names)]))
    return "\n".join(lines) + "\n"


def _head(first: str, names: Sequence[str]) -> list[str]:
    return [_row([first, *map(_cell, names)]), "|---|" + "---|" * len(names)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """The text as one cell of a Markdown table, with nothing in it that steers a terminal."""
    return printable(text).replace("|", "\\|")


def _caution(seeds: int) -> list[str]:
    """From two seeds p is below 0.05 only where the smaller difference is 85 % of the larger one or more."""
    if seeds > 2:
        return []
    return ["Two seeds leave the t test one degree of freedom: these p values say little, five seeds or more do."]


def _seeds_text(seeds: Sequence[int]) -> str:
    is_range = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}..{seeds[-1]}" if is_range else ", ".join(map(str, seeds))


def _plus_minus(entry: dict[str, Any]) -> str:
    return f"{entry['mean']:.3f}" + ("" if entry["se"] is None else f" ± {entry['se']:.3f}")


def _signed(entry: dict[str, Any]) -> str:
    text = f"{entry['mean']:+.3f}" + ("" if entry["se"] is None else f" ± {entry['se']:.3f}")
    return text + (f" ({_p_text(entry['p'])})" if "p" in entry else "")


def _p_text(p: float) -> str:
    """A p value to three decimals, as all of a table.

    >>> _p_text(0.7), _p_text(0.0004)
    ('p=0.700', 'p<0.001')
    """
    return "p<0.001" if p < 0.001 else f"p={p:.3f}"


def _plot(summary: dict[str, Any], path: Path) -> None:
    from bandpo.views.style import curve_figure

    chances, means = ([name for name in _scores(summary) if name.startswith(kind)] for kind in ("pass@", "mean@"))
    title = f"mean ± standard error over {len(summary['seeds'])} seeds"
    curves = {printable(label).replace("$", r"\$"): curve for label, curve in summary["curves"].items()}
    figure = curve_figure(curves, ["entropy", *chances[-1:], *means], title, labels=_LABELS)
    partial = path.with_name(path.name + PARTIAL)
    figure.savefig(partial, dpi=160, format="png")
    partial.replace(path)
