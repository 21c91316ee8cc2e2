"""Figures as Plotly's JSON. Colours are names, "@0" or "@ink", which the page's code turns into those of its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bandpo.views.report.text import rounded
from bandpo.views.style import COLOURS

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
DASHES = (
    "solid", "8px,3px", "2px,2px", "9px,3px,2px,3px", "4px,4px", "10px,2px,2px,2px,2px,2px", "1px,4px", "14px,5px"
)  # fmt: skip
_FEW, _ALL_MARKED, _MARKED = 2, 12, 8


@dataclass(frozen=True)
class Figure:
    """A figure with what stands around it.

    Attributes:
        title: above it.
        says: what a reader who does not see it is told.
        data, layout: Plotly's.
        height: in rem.
        note: below it.
    """

    title: str
    says: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    height: float = 15
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """A line over updates, with the interval around it where that is known; `number` says how it is drawn."""

    label: str
    number: int
    steps: Sequence[float]
    values: Sequence[float | None]
    low: Sequence[float | None] = field(default_factory=list)
    high: Sequence[float | None] = field(default_factory=list)


def look(number: int) -> dict[str, Any]:
    """Return colour, dash and marker of the curve of this number; no two of 64 have all three in common.

    >>> look(0), look(8)["dash"] == look(0)["dash"]
    ({'colour': '@0', 'dash': 'solid', 'symbol': 'circle'}, False)
    """
    row, at = divmod(number, len(COLOURS))
    other = (at + row) % len(COLOURS)
    return {"colour": f"@{at}", "dash": DASHES[other], "symbol": SYMBOLS[other]}


def quoted(text: str) -> str:
    """Return text that Plotly shows as it is, of which it would read tags and entities.

    >>> quoted("<b>a</b>")
    '&lt;b&gt;a&lt;/b&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def curve_figure(title: str, axis: str, curves: Sequence[Curve], *, percent: bool = False, note: str = "") -> Figure:
    """Return curves over updates in one panel, bands behind them."""
    bands = [band for curve in curves for band in _band(curve)]
    lines = [_line(curve, percent, len(curves) > 1) for curve in curves]
    said = "; ".join(_said(curve, percent) for curve in curves[:6])
    layout = plain_layout("update", axis)
    layout["yaxis"] |= {"rangemode": "tozero", **({"tickformat": ".3~%"} if percent else {})}
    return Figure(title, f"{title} over updates: {said}", [*bands, *lines], layout, note=note)


def plain_layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a layout with labelled axes, zero lines that are seen, and nothing to drag."""
    axis = {
        "fixedrange": True,
        "gridcolor": "@grid",
        "zerolinecolor": "@zero",
        "zerolinewidth": 1.5,
        "tickcolor": "@grid",
        "ticklen": 4,
        "automargin": True,
        "ticks": "outside",
        "nticks": 6,
    }
    return {
        "margin": {"l": 12, "r": 14, "t": 8, "b": 12},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "@ink", "size": 12, "family": "system-ui, sans-serif"},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@soft", "font": {"color": "@ink"}},
        "showlegend": False,
        "dragmode": False,
        "xaxis": {**axis, "title": {"text": x, "standoff": 6}, "showgrid": False, "zeroline": False},
        "yaxis": {**axis, "title": {"text": y, "standoff": 6}},
        **more,
    }


def _band(curve: Curve) -> list[dict[str, Any]]:
    ends = [
        (step, low, high)
        for step, low, high in zip(curve.steps, curve.low, curve.high, strict=False)
        if low is not None and high is not None
    ]
    if len(ends) <= _FEW:
        return []
    steps = [step for step, _, _ in ends]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [*steps, *steps[::-1]],
            "y": rounded([*(low for _, low, _ in ends), *(high for _, _, high in ends[::-1])]),
            "fill": "toself",
            "fillcolor": f"{look(curve.number)['colour']}~",
            "line": {"width": 0},
            "hoverinfo": "skip",
        }
    ]


def _line(curve: Curve, percent: bool, is_named: bool) -> dict[str, Any]:
    style, form = look(curve.number), "%{y:.3~%}" if percent else "%{y:.4g}"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if is_named or len(curve.steps) <= _ALL_MARKED else "lines",
        "name": quoted(curve.label),
        "x": list(curve.steps),
        "y": rounded(curve.values),
        "line": {"color": style["colour"], "dash": style["dash"], "width": 2},
        "marker": {"symbol": style["symbol"], "size": 7, "color": style["colour"], "maxdisplayed": _MARKED},
        "hovertemplate": ("%{fullData.name}<br>" if is_named else "") + f"update %{{x}}: {form}<extra></extra>",
    }
    if len(curve.low) == len(curve.steps) and any(low is not None for low in curve.low):
        trace["customdata"] = list(zip(rounded(curve.low), rounded(curve.high), strict=True))
        digits = ".3~%" if percent else ".3g"
        ends = " to ".join(f"%{{customdata[{at}]:{digits}}}" for at in (0, 1))
        trace["hovertemplate"] = trace["hovertemplate"].replace("<extra>", f"<br>95 %: {ends}<extra>")
        if len(curve.steps) <= _FEW:
            trace["error_y"] = _error_bars(curve)
    return trace


def _error_bars(curve: Curve) -> Mapping[str, Any]:
    rows = list(zip(curve.values, curve.low, curve.high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": rounded([None if y is None or high is None else high - y for y, _, high in rows]),
        "arrayminus": rounded([None if y is None or low is None else y - low for y, low, _ in rows]),
        "color": look(curve.number)["colour"],
        "thickness": 1.5,
        "width": 5,
    }


def _said(curve: Curve, percent: bool) -> str:
    values = [value for value in curve.values if value is not None]
    if not values:
        return f"{curve.label} has no values"
    first, last = (f"{value:.1%}" if percent else f"{value:.3g}" for value in (values[0], values[-1]))
    return f"{curve.label} from {first} to {last}"
