"""Which radii are alike: the fixed clip that a radius equals for a token, and the radius that a fixed clip equals.

A radius δ is a divergence, so the ratios it allows depend on the token's probability p: the clip it equals is read off
the band, and the radius that a ratio is worth is the projected divergence g_f(p, r) itself. Both are exact.
"""

from __future__ import annotations

import math

import torch

from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.divergences.registry import divergences
from bandpo.core.divergences.special import phi
from bandpo.core.regions.band import band
from bandpo.core.regions.kl3 import kl3_interval
from bandpo.microscope.inspection.radii import KL3


def measures() -> list[str]:
    """Return what a move can be measured in: every registered divergence, and ATR-GRPO's KL3 = r - 1 - log r.

    >>> measures()[0], measures()[-1]
    ('kl', 'kl3')
    """
    return [*divergences(), KL3]


def clip_of_radius(p: float, delta: float, measure: str = "kl") -> tuple[float, float]:
    """Return (ε_low, ε_high): the fixed clip 1 - ε_low .. 1 + ε_high that a radius equals at probability p.

    Args:
        p: old probability, 0 < p < 1.
        delta: radius δ.
        measure: a divergence, or "kl3".

    Raises:
        ValueError: a value out of range, an unknown measure.

    >>> low, high = clip_of_radius(0.1, 0.05)
    >>> round(low, 4), round(high, 4)
    (0.6872, 1.2008)
    """
    logp = _logp(p)
    low, high = kl3_interval(logp, delta) if measure == KL3 else band(logp, delta, measure)
    return -math.expm1(low.item()), math.expm1(high.item())


def radius_of_ratio(p: float, ratio: float, measure: str = "kl") -> float:
    """Return the radius at which the bound of a token of probability p is exactly this ratio.

    Args:
        p: old probability, 0 < p < 1.
        ratio: new over old probability, above 0.
        measure: a divergence, or "kl3".

    Returns:
        δ >= 0; inf where ratio · p is above 1, which no policy reaches.

    Raises:
        ValueError: a value out of range, an unknown measure.

    >>> round(radius_of_ratio(0.5, 1.2), 4), radius_of_ratio(0.9, 1.2)
    (0.0204, inf)
    """
    logp = _logp(p)
    if not 0 < ratio < math.inf:
        raise ValueError(f"ratio={ratio!r}: expected a number above 0")
    log_ratio = torch.tensor(ratio, dtype=torch.float64).log()
    if measure == KL3:
        return phi(log_ratio).item()
    return math.inf if ratio * p > 1 else projected_divergence(logp, log_ratio, measure).item()


def _logp(p: float) -> torch.Tensor:
    if not 0 < p < 1:
        raise ValueError(f"p={p!r}: expected 0 < p < 1")
    return torch.tensor(p, dtype=torch.float64).log()
