"""The bounds of a method as numbers: how far a token of probability p may move before the method stops it.

An interval says so itself. A mask or a penalty is asked where its gradient ends: the bound is the ratio at which
`gradient_weight` reaches 0 on the side that the advantage pushes to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.methods.gradient_weight import gradient_weight
from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.regions.interval import Interval
from bandpo.core.tokens import MAX_LOG_RATIO

# Where the search begins and ends: just inside the guard, from which on no ratio has a gradient.
_FARTHEST = MAX_LOG_RATIO * (1 - 1e-9)
_HALVINGS = 64


class Row(NamedTuple):
    """The range of one token under a method: ratio, new probability and its change, each from lowest to highest.

    >>> Row.of(0.5, math.log(0.8), math.log(1.2)).change
    (-0.1, 0.1)
    """

    p: float
    ratio: tuple[float, float]
    probability: tuple[float, float]
    change: tuple[float, float]

    @classmethod
    def of(cls, p: float, low: float, high: float) -> Row:
        """Return the row of a token of probability p between two log-ratios; a probability is at most 1."""
        ratio = math.exp(low), math.exp(high) if high < 700 else math.inf
        probability = p * ratio[0], min(1.0, p * ratio[1])
        change = p * math.expm1(low), min(p * math.expm1(high) if high < 700 else math.inf, 1 - p)
        return cls(p, ratio, probability, (round(change[0], 15), round(change[1], 15)))


def bound_rows(method: str, probabilities: Sequence[float], **options: Any) -> list[Row]:
    """Return one row for each probability.

    Args:
        method: a name from `bandpo.methods()`.
        probabilities: old probabilities p, 0 < p < 1.
        **options: hyperparameters, and inputs that are numbers.

    Raises:
        TypeError, ValueError: see `method_bounds`.

    >>> [row.ratio[1] for row in bound_rows("clip-higher", [0.1, 0.5])]
    [1.28, 1.28]
    """
    logp = torch.tensor(probabilities, dtype=torch.float64).log()
    bounds = method_bounds(method, logp, **options)
    return [
        Row.of(p, low, high) for p, low, high in zip(probabilities, *(side.tolist() for side in bounds), strict=True)
    ]


def method_bounds(method: str, logp_old: Tensor, **options: Any) -> Interval:
    """Return the log-ratios between which a method lets a token go on, whether it is an interval or not.

    Args:
        method: a name from `bandpo.methods()`.
        logp_old: log p, fp64, any shape.
        **options: hyperparameters, and inputs that are numbers, such as flex-entropy's progress (0 if not given).

    Returns:
        Interval(low, high); low = -inf where p may fall to 0, high = -log p where it may rise to 1.

    Raises:
        TypeError: an option the method does not take.
        ValueError: the method has no bounds that depend on p alone.

    >>> p = torch.tensor([0.1, 0.5], dtype=torch.float64)
    >>> method_bounds("dppo-tv", p.log(), delta=0.15).high.exp() * p
    tensor([0.2500, 0.6500], dtype=torch.float64)
    """
    rule = get_method(method)
    if isinstance(rule, IntervalMethod):
        numbers = {name: 0.0 for name, needed in rule.inputs.items() if needed.shape == ""}
        return rule.interval(logp_old, **{**numbers, **options})
    rule.resolve(options)
    depends_on = _beyond_the_token(rule)
    if depends_on:
        raise ValueError(f"method {method!r} has no bounds that follow from p: it depends on {depends_on}")
    return Interval(_edge(rule, logp_old, -1, options), _edge(rule, logp_old, +1, options))


def _beyond_the_token(method: Method) -> str:
    """Return what a method looks at besides a token and its probability, "" if nothing."""
    needed = [name for name, description in method.inputs.items() if not description.optional]
    if needed:
        return " and ".join(needed)
    return "" if method.scope == "token" else f"the whole {method.scope}"


def _edge(method: Method, logp: Tensor, sign: int, options: dict[str, Any]) -> Tensor:
    """Return the log-ratio of that sign at which the gradient of an advantage of that sign ends, by bisection."""

    def is_stopped(log_ratio: Tensor) -> Tensor:
        weight = gradient_weight(method, logp, log_ratio, float(sign), **options)
        return weight <= 0 if method.family == "mask" else weight < 0

    farthest = (-logp).clamp_max(_FARTHEST) if sign > 0 else torch.full_like(logp, -_FARTHEST)
    ends = is_stopped(farthest)
    if method.family != "mask" and not ends.any():
        raise ValueError(f"method {method.name!r} has no bounds: its gradient fades or is capped, but stops nowhere")
    inside, outside = torch.zeros_like(logp), farthest
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        stops = is_stopped(middle)
        inside, outside = torch.where(stops, inside, middle), torch.where(stops, middle, outside)
    return torch.where(ends, inside, -logp if sign > 0 else -math.inf)
