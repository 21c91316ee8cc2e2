"""Axes and colours of the atlas's maps, for Plotly to draw in the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.io import to_json

from bandpo.views.maps import LARGEST_RATIO, LOG_ODDS, Grid

_WEIGHTS = (-1.0, 2.0)
# Colours of weight -1, 0, 1 and 2: orange against blue, which every colour vision tells apart.
THEMES = {
    "light": {
        "scale": ("#d1610f", "#f3efe6", "#4a90d9", "#0b2a66"),
        "ink": "#1c1e21",
        "veil": "#d9d9d9",
        "hatch": "#999",
    },
    "dark": {
        "scale": ("#ff9d4d", "#2c2d31", "#4a90d9", "#d6ebff"),
        "ink": "#e8e8e6",
        "veil": "#48494d",
        "hatch": "#888",
    },
}
_P_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_R_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def draw_axes(grid: Grid) -> dict[str, Any]:
    """Return a map without its values and colours, as Plotly's JSON.

    >>> sorted(draw_axes(Grid.of(3, 3)))
    ['data', 'layout']
    """
    edge = torch.linspace(*LOG_ODDS, 200, dtype=torch.float64)
    p = torch.sigmoid(edge * np.log(10))
    highest = LARGEST_RATIO * 1.2
    wall = torch.minimum(1 / p, torch.tensor(highest))
    weight = go.Heatmap(
        x=grid.log_odds.tolist(),
        y=grid.log_ratio.exp().tolist(),
        zmin=_WEIGHTS[0],
        zmax=_WEIGHTS[1],
        showscale=False,
        zsmooth="best",
        hovertemplate="p = %{customdata}<br>r = %{y:.3g}<br>weight %{z:.2f}<extra></extra>",
    )
    beyond = go.Scatter(
        x=[*edge.tolist(), LOG_ODDS[1]],
        y=[*wall.tolist(), highest],
        mode="lines",
        line={"width": 1},
        fill="toself",
        fillpattern={"shape": "/", "size": 7, "solidity": 0.15, "fillmode": "overlay"},
        hoverinfo="skip",
    )
    unmoved = go.Scatter(x=list(LOG_ODDS), y=[1, 1], mode="lines", line={"width": 1, "dash": "dash"}, hoverinfo="skip")
    layout = go.Layout(
        margin={"l": 48, "r": 18, "t": 8, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        dragmode=False,
        xaxis={
            "title": {"text": "old probability p", "standoff": 8},
            "tickvals": [float(np.log10(p / (1 - p))) for p in _P_TICKS],
            "ticktext": [f"{p:g}" if p >= 0.001 else "1e-4" for p in _P_TICKS],
            "range": list(LOG_ODDS),
            "showgrid": False,
            "zeroline": False,
            "ticks": "outside",
            "tickangle": 0,
        },
        yaxis={
            "title": {"text": "ratio r = new/old", "standoff": 6},
            "type": "log",
            "tickvals": list(_R_TICKS),
            "ticktext": [f"{r:g}" for r in _R_TICKS],
            "range": [-float(np.log10(LARGEST_RATIO)), float(np.log10(LARGEST_RATIO))],
            "showgrid": False,
            "zeroline": False,
            "ticks": "outside",
        },
    )
    return json.loads(to_json(go.Figure([weight, beyond, unmoved], layout)) or "")


def theme_of(scale: Sequence[str], ink: str, veil: str, hatch: str) -> dict[str, Any]:
    """Return a theme's colours as Plotly takes them.

    >>> theme_of(("#000", "#fff"), ink="#111", veil="#222", hatch="#333")["scale"]
    [(0.0, '#000'), (1.0, '#fff')]
    """
    places = [number / (len(scale) - 1) for number in range(len(scale))]
    return {"scale": list(zip(places, scale, strict=True)), "ink": ink, "veil": veil, "hatch": hatch}
