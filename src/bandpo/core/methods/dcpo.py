"""DCPO: a clip that widens for rare tokens."""

from __future__ import annotations

import functools

from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.dynamic_clip import dynamic_clip_interval
from bandpo.core.regions.region import Formula, Region


@method(
    "dcpo",
    family="interval",
    formula="½ + ½ √max(1 - 4 ε_low/p, 0) <= r <= ½ + ½ √(1 + 4 ε_high/p)",
    citation="DCPO, arXiv 2509.02333",
)
def dcpo(
    *, eps_low: float = 0.16, eps_high: float = 0.2, max_ratio: float = 10.0, dual_clip: float | None = 10.0
) -> Region:
    """Bound |(r - 1) r p|, a dynamic clip that is wider for rare tokens.

    Args:
        eps_low, eps_high: bounds of |(r - 1) r p| on either side.
        max_ratio: cap of the upper ratio bound.
        dual_clip: largest ratio that still moves a bad token.
    """
    bounds = functools.partial(dynamic_clip_interval, eps_low=eps_low, eps_high=eps_high, max_ratio=max_ratio)
    return Formula(formula=bounds, dual_clip=dual_clip)
