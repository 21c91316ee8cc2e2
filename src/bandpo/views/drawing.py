"""The bounds of several methods as one picture: allowed change of probability, and allowed ratio, over p."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bandpo.views.bounds import method_bounds
from bandpo.views.style import COLOURS, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[str, str, dict[str, Any]]

SUFFIXES = (".png", ".svg", ".pdf")
# Curves that coincide stay visible: each is narrower than the one below it.
_WIDTHS = (3.2, 1.3)
_SMALLEST_P, _RATIOS = 1e-4, (1 / 400, 400.0)
_POINTS = 600


def draw_bounds(curves: Sequence[Curve], path: str | Path, marked: Sequence[float] = ()) -> Path:
    """Draw the two panels of BandPO's Figures 1 and 2 for any methods.

    Args:
        curves: (label, method, options) of each, eight at most.
        path: file to write, .png, .svg or .pdf.
        marked: probabilities at which the curves have markers; those below the picture's smallest are left out.

    Returns:
        The path.

    Raises:
        ValueError: another suffix, too many methods, a method without bounds.
        TypeError: an option that a method does not take.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"draw={str(path)!r}: expected a file ending in {', '.join(SUFFIXES)}")
    if len(curves) > len(COLOURS):
        raise ValueError(f"{len(curves)} methods in one picture: expected {len(COLOURS)} at most")
    figure = _figure(curves, marked)
    figure.savefig(path, dpi=160)
    return path


def _figure(curves: Sequence[Curve], marked: Sequence[float] = ()) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.9), layout="constrained")
    change, ratio = figure.subplots(1, 2)
    ends = []
    for number, (label, method, options) in enumerate(curves):
        width = _WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * number / max(1, len(curves) - 1)
        style = {**line_style(number), "linewidth": width, "markersize": 6}
        _draw_change(change, method, options, marked, label=label, **style)
        ends.append((_draw_ratio(ratio, method, options, marked, **style), label, COLOURS[number]))
    _finish_change(change)
    _finish_ratio(ratio)
    _label_ends(ratio, ends)
    figure.legend(loc="outside lower center", ncols=min(len(curves), 4), frameon=False, handlelength=3)
    return figure


def _with_marks(p: Tensor, marked: Sequence[float]) -> tuple[Tensor, list[int]]:
    """Return the probabilities with the marked ones among them, in order, and where those are."""
    inside = [mark for mark in marked if p.min() <= mark <= p.max()]
    p = torch.cat([p, p.new_tensor(inside)]).unique()
    return p, [int((p == mark).nonzero()[0]) for mark in inside]


def _draw_change(
    axis: Axes, method: str, options: dict[str, Any], marked: Sequence[float], label: str, **style: Any
) -> None:
    p, marks = _with_marks(torch.linspace(0, 1, _POINTS + 2, dtype=torch.float64)[1:-1], marked)
    low, high = method_bounds(method, p.log(), **options).ratio()
    axis.plot(p, (p * high).clamp_max(1.0) - p, label=label, markevery=marks, **style)
    axis.plot(p, p * low - p, markevery=marks, **style)


def _draw_ratio(axis: Axes, method: str, options: dict[str, Any], marked: Sequence[float], **style: Any) -> float:
    """Draw one region; return its upper bound for the rarest tokens, within the picture."""
    spread = torch.linspace(torch.tensor(_SMALLEST_P).log().item(), -1e-3, _POINTS, dtype=torch.float64)
    p, marks = _with_marks(spread.exp(), marked)
    low, high = method_bounds(method, p.log(), **options).ratio()
    low, high = low.clamp_min(_RATIOS[0] / 10), torch.minimum(high, 1 / p)
    axis.plot(p, high, markevery=marks, **style)
    axis.plot(p, low, markevery=marks, **style)
    return min(high[0].item(), _RATIOS[1])


def _finish_change(axis: Axes) -> None:
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set(
        title="How far the probability may move",
        xlabel="old probability p",
        ylabel="allowed change Δπ, down and up",
        xlim=(0, 1),
    )
    axis.spines[["top", "right"]].set_visible(False)


def _finish_ratio(axis: Axes) -> None:
    p = torch.logspace(-4, 0, _POINTS)
    axis.fill_between(p, 1 / p, 1e4, facecolor="0.94", hatch="//", edgecolor="0.82", linewidth=0)
    axis.axhline(1, color="0.6", linewidth=0.8)
    axis.set(
        title="Which ratios are allowed",
        xlabel="old probability p",
        ylabel="ratio new/old, lower and upper bound",
        xscale="log",
        yscale="log",
        xlim=(_SMALLEST_P, 1),
        ylim=_RATIOS,
    )
    axis.text(
        0.97,
        0.93,
        "r p > 1: impossible",
        transform=axis.transAxes,
        ha="right",
        color="0.35",
        fontsize=9,
        backgroundcolor="0.94",
    )
    ticks = {0.01: "0.01", 0.1: "0.1", 0.5: "0.5", 1: "1", 2: "2", 10: "10", 100: "100"}
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.yaxis.tick_right()
    axis.yaxis.set_label_position("right")
    axis.spines[["top", "left"]].set_visible(False)


def _label_ends(axis: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each upper bound at the left edge of the panel, apart from one another."""
    for place, (ratio, label, colour) in zip(_apart([end[0] for end in ends]), ends, strict=True):
        axis.annotate(
            label,
            xy=(0, _height(ratio)),
            xytext=(-0.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=9,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "relpos": (1, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def _height(ratio: float) -> float:
    """Return where a ratio is in the panel, 0 at its bottom and 1 at its top."""
    low, high, value = torch.tensor([*_RATIOS, ratio], dtype=torch.float64).log().tolist()
    return (value - low) / (high - low)


def _apart(ratios: Sequence[float], gap: float = 0.055) -> list[float]:
    """Return heights for labels of these ratios, moved so that no two are closer than `gap`.

    >>> [round(place, 3) for place in _apart([1.0, 1.0], gap=0.1)]
    [0.45, 0.55]
    """
    heights = [_height(ratio) for ratio in ratios]
    order = sorted(range(len(heights)), key=heights.__getitem__)
    clusters: list[list[int]] = []
    for index in order:
        clusters.append([index])
        while (
            len(clusters) > 1
            and _middle(clusters[-1], heights) - _middle(clusters[-2], heights)
            < gap * (len(clusters[-1]) + len(clusters[-2])) / 2
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    places = dict.fromkeys(order, 0.0)
    for cluster in clusters:
        middle, half = _middle(cluster, heights), gap * (len(cluster) - 1) / 2
        middle = min(max(middle, half), 1 - half)
        for number, index in enumerate(cluster):
            places[index] = middle - half + gap * number
    return [places[index] for index in range(len(ratios))]


def _middle(cluster: Sequence[int], heights: Sequence[float]) -> float:
    return sum(heights[index] for index in cluster) / len(cluster)
