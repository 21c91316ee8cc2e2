"""What a comparison shows: a table in Markdown, and curves over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandpo.files.durable import PARTIAL, write_file
from bandpo.store.records import printable, to_json

_NOT_IN_TABLE = ("well-formed",)
_LABELS = {"entropy": "entropy, nats a token"}


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
    """Return the text as one cell of a Markdown table, with nothing in it that steers a terminal."""
    return printable(text).replace("|", "\\|")


def _caution(seeds: int) -> list[str]:
    """Return a word of caution where it is due: from two seeds p < 0.05 needs differences within 15 % of each other."""
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
    """Return a p value to three decimals, as all of a table.

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
