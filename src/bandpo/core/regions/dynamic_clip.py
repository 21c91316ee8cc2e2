"""DCPO's dynamic clip: an interval that widens for rare tokens, from a bound on the product of ratio and probability.

The constraint is |(r - 1) q| <= ε with q = r p the new probability; solving the two quadratics in r gives bounds that
tend to 1/2 and to the cap as p goes to 0. BandPO's own comparison runs this method as its baseline.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.regions.interval import Interval, working
from bandpo.core.regions.packed import DYNAMIC, PackedRegion

# 4 ε / p must stay finite in fp32; below this p the upper bound is the cap.
LOGP_MIN = -80.0


def dynamic_clip_interval(
    logp_old: Tensor, eps_low: float = 0.16, eps_high: float = 0.2, max_ratio: float = 10.0
) -> Interval:
    """Return r from ½ + ½ √max(1 - 4 ε_low/p, 0) to min(½ + ½ √(1 + 4 ε_high/p), max_ratio).

    DCPO's dynamic adaptive clipping, arXiv 2509.02333.

    Args:
        logp_old: log p of the sampled tokens, any floating dtype, any shape.
        eps_low, eps_high: bounds of |(r - 1) r p| on either side.
        max_ratio: cap of the upper ratio bound.

    Raises:
        ValueError: a value is out of range.

    >>> bandpo.dynamic_clip_interval(torch.tensor([0.05, 0.8]).log()).ratio()
    (tensor([0.5000, 0.7236]), tensor([2.5616, 1.2071]))
    """
    numbers, logp = dynamic_clip_numbers(eps_low, eps_high, max_ratio), working(logp_old)
    p = torch.exp(logp.clamp_min(LOGP_MIN))
    # √(1 + x) - 1 = x/(√(1 + x) + 1): no digits are lost where the bound is close to 1.
    below = (4 * eps_low / p).clamp_max(1.0)
    low = torch.log1p(-0.5 * below / (torch.sqrt(1 - below) + 1))
    above = 4 * eps_high / p
    high = torch.log1p(0.5 * above / (torch.sqrt(1 + above) + 1))
    return Interval(low, high.clamp_max(numbers.log_cap))


def dynamic_clip_numbers(eps_low: float = 0.16, eps_high: float = 0.2, max_ratio: float = 10.0) -> PackedRegion:
    """Return the interval of `dynamic_clip_interval` as a kernel takes it.

    Raises:
        ValueError: a value is out of range.

    >>> dynamic_clip_numbers().high_value
    0.2
    """
    check_number("eps_low", eps_low, 0.0, math.inf)
    check_number("eps_high", eps_high, 0.0, math.inf)
    check_number("max_ratio", max_ratio, 1.0, math.inf, low_open=True)
    return PackedRegion(DYNAMIC, eps_low, DYNAMIC, eps_high, log_cap=math.log(max_ratio))
