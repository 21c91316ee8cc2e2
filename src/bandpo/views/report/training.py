"""Curves over training: scores with intervals, reward, entropy, and what the region and the optimizer did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bandpo.views.report.figures import Curve, Figure, curve_figure
from bandpo.views.report.history import MOST_POINTS
from bandpo.views.report.intervals import NORMAL, around
from bandpo.views.report.run import Evaluation, Run

# What is logged under which name: title, unit, whether it is a share.
_LOGGED = {
    "reward": ("Reward while training", "mean reward", False),
    "entropy": ("Entropy while training", "nats a token", False),
    "band/clip": ("Tokens stopped by the region", "share of tokens", True),
    "band/approx_kl": ("KL from old to new policy", "nats a token", False),
    "band/first_ratio_error": ("Error of the ratio at first use", "mean |log r|", False),
    "grad_norm": ("Gradient norm", "L2 norm", False),
    "kl": ("KL to the reference", "nats a token", False),
    "completions/mean_length": ("Length of answers", "tokens", False),
    "band/rollout_kl": ("KL from sampler to old policy", "nats a token", False),
}
_UNITS = {"mean@": "mean reward", "pass@": "share of problems", "entropy": "nats a token"}
_MOST_PANELS = 24


def training_figures(runs: Sequence[Run]) -> list[Figure]:
    """Return the panels of all runs, every run in all of them in the same look."""
    scored = {run.name: run.evaluations for run in runs}
    figures = score_figures(scored, lambda run: NORMAL, "95 % intervals over the problems")
    for name, (title, unit, percent) in _LOGGED.items():
        curves = [
            Curve(run.name, number, run.history.steps, run.history.values(name))
            for number, run in enumerate(runs)
            if any(value is not None for value in run.history.values(name))
        ]
        # A length that never changes is no news.
        if curves and not (name == "completions/mean_length" and _is_constant(curves)):
            figures.append(curve_figure(title, unit, curves, percent=percent))
    return figures[:_MOST_PANELS]


def score_figures(scored: Mapping[str, Sequence[Evaluation]], reach: Callable[[str], float], note: str) -> list[Figure]:
    """Return a panel for every score.

    Args:
        scored: evaluations by the label of their curve.
        reach: half the width of that label's 95 % interval, in standard errors.
        note: what the bands are.
    """
    names = list(dict.fromkeys(name for each in scored.values() for one in each for name in one.scores))
    figures = []
    for name in sorted(names, key=_importance):
        curves = [_curve(label, at, each, name, reach(label)) for at, (label, each) in enumerate(scored.items())]
        has_band = any(low is not None for curve in curves for low in curve.low)
        title = f"{name[:1].upper() + name[1:] if name.isalpha() else name} on held-out problems"
        drawn = [curve for curve in curves if curve.steps]
        figures.append(curve_figure(title, unit_of(name), drawn, note=note if has_band else ""))
    return figures


def _curve(label: str, number: int, evaluations: Sequence[Evaluation], name: str, reach: float) -> Curve:
    held = [each for each in evaluations if name in each.scores]
    ends = [around(each.scores[name], each.errors.get(name), reach) or (None, None) for each in held]
    steps, values = [each.step for each in held], [each.scores[name] for each in held]
    return Curve(label, number, steps, values, [low for low, _ in ends], [high for _, high in ends])


def unit_of(score: str) -> str:
    """Return what an axis says of a score.

    >>> unit_of("pass@8"), unit_of("uses *")
    ('share of problems', 'share of answers')
    """
    return next((unit for start, unit in _UNITS.items() if score.startswith(start)), "share of answers")


def _importance(name: str) -> int:
    return next((at for at, start in enumerate(_UNITS) if name.startswith(start)), len(_UNITS))


def _is_constant(curves: Sequence[Curve]) -> bool:
    values = [value for curve in curves for value in curve.values if value is not None]
    return max(values) - min(values) <= 0.01 * max(map(abs, values))


def thinning(runs: Sequence[Run]) -> str:
    """Return a sentence on how many logged records a point stands for, "" where it is one."""
    thick = [run for run in runs if run.history.per_point > 1]
    if not thick:
        return ""
    said = ", ".join(f"{run.history.per_point} records in {run.name}" for run in thick)
    return f"To stay within {MOST_POINTS * 2} points a curve, each point is a mean of several logged records: {said}."
