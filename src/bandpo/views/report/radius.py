"""Which radius stops how many of the recorded tokens, with the advised one marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bandpo.microscope.inspection.inspection import RadiusCurve
from bandpo.microscope.inspection.sentences import percent
from bandpo.views.report.figures import Figure, plain_layout
from bandpo.views.report.text import line, rounded, short


def radius_figure(radii: RadiusCurve, method: str) -> Figure:
    """Return the share of tokens that every radius stops, with the advised one marked."""
    name = "δ" if radii.names == ("delta",) else "ε"
    points = [(radius, share) for radius, share in radii.points]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": rounded([radius for radius, _ in points]),
        "y": rounded([share for _, share in points]),
        "line": {"color": "@0", "width": 2},
        "hovertemplate": f"{name} = %{{x:.3g}}<br>stops %{{y:.3~%}} of tokens<extra></extra>",
    }
    data: list[dict[str, Any]] = [trace]
    layout = plain_layout(f"radius {name}", "tokens it stops")
    layout["xaxis"] |= {"type": "log", "showgrid": True, "dtick": 1, "exponentformat": "power", "nticks": 0}
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": ".3~%"}
    advised = _option(radii.advised)
    said = ""
    if advised is not None:
        share = _share_at(points, advised)
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": rounded([advised]),
                "y": rounded([share]),
                "text": [f"advised<br>{name} = {advised:.3g}"],
                "textposition": "top right" if advised < 0.02 else "top left",
                "textfont": {"color": "@ink"},
                "marker": {"size": 11, "symbol": "diamond", "color": "@1"},
                "hovertemplate": f"advised: {name} = {advised:.3g}<extra></extra>",
            }
        )
        said = f"; advised is {advised:.3g}, which stops {percent(share)}"
    start = f"from {percent(points[0][1])} at {points[0][0]:g}"
    says = f"Share of tokens that each radius of {line(method)} stops, {start}{said}"
    return Figure("What each radius would stop on these tokens", says, data, layout, height=17)


def _option(advised: str) -> float | None:
    try:
        return float(advised.rpartition("=")[2])
    except ValueError:
        return None


def _share_at(points: Sequence[tuple[float, float]], radius: float) -> float:
    """Return the share that a radius between two points stops, along the line that is drawn."""
    for (left, high), (right, low) in pairwise(points):
        if left <= radius <= right:
            along = math.log(radius / left) / math.log(right / left)
            return high + (low - high) * along
    return points[-1][1] if points and radius > points[-1][0] else points[0][1]


def radius_rows(radii: RadiusCurve | None) -> list[list[str]]:
    """Return what every radius of the table does, and the radius."""
    if radii is None:
        return []
    shares = [[f"stops {percent(float(share))} of tokens", short(radius)] for share, radius in radii.for_shares.items()]
    steps = [
        [f"holds a step to {float(nats):g} nats a token", short(radius)]
        for nats, radius in radii.for_divergences.items()
    ]
    return [*shares, *steps]
