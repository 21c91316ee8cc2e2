"""Band bounds of KL(old || new), solved to a few ulp in a fixed number of operations.

With p the old and q = r p the new probability of the sampled token, w = 1 - p, and t = logit q - logit p,

    KL(Bern p || Bern q) = log(1 + p (e^t - 1)) - p t,

so where it equals δ the ratio is explicit, log r = w t - δ, and t solves an equation whose terms are all positive,

    p φ(w t) + w φ(-p t) = e^δ - 1,      φ(x) = e^x - 1 - x.

Exchanging p with w and t with -t exchanges the two sides, so one routine, `_tilt`, serves both.
A guess that is right to 0.14 % everywhere, then one Halley step in fp32 or two in fp64, reaches rounding error;
no bracket is needed and nothing depends on the data.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.divergences.special import expm1, expm1_and_phi, power_of_two

# Below e^-50, and below e^-margin δ, the upper bound is (1 - e^-δ)/p to the last digit, and the lower ratio underflows.
LOGP_MIN = -50.0
MARGIN = {torch.float32: 18.0, torch.float64: 36.0}
# Stopping just short of p = 0 keeps 1/p finite.
LOGP_FLOOR = {torch.float32: -87.0, torch.float64: -700.0}
# At p = 1 the band closes; stopping just short keeps 1/w finite, and `kl_upper` restores the exact cap -log p.
LOGP_MAX = {torch.float32: -1e-18, torch.float64: -1e-60}
# A token this much closer to p = 1 than δ has the lower bound -δ to the last digit.
NEGLIGIBLE = {torch.float32: 2.0**-31, torch.float64: 2.0**-61}
HALLEY_STEPS = {torch.float32: 1, torch.float64: 2}


class _Simplex(NamedTuple):
    """Probabilities p and w = 1 - p of clamped log-probs, and the ends they were clamped to."""

    p: Tensor
    w: Tensor
    first: float | Tensor
    last: float | Tensor


def _simplex(logp: Tensor, delta: float | Tensor) -> _Simplex:
    first, last = _ends(delta, logp.dtype)
    inside = torch.minimum(torch.maximum(logp, first), last) if isinstance(first, Tensor) else logp.clamp(first, last)
    return _Simplex(torch.exp(inside), -expm1(inside), first, last)


def _ends(delta: float | Tensor, dtype: torch.dtype) -> Any:
    """Return the log-probs beyond which the bounds of this radius follow their asymptotes."""
    floor, margin, tiny = LOGP_FLOOR[dtype], MARGIN[dtype], torch.finfo(dtype).tiny
    if isinstance(delta, Tensor):
        return (
            (torch.log(delta) - margin).clamp(floor, LOGP_MIN),
            (-NEGLIGIBLE[dtype] * delta).clamp(LOGP_MAX[dtype], -tiny),
        )
    return (
        min(max(math.log(delta) - margin, floor), LOGP_MIN),
        min(max(-NEGLIGIBLE[dtype] * delta, LOGP_MAX[dtype]), -tiny),
    )


def _expm1_radius(delta: float | Tensor) -> float | Tensor:
    return expm1(delta) if isinstance(delta, Tensor) else math.expm1(delta)


def _guess(a: Tensor, b: Tensor, delta: float | Tensor, growth: float | Tensor) -> Tensor:
    """Return x = b t to 0.14 %: the quadratic root, corrected to third order, then one contracting map."""
    s = torch.sqrt(2 * delta / (a * b))
    skew = (b - a) * s / 6
    right, left = skew.clamp_min(0), (-skew).clamp_min(0)
    t = s * ((1 + delta / 6) / (1 + right) + left * (1 + left))
    return torch.log1p((growth - b * expm1(-a * t)) / a)


def _tilt(a: Tensor, b: Tensor, delta: float | Tensor) -> Tensor:
    """Return y = a t, where t > 0 solves a φ(b t) + b φ(-a t) = e^δ - 1 for a + b = 1."""
    growth = _expm1_radius(delta)
    x = _guess(a, b, delta, growth)
    k = a / b
    for _ in range(HALLEY_STEPS[a.dtype]):
        _, phi_x = expm1_and_phi(x)
        e, phi_y = expm1_and_phi(-k * x)
        # Halley on F(x) = log(1 + residual/scale); log1p(v) ~ v (6 + v)/(6 + 4 v) merges all into one division.
        # Small radii and probabilities underflow in its products, so the sizes are divided out as powers of two.
        scale, gap = a + growth - b * e, growth - e
        size, size_of_gap = power_of_two(scale), power_of_two(gap)
        residual, slope = (a * phi_x + b * phi_y - growth) / size, a * (1 + e) / size
        scale, gap, relative = scale / size, gap / size_of_gap, size / size_of_gap
        numerator = residual * (6 * scale + residual)
        bend = (0.5 * numerator * relative) * (slope * relative) * (k * scale + slope)
        x = x - numerator * scale * gap / ((6 * scale + 4 * residual) * gap * scale * gap - bend) * relative
    return k * x


def kl_upper(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Return the largest log r with KL(old || new) <= δ; logp fp32 or fp64, δ a number or a tensor that broadcasts."""
    simplex = _simplex(logp, delta)
    return _upper(logp, simplex, _tilt(simplex.p, simplex.w, delta), delta)


def _upper(logp: Tensor, simplex: _Simplex, y: Tensor, delta: float | Tensor) -> Tensor:
    """Return log r of the upper bound out of its tilt y = p t."""
    shrink = torch.exp(-delta) if isinstance(delta, Tensor) else math.exp(-delta)
    high = torch.log1p(simplex.w * (_expm1_radius(delta) - expm1(-y)) * shrink / simplex.p)
    below = (simplex.first - logp).clamp_min(0)
    return torch.minimum(high + below, -logp)


def kl_lower(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Return the smallest log r with KL(old || new) <= δ; logp fp32 or fp64, δ a number or a tensor that broadcasts."""
    simplex = _simplex(logp, delta)
    return _lower(logp, simplex, _tilt(simplex.w, simplex.p, delta), delta)


def _lower(logp: Tensor, simplex: _Simplex, y: Tensor, delta: float | Tensor) -> Tensor:
    """Return log r of the lower bound out of its tilt y = w t, which vanishes with w beyond the last log-prob."""
    return -y * (logp / simplex.last).clamp_max(1.0) - delta


def kl_toward(logp: Tensor, delta: float | Tensor, upward: Tensor) -> Tensor:
    """Return `kl_upper` where `upward`, else `kl_lower`, by one solve."""
    simplex = _simplex(logp, delta)
    p, w = simplex.p, simplex.w
    y = _tilt(torch.where(upward, p, w), torch.where(upward, w, p), delta)
    return torch.where(upward, _upper(logp, simplex, y, delta), _lower(logp, simplex, y, delta))
