"""Flexible Entropy Control: a fixed clip that trades places with probability-dependent bounds as training goes on.

Two linear rules ε(π) = α π + β with α < 0 widen the clip for unlikely tokens: the upper one, ℋ, lets entropy grow, the
lower one, ℳ, lets it fall. A schedule over training progress t in [0, 1] blends them with the standard clip:

    id   increase, decrease            t <= ½: upper λ ℋ + (1 - λ) std, lower std     t > ½: upper std, lower blended
    did  decrease, increase, decrease  t <= ½: upper λ std + (1 - λ) ℋ, lower std     t > ½: upper ℋ, lower blended
    od   oscillate, by the entropy     boosting: upper ℋ, lower std                   else: upper std, lower ℳ

with λ = 1 - 2t and the blended lower bound (1 + λ) ℳ - λ std. Flexible Entropy Control, arXiv 2602.09782, read through
its first author's description; the constants are second-hand, so the method is registered as experimental.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.regions.interval import Interval, working

STRATEGIES = ("id", "did", "od")


def flexible_entropy_interval(
    logp_old: Tensor,
    *,
    strategy: str = "id",
    progress: float | Tensor | None = None,
    boost: float | Tensor | None = None,
    eps: float = 0.2,
    slope_high: float = -0.25,
    intercept_high: float = 0.5,
    slope_low: float = -0.13,
    intercept_low: float = 0.3,
) -> Interval:
    """Return the interval of one point of the schedule.

    ℋ allows r <= (1 + β)/(1 - α p), ℳ allows r >= (1 - β)/(1 + α p).

    Args:
        logp_old: log p of the sampled tokens, any floating dtype, any shape.
        strategy: "id", "did" or "od", see above.
        progress: share of training that is done, 0 to 1; what "id" and "did" go by.
        boost: 1 while entropy is to grow, else 0, from `entropy_boost`; what "od" goes by.
        eps: half-width of the standard clip.
        slope_high, intercept_high: α < 0 and β >= -α of ℋ, the upper rule.
        slope_low, intercept_low: α < 0 and β >= -α of ℳ, the lower rule.

    Raises:
        ValueError: a value is out of range, an unknown strategy, or what the strategy goes by is missing.

    >>> p = torch.tensor([0.01, 0.9]).log()
    >>> bandpo.flexible_entropy_interval(p, progress=0.0).ratio()
    (tensor([0.8000, 0.8000]), tensor([1.4963, 1.2245]))
    >>> bandpo.flexible_entropy_interval(p, progress=0.6).ratio()
    (tensor([0.7207, 0.7942]), tensor([1.2000, 1.2000]))
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r}: expected one of {', '.join(map(repr, STRATEGIES))}")
    check_number("eps", eps, 0.0, 1.0)
    for name, slope in (("slope_high", slope_high), ("slope_low", slope_low)):
        check_number(name, slope, -1.0, 0.0)
    # With β >= -α the bounds contain r = 1 for every p.
    check_number("intercept_high", intercept_high, -slope_high, math.inf)
    check_number("intercept_low", intercept_low, -slope_low, 1.0)
    p = torch.exp(working(logp_old))
    rising, falling = (1 + intercept_high) / (1 - slope_high * p), (1 - intercept_low) / (1 + slope_low * p)
    standard_low, standard_high = torch.full_like(p, 1 - eps), torch.full_like(p, 1 + eps)
    if strategy == "od":
        up = torch.as_tensor(_given("boost", boost, strategy), device=p.device) > 0
        low, high = torch.where(up, standard_low, falling), torch.where(up, rising, standard_high)
    else:
        t = torch.as_tensor(_given("progress", progress, strategy), dtype=p.dtype, device=p.device)
        blend = 1 - 2 * t
        early = t <= 0.5
        if strategy == "id":
            high = torch.where(early, blend * rising + (1 - blend) * standard_high, standard_high)
        else:
            high = torch.where(early, blend * standard_high + (1 - blend) * rising, rising)
        low = torch.where(early, standard_low, (1 + blend) * falling - blend * standard_low)
    return Interval(torch.log(low), torch.log(high))


def _given(name: str, value: float | Tensor | None, strategy: str) -> float | Tensor:
    if value is None:
        raise ValueError(f"flexible entropy with strategy={strategy!r} needs {name}")
    return value if isinstance(value, Tensor) else check_number(name, value, 0.0, 1.0, high_closed=True)


class EntropyBoost(NamedTuple):
    """State of the oscillatory strategy: whether entropy is to grow, and the entropy training began with.

    >>> bandpo.EntropyBoost()
    EntropyBoost(is_on=False, initial=None)
    """

    is_on: bool = False
    initial: float | None = None


def entropy_boost(state: EntropyBoost, entropy: float, progress: float, floor: float = 0.2) -> EntropyBoost:
    """Return the next state of the oscillatory switch.

    With hysteresis: on at H <= H_min, off at H > H_min + (H_init - H_min)(1 - t).

    Args:
        state: what the last call returned, `EntropyBoost()` before the first.
        entropy: H, mean token entropy of the current batch, in nats.
        progress: t, share of training that is done.
        floor: H_min as a share of H_init.

    Returns:
        The next state; H_init is the entropy of the first call.

    Raises:
        ValueError: an entropy that is negative or not finite, progress or floor outside 0 .. 1.

    >>> state = bandpo.entropy_boost(bandpo.EntropyBoost(), entropy=1.0, progress=0.0)
    >>> state = bandpo.entropy_boost(state, entropy=0.15, progress=0.5)
    >>> state.is_on, bandpo.entropy_boost(state, 0.5, 0.5).is_on, bandpo.entropy_boost(state, 0.7, 0.5).is_on
    (True, True, False)
    """
    check_number("entropy", entropy, 0.0, math.inf)
    check_number("progress", progress, 0.0, 1.0, high_closed=True)
    check_number("floor", floor, 0.0, 1.0, high_closed=True)
    initial = entropy if state.initial is None else state.initial
    lowest = floor * initial
    if entropy <= lowest:
        return EntropyBoost(True, initial)
    if entropy > lowest + (initial - lowest) * (1 - progress):
        return EntropyBoost(False, initial)
    return EntropyBoost(state.is_on, initial)
