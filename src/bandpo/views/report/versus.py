"""Methods side by side: means with 95 % intervals over seeds, every seed as a dot, and curves over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bandpo.views.report.comparison import Comparison, Score
from bandpo.views.report.figures import Figure, look, plain_layout, quoted
from bandpo.views.report.intervals import student
from bandpo.views.report.text import line, rounded, short, signed
from bandpo.views.report.training import score_figures, unit_of

_MOST_DIFFERENCES, _NAME = 400, 22


def versus_figures(found: Comparison) -> list[Figure]:
    """Return a panel of intervals for every score."""
    return [
        _intervals(found, name) for name in found.score_names if any(name in each for each in found.scores.values())
    ]


def curve_figures(found: Comparison) -> list[Figure]:
    """Return a panel of curves for every score, methods in the looks of the other panels."""
    methods = list(found.scores) or list(found.curves)
    ordered = {method: found.curves[method] for method in methods if method in found.curves}
    reach = student(len(found.seeds))
    return score_figures(ordered, lambda method: reach, "95 % intervals of the mean over seeds")


def _intervals(found: Comparison, name: str) -> Figure:
    held = [(number, method, each[name]) for number, (method, each) in enumerate(found.scores.items()) if name in each]
    data: list[dict[str, Any]] = []
    for number, method, score in held:
        data += _row(number, method, score)
    layout = plain_layout(unit_of(name), "")
    layout["xaxis"] |= {"rangemode": "tozero", "showgrid": True, "zeroline": True}
    layout["yaxis"] |= {
        "tickvals": [number for number, _, _ in held],
        "ticktext": [_wrapped(method) for _, method, _ in held],
        "showgrid": False,
        "zeroline": False,
        "nticks": 0,
        "range": [len(held) - 0.5, -0.5],
    }
    if name in found.start:
        layout["shapes"] = [_start_line(found.start[name])]
    says = f"{name}: " + "; ".join(f"{method} {said(score)}" for _, method, score in held[:12])
    return Figure(name, says, data, layout, height=4.5 + 2.1 * len(held))


def _row(number: int, method: str, score: Score) -> list[dict[str, Any]]:
    style = look(number)
    seeds = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(score.values),
        "y": [number + 0.22] * len(score.values),
        "marker": {"symbol": "circle-open", "size": 5, "color": "@soft"},
        "hovertemplate": "one seed: %{x:.4g}<extra></extra>",
    }
    mean: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": quoted(method),
        "x": rounded([score.mean]),
        "y": [number],
        "marker": {"symbol": style["symbol"], "size": 11, "color": style["colour"]},
        "hovertemplate": f"%{{fullData.name}}<br>{quoted(said(score))}<extra></extra>",
    }
    if score.interval:
        half = score.interval[1] - score.mean
        mean["error_x"] = {
            "type": "data",
            "array": rounded([half]),
            "color": style["colour"],
            "thickness": 2,
            "width": 5,
        }
    return [seeds, mean]


def _start_line(at: float) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@soft", "width": 1.5, "dash": "4px,3px"},
    }


def _wrapped(method: str) -> str:
    """Return a method's name in lines that a phone has room for.

    >>> _wrapped("clip-higher:eps_high=0.6")
    'clip-higher<br>eps_high=0.6'
    """
    return "<br>".join(quoted(line(part, _NAME)) for part in method.split(":")[:3])


def said(score: Score) -> str:
    """Return a mean with its interval for people.

    >>> said(Score([0.1, 0.3], 0.2, 0.1))
    '0.2 (−1.07 to 1.47)'
    """
    ends = "" if score.interval is None else f" ({short(score.interval[0])} to {short(score.interval[1])})"
    return f"{short(score.mean)}{ends}"


def score_rows(found: Comparison) -> list[list[str]]:
    """Return the table of methods: the start, then a row each."""
    names = found.score_names
    start = [["before training", *(short(found.start.get(name)) for name in names)]] if found.start else []
    return start + [
        [method, *(said(scores[name]) if name in scores else "–" for name in names)]
        for method, scores in found.scores.items()
    ]


def difference_rows(found: Comparison) -> list[list[Any]]:
    """Return the table of differences: score, pair, mean, interval, p, and whether it is clear."""
    names = {name: at for at, name in enumerate(found.score_names)}
    held = [each for each in found.differences if each.score in names]
    rows: list[list[Any]] = []
    for each in sorted(held, key=lambda each: names[each.score])[:_MOST_DIFFERENCES]:
        interval = "–" if each.low is None else f"{signed(each.low)} to {signed(each.high)}"
        pair = f"{each.methods[0]} − {each.methods[1]}"
        rows.append([each.score, pair, signed(each.mean), interval, _p(each.p), each.is_clear])
    return rows


def _p(p: float | None) -> str:
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def keys(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a legend shows of the curves of these labels, in their order."""
    return [{"label": label, **look(number), "number": number} for number, label in enumerate(labels)]
