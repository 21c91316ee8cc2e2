"""One look for every plot: colours that any colour vision tells apart, and dashes and markers for print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B6914")
# The same hues, light enough to be seen on a dark page.
DARK_COLOURS = ("#56A8E8", "#F58A42", "#2CC59A", "#E5A3CB", "#F2BE4B", "#A5D8F7", "#FFFFFF", "#CFA65A")
DASHES = (
    "-",
    (0, (6, 2)),
    (0, (1.5, 1.5)),
    (0, (7, 2, 1.5, 2)),
    (0, (3, 3)),
    (0, (8, 1.5, 1.5, 1.5, 1.5, 1.5)),
    (0, (1, 3)),
    (0, (10, 4)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def line_style(number: int) -> dict[str, Any]:
    """Return colour, dashes and marker of the curve of this number, as matplotlib's keywords; they begin anew after 8.

    >>> line_style(0)
    {'color': '#0072B2', 'linestyle': '-', 'marker': 'o'}
    """
    at = number % len(COLOURS)
    return {"color": COLOURS[at], "linestyle": DASHES[at], "marker": MARKERS[at]}


def curve_figure(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    names: Sequence[str],
    title: str,
    *,
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Draw one panel a score over updates, with bands of a standard error and one legend for all.

    Args:
        curves: for every label `step`, and each score under its name and its error under "NAME se".
        names: the scores to draw, a panel each.
        title: what the bands are.
        labels: what the vertical axis says where that is not the score's name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(names), 3.9), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for number, (label, curve) in enumerate(curves.items()):
            _draw_curve(axis, curve, name, label, line_style(number))
        axis.set(ylabel=(labels or {}).get(name, name), xlabel="updates")
        axis.locator_params(nbins=6)
        axis.spines[["top", "right"]].set_visible(False)
    handles, texts = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=min(len(curves), 5), frameon=False, handlelength=4)
    figure.suptitle(title, fontsize=9)
    return figure


def _draw_curve(axis: Axes, curve: Mapping[str, Sequence[float]], name: str, label: str, style: dict[str, Any]) -> None:
    middles, errors = curve[name], curve[f"{name} se"]
    marked = max(1, len(middles) // 8)
    axis.plot(curve["step"], middles, label=label, markersize=4, markevery=marked, linewidth=1.6, **style)
    lows = [middle - error for middle, error in zip(middles, errors, strict=True)]
    highs = [middle + error for middle, error in zip(middles, errors, strict=True)]
    axis.fill_between(curve["step"], lows, highs, color=style["color"], alpha=0.15, linewidth=0)
