"""Scores of one evaluation, and of two against each other, as `bandpo eval` prints them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from bandpo.cli.console import console

_LARGEST_TRIVIAL = {"pass@": 1, "maj@": 2}


def print_scores(result: Mapping[str, Any]) -> None:
    """Print every score of a finished evaluation with its interval."""
    console.print(_scores_table(result))
    _print_intervals(result)


def print_comparison(folders: tuple[str, str], output_dir: str | None) -> None:
    """Compare two evaluations and print the differences; write them to a folder where one is named."""
    from bandpo.evals.comparing import compare
    from bandpo.store.records import to_json

    result = compare(*folders)
    if Path(folders[0]).resolve() == Path(folders[1]).resolve():
        console.print("note: A and B are the same folder, so nothing can differ", soft_wrap=True)
    for task, scores in result["differences"].items():
        table = Table("", "A", "B", "A − B", "p", title=escape(task))
        for name, entry in scores.items():
            if _is_shown(name):
                interval = "" if entry["low"] is None else f"  {entry['low']:+.3f} .. {entry['high']:+.3f}"
                change = _number(entry["difference"], "+") + interval
                table.add_row(
                    escape(name),
                    _number(entry["a"]),
                    _number(entry["b"]),
                    change,
                    "" if entry["p"] is None else f"{entry['p']:.2g}",
                )
        console.print(table)
    for letter, side in zip("AB", ("a", "b"), strict=True):
        model = result[side]["settings"]["model"]
        console.print(f"{letter}: {escape(model)}, {escape(result[side]['folder'])}", soft_wrap=True)
    _print_intervals(result)
    console.print(f"p: {result['p']['method']}, uncorrected", soft_wrap=True)
    for name, (a, b) in result["versions_differ"].items():
        console.print(escape(f"note: {name.removeprefix('version.')} {a} in A, {b} in B"), soft_wrap=True)
    if output_dir is not None:
        path = Path(output_dir) / "comparison.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(result, indent=1) + "\n", encoding="utf-8")
        console.print(f"written to {escape(str(path))}", soft_wrap=True)


def _is_shown(name: str) -> bool:
    """Return whether a score says more than the mean does: pass@1, maj@1, and maj@2 with ties drawn, do not."""
    kind, _, k = name.partition("@")
    return not (f"{kind}@" in _LARGEST_TRIVIAL and int(k) <= _LARGEST_TRIVIAL[f"{kind}@"])


def _scores_table(result: Mapping[str, Any]) -> Table:
    from bandpo.evals.config import EvalConfig

    config = EvalConfig.read(result["settings"])
    title = f"{config.model}, n={config.n}, temperature {config.temperature:g}"
    table = Table(title=escape(title))
    table.add_column("")
    for name, task in config.tasks.items():
        table.add_column(escape(f"{name} ({task.problems})"))
    names = dict.fromkeys(name for scores in result["scores"].values() for name in scores)
    for name in filter(_is_shown, names):
        table.add_row(name, *(_cell(result["scores"][task].get(name)) for task in config.tasks))
    for task, logged in result["logged"].items():
        for name, value in logged.items():
            table.add_row(escape(name), *(f"{value:.3f}" if other == task else "" for other in config.tasks))
    return table


def _print_intervals(result: Mapping[str, Any]) -> None:
    console.print(f"{result['intervals']['level']:.0%} intervals: {result['intervals']['method']}", soft_wrap=True)


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    interval = "" if entry["low"] is None else f"  {_number(entry['low'])} .. {_number(entry['high'])}"
    return _number(entry["value"]) + interval


def _number(value: float | None, sign: str = "") -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:{sign}.3f}" if abs(value) < 100 else f"{value:{sign}.0f}"
