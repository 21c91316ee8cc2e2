"""Which tokens the region stopped over training: by old probability and side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bandpo.views.report.figures import Figure, plain_layout, quoted
from bandpo.views.report.history import History
from bandpo.views.report.text import line, rounded

SIDES = {
    "clip_high": "good tokens (A > 0), stopped at the upper bound",
    "clip_low": "bad tokens (A < 0), stopped at the lower bound",
}
_BUCKET = re.compile(r"band/(clip_high|clip_low)/(p.{1,20})")
_MOST_BUCKETS = 24
# Of fewer tokens a share says little: it is not drawn, sets no scale and is no "most".
ENOUGH_TOKENS = 10


@dataclass(frozen=True)
class Row:
    """A range of probabilities: by side the share that was stopped in the whole run, and of how many tokens."""

    label: str
    shares: list[float | None]
    tokens: list[float]


@dataclass(frozen=True)
class Clipping:
    """What the region stopped in one run; `top` is the largest share of enough tokens in `rows`."""

    figures: list[Figure]
    rows: list[Row]
    has_counts: bool
    top: float


def clipping(history: History) -> Clipping | None:
    """Return maps over updates and sums over the run, None where nothing was logged by probability."""
    buckets = buckets_of(history)
    if not buckets:
        return None
    shares = {side: [history.values(f"band/{side}/{bucket}") for bucket in buckets] for side in SIDES}
    figures = [_map(history, buckets, side, shares[side], _top(history, buckets)) for side in SIDES]
    rows = [
        Row(
            line(bucket),
            [history.mean(f"band/{side}/{bucket}") for side in SIDES],
            [sum(history.weights(f"band/{side}/{bucket}")) for side in SIDES],
        )
        for bucket in buckets
    ]
    has_counts = "band/clip" in history.counted
    whole = [(share, n) for row in rows for share, n in zip(row.shares, row.tokens, strict=True) if share is not None]
    top = max((share for share, tokens in whole if tokens >= ENOUGH_TOKENS or not has_counts), default=0.0)
    return Clipping(figures, rows, has_counts, top)


def _known(shares: Sequence[float | None], tokens: Sequence[float]) -> list[float | None]:
    return [share if count >= ENOUGH_TOKENS else None for share, count in zip(shares, tokens, strict=True)]


def _top(history: History, buckets: Sequence[str]) -> float:
    """Return the largest share of enough tokens, where the colours end; 1 % at least."""
    found = [0.01]
    for name in (f"band/{side}/{bucket}" for side in SIDES for bucket in buckets):
        least = ENOUGH_TOKENS if name in history.counted else 0
        pairs = zip(history.values(name), history.weights(name), strict=True)
        found += [value for value, tokens in pairs if value is not None and tokens >= least]
    return max(found)


def buckets_of(history: History) -> list[str]:
    """Return the ranges of probability that were logged, from rare to likely."""
    found = dict.fromkeys(match[2] for name in history.names() if (match := _BUCKET.fullmatch(name)))
    return sorted(found, key=_upper_end)[:_MOST_BUCKETS]


def _upper_end(bucket: str) -> float:
    numbers = re.findall(r"\d+\.?\d*", bucket)
    return float(numbers[-1]) if numbers else 2.0


def _map(
    history: History, buckets: Sequence[str], side: str, shares: Sequence[Sequence[float | None]], top: float
) -> Figure:
    counts = [history.weights(f"band/{side}/{bucket}") for bucket in buckets]
    has_counts = f"band/{side}/{buckets[0]}" in history.counted
    beside = "<br>of %{customdata:,.0f} tokens" if has_counts else ""
    trace = {
        "type": "heatmap",
        "x": history.steps,
        "y": [quoted(line(bucket)) for bucket in buckets],
        "z": [rounded(_known(*each), 3) for each in zip(shares, counts, strict=True)] if has_counts else shares,
        "customdata": counts if has_counts else None,
        "zmin": 0,
        "zmax": top,
        "colorscale": "@heat",
        "hoverongaps": False,
        "ygap": 1,
        "colorbar": {"thickness": 10, "tickformat": ".2~%", "outlinewidth": 0, "nticks": 5, "tickfont": {"size": 11}},
        "hovertemplate": f"%{{y}}, update %{{x}}<br>%{{z:.3~%}} stopped{beside}<extra></extra>",
    }
    layout = plain_layout("update", "old probability")
    layout["yaxis"] |= {"type": "category", "showgrid": False, "zeroline": False, "ticklabelstandoff": 2, "nticks": 0}
    layout["xaxis"] |= {"zeroline": False}
    title = f"Share of {SIDES[side]}"
    says = f"{title}, by old probability over updates; the table below has the sums over the run"
    return Figure(title, says, [trace], layout)
