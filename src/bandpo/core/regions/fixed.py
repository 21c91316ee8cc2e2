"""The fixed clip of PPO, GRPO and DAPO: the same ratio interval for every token."""

from __future__ import annotations

import math

from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.regions.interval import Interval, working
from bandpo.core.regions.sides import Fixed, Open
from bandpo.core.regions.two_sides import Band


def fixed_clip(eps_low: float = math.inf, eps_high: float = math.inf, *, dual_clip: float | None = None) -> Band:
    """Return the region 1 - eps_low <= r <= 1 + eps_high; eps = inf leaves that side open.

    PPO, arXiv 1707.06347, eq. 7; two different sides: DAPO's Clip-Higher, arXiv 2503.14476, eq. 8.

    Args:
        eps_low: the ratio stays above 1 - eps_low; 0 <= eps_low < 1, or inf.
        eps_high: the ratio stays below 1 + eps_high; 0 <= eps_high.
        dual_clip: largest ratio that still moves a bad token.

    Raises:
        TypeError, ValueError: an eps is no number, or out of range.

    >>> fixed_clip(0.2, 0.28).high
    Fixed(eps=0.28)
    """
    for name, eps, end in (("eps_low", eps_low, 1.0), ("eps_high", eps_high, math.inf)):
        if eps != math.inf:
            check_number(name, eps, 0.0, end)
    low, high = (Open() if eps == math.inf else Fixed(eps) for eps in (eps_low, eps_high))
    return Band(low=low, high=high, dual_clip=dual_clip)


def fixed_interval(logp_old: Tensor, eps_low: float, eps_high: float) -> Interval:
    """Return the interval of `fixed_clip` for every token.

    Args:
        logp_old: any floating dtype and shape; only shape, dtype and device are used.
        eps_low, eps_high: as `fixed_clip`.

    Raises:
        TypeError, ValueError: as `fixed_clip`.

    >>> bandpo.fixed_interval(torch.tensor([-1.0]), 0.2, 0.28).high.exp()
    tensor([1.2800])
    """
    return fixed_clip(eps_low, eps_high).bounds(working(logp_old), None)
