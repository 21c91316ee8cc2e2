"""ATR-GRPO's region: the per-token estimate of KL(old || new) itself is bounded, whatever the token's probability.

KL3 = r - 1 - log r estimates KL(old || new) without bias for tokens drawn from the old policy. KL3 <= δ is an interval
of r that does not depend on p: wider above than below, since KL3 grows slower above 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.divergence import MAX_DELTA
from bandpo.core.regions.interval import Interval, working
from bandpo.core.regions.packed import FIXED, PackedRegion


def kl3_interval(logp_old: Tensor, delta: float = 0.05) -> Interval:
    """Return the ratios with r - 1 - log r <= δ: -W_0(-e^-(1+δ)) .. -W_-1(-e^-(1+δ)), W the Lambert function.

    ATR-GRPO, arXiv 2602.05494, the KL3 constraint. With d = log r the condition is e^d - 1 - d <= δ, solved by
    Newton's method in fp64.

    Args:
        logp_old: any floating dtype and shape; only shape, dtype and device are used.
        delta: δ in nats, 0 < δ < 20.

    Raises:
        ValueError: δ is out of range.

    >>> bandpo.kl3_interval(torch.tensor([-1.0]), 0.05).ratio()
    (tensor([0.7162]), tensor([1.3504]))
    """
    numbers, logp = kl3_numbers(delta), working(logp_old)
    return Interval(torch.full_like(logp, numbers.low_value), torch.full_like(logp, numbers.high_value))


def kl3_numbers(delta: float = 0.05) -> PackedRegion:
    """Return the interval of `kl3_interval` as a kernel takes it: the same two log-ratios for every token.

    Raises:
        ValueError: δ is out of range.

    >>> kl3_numbers(0.05).high_value
    0.3004...
    """
    check_number("delta", delta, 0.0, MAX_DELTA, low_open=True)
    return PackedRegion(FIXED, _root(delta, -1), FIXED, _root(delta, +1))


def _root(delta: float, sign: int) -> float:
    """Return d of that sign with e^d - 1 - d = δ; from a start beyond the root, Newton's steps are monotone."""
    d = math.log1p(delta + math.sqrt(2 * delta)) if sign > 0 else -(delta + math.sqrt(2 * delta))
    for _ in range(60):
        # e^d - 1 - d by its series near 0, where the difference would lose its digits.
        small = sum(d**k / math.factorial(k) for k in range(2, 18))
        excess = (small if abs(d) < 0.5 else math.expm1(d) - d) - delta
        step = excess / math.expm1(d)
        d -= step
        if abs(step) <= 1e-17 * abs(d):
            break
    return d
