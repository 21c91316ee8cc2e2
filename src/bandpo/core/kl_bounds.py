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

import torch
from torch import Tensor

from bandpo.core.special import expm1, expm1_and_phi

# Below e^-50 the upper bound is (1 - e^-δ)/p to the last digit, and the lower ratio underflows to 0.
LOGP_MIN = -50.0
# At p = 1 the band closes; stopping just short keeps 1/w finite, and `kl_upper` restores the exact cap -log p.
_LOGP_MAX = {torch.float32: -1e-18, torch.float64: -1e-60}
_HALLEY_STEPS = {torch.float32: 1, torch.float64: 2}


def _simplex(logp: Tensor) -> tuple[Tensor, Tensor]:
    logp = logp.clamp(LOGP_MIN, _LOGP_MAX[logp.dtype])
    return torch.exp(logp), -expm1(logp)


def _expm1_radius(delta: float | Tensor) -> float | Tensor:
    return expm1(delta) if isinstance(delta, Tensor) else math.expm1(delta)


def _guess(a: Tensor, b: Tensor, delta: float | Tensor, growth: float | Tensor) -> Tensor:
    """x = b t to 0.14 %: the quadratic root, corrected to third order, then one contracting map of the equation."""
    s = torch.sqrt(2 * delta / (a * b))
    skew = (b - a) * s / 6
    right, left = skew.clamp_min(0), (-skew).clamp_min(0)
    t = s * ((1 + delta / 6) / (1 + right) + left * (1 + left))
    return torch.log1p((growth - b * expm1(-a * t)) / a)


def _tilt(a: Tensor, b: Tensor, delta: float | Tensor) -> Tensor:
    """y = a t, where t > 0 solves a φ(b t) + b φ(-a t) = e^δ - 1 for a + b = 1."""
    growth = _expm1_radius(delta)
    x = _guess(a, b, delta, growth)
    k = a / b
    for _ in range(_HALLEY_STEPS[a.dtype]):
        _, phi_x = expm1_and_phi(x)
        e, phi_y = expm1_and_phi(-k * x)
        # Halley on F(x) = log(1 + residual/scale); log1p(v) ~ v (6 + v)/(6 + 4 v) merges all into one division.
        residual = a * phi_x + b * phi_y - growth
        scale = a + growth - b * e
        gap = growth - e
        slope = a * (1 + e)
        numerator = residual * (6 * scale + residual)
        denominator = (6 * scale + 4 * residual) * gap * scale * gap - 0.5 * numerator * slope * (k * scale + slope)
        x = x - numerator * scale * gap / denominator
    return k * x


def kl_upper(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Largest log r with KL(old || new) <= δ; logp fp32 or fp64, δ a number or a tensor that broadcasts."""
    p, w = _simplex(logp)
    return _upper(logp, p, w, _tilt(p, w, delta), delta)


def _upper(logp: Tensor, p: Tensor, w: Tensor, y: Tensor, delta: float | Tensor) -> Tensor:
    """log r of the upper bound out of its tilt y = p t."""
    shrink = torch.exp(-delta) if isinstance(delta, Tensor) else math.exp(-delta)
    high = torch.log1p(w * (_expm1_radius(delta) - expm1(-y)) * shrink / p)
    below = (LOGP_MIN - logp).clamp_min(0)
    return torch.minimum(high + below, -logp)


def kl_lower(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Smallest log r with KL(old || new) <= δ; logp fp32 or fp64, δ a number or a tensor that broadcasts."""
    p, w = _simplex(logp)
    return -_tilt(w, p, delta) - delta


def kl_toward(logp: Tensor, delta: float | Tensor, upward: Tensor) -> Tensor:
    """`kl_upper` where `upward`, else `kl_lower`, by one solve."""
    p, w = _simplex(logp)
    y = _tilt(torch.where(upward, p, w), torch.where(upward, w, p), delta)
    return torch.where(upward, _upper(logp, p, w, y, delta), -y - delta)
