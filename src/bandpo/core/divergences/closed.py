"""Band bounds in closed form: the log-ratios at which D_f(new || old), projected on one token, equals δ.

With p = e^logp, w = 1 - p and q = r p, every function solves p f(r) + w f((1 - q)/w) = δ for log r.
A side that reaches the end of the simplex saturates: log r = -logp above (q = 1), -inf below (q = 0).
All take logp (fp32 or fp64, <= 0, any shape) and δ (a number or a tensor that broadcasts) and return log r in the
dtype of logp. They avoid differences of near-equal numbers, so few digits are lost at p -> 0, p -> 1 or r -> 0.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from bandpo.core.checks import constant_in_compiled_code
from bandpo.core.divergences.special import expm1, log1mexp, root_of_scale

Radius = float | Tensor

# Below these 1/p would overflow. There each upper bound is a straight line in logp.
LOGP_MIN = {torch.float32: -60.0, torch.float64: -600.0}
# With a small radius the straight line begins further out, where e^-margin δ is left of p; e^-86 is the last of fp32.
MARGIN, LOGP_FLOOR = 33.0, -86.0
BENT = math.exp(LOGP_FLOOR + MARGIN)
"""Radii below this have no straight line within reach where they go by √p."""
CARRIED = 20.0
"""How far below the range such a bound is followed inside its logarithm."""


def _first(delta: Radius, dtype: torch.dtype) -> Radius:
    """Return the log-prob below which the bounds of this radius are straight lines."""
    first = LOGP_MIN[dtype]
    if dtype == torch.float64:
        return first
    if isinstance(delta, Tensor):
        return (torch.log(delta) - MARGIN).clamp(LOGP_FLOOR, first)
    return min(max(math.log(delta) - MARGIN, LOGP_FLOOR), first)


def _simplex(logp: Tensor, delta: Radius) -> tuple[Tensor, Tensor, Tensor]:
    """Return p, 1 - p, and how far logp lies below the range where 1/p is finite."""
    first = _first(delta, logp.dtype)
    clamped = torch.maximum(logp, first) if isinstance(first, Tensor) else logp.clamp_min(first)
    return torch.exp(clamped), -expm1(clamped), clamped - logp


def _upper(logp: Tensor, excess: Tensor, below: Tensor, slope: float = 1.0) -> Tensor:
    """Return log(1 + excess), extended below the range along its asymptote, and at most -logp (q = 1)."""
    return torch.minimum(torch.log1p(excess) + slope * below, -logp)


def _carried(below: Tensor, delta: Radius) -> Tensor:
    """Return how far below the range a bound by √p is followed inside its logarithm: until `CARRIED`, for bent ones."""
    if isinstance(delta, Tensor):
        return torch.where(delta < BENT, below.clamp_max(CARRIED), 0.0)
    return below.clamp_max(CARRIED if delta < BENT else 0.0)


def _root_of_odds(delta: Radius, w: Tensor, p: Tensor, factor: Radius = 1.0) -> Tensor:
    """Return √(δ factor w/p), whose terms may be smaller than their dtype can hold."""
    scale = root_of_scale(delta)
    return torch.sqrt(delta / (scale * scale) * factor * w / p) * scale


def _log1p(x: Radius) -> Radius:
    return torch.log1p(x) if isinstance(x, Tensor) else math.log1p(x)


def _log_floor_gap(logp: Tensor, divergence: str, delta: Radius) -> Tensor:
    """Return log(1 - floor/p), -inf where p <= floor: from there on q = 0 is allowed."""
    if isinstance(delta, Tensor):
        coarse, fine = _floor_of_tensor(divergence, delta, logp.dtype)
    else:
        coarse, fine = log_floor(divergence, *delta.as_integer_ratio(), logp.dtype)
    gap = (coarse - logp) + fine
    return torch.where(gap >= 0, -math.inf, log1mexp(gap.clamp_max(-1e-30)))


# (1 - floor)/floor, floor the old probability from which on down the sampled token may vanish.
_ODDS: dict[str, Callable[[Any], Any]] = {
    "tv": lambda delta: (1 - delta) / delta,
    "chi2": lambda delta: 1 / delta,
    "hellinger": lambda delta: (1 - delta / 2) ** 2 / (delta / 2 * (2 - delta / 2)),
    "le-cam": lambda delta: (2 - delta) / (2 * delta),
}
# A multiple of this leaves fp32 the digits to subtract a log-prob of any size below 16 from it exactly.
COARSE = 2.0**-19


@functools.lru_cache
def _floor_of_number(divergence: str, numerator: int, denominator: int, is_double: bool) -> tuple[float, float]:
    odds = _ODDS[divergence](Fraction(numerator, denominator))
    with localcontext(Context(prec=60)):
        exact = -(1 + Decimal(odds.numerator) / Decimal(odds.denominator)).ln()
        coarse = float(exact) if is_double else math.floor(exact / Decimal(COARSE)) * COARSE
        return coarse, float(exact - Decimal(coarse))


@constant_in_compiled_code
def log_floor(divergence: str, numerator: int, denominator: int, dtype: torch.dtype) -> tuple[float, float]:
    """Return log floor in two parts, so that log floor - logp keeps its digits where p is close to it.

    Args:
        divergence: "tv", "chi2", "hellinger" or "le-cam".
        numerator, denominator: δ's `as_integer_ratio`: exact, and in compiled code a constant where δ may be a symbol.
        dtype: of the log-probs; the first part leaves it room for an exact subtraction.

    >>> coarse, fine = log_floor("tv", *(0.05).as_integer_ratio(), torch.float64)
    >>> coarse == math.log(0.05), abs(fine) < 1e-15
    (True, True)
    """
    return _floor_of_number(divergence, numerator, denominator, dtype == torch.float64)


def _floor_of_tensor(divergence: str, delta: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return `log_floor` of every radius of a tensor; in fp64 nothing finer is at hand, the second part is 0."""
    exact = -torch.log1p(_ODDS[divergence](delta.double()))
    if dtype == torch.float64:
        return exact, torch.zeros_like(exact)
    coarse = torch.floor(exact / COARSE) * COARSE
    return coarse.to(dtype), (exact - coarse).to(dtype)


def tv_upper(logp: Tensor, delta: Radius) -> Tensor:
    """f = |u - 1|/2: r = 1 + δ/p."""
    p, _, below = _simplex(logp, delta)
    return _upper(logp, delta / p, below)


def tv_lower(logp: Tensor, delta: Radius) -> Tensor:
    """f = |u - 1|/2: r = 1 - δ/p, and 0 from p = δ down."""
    drop = delta / _simplex(logp, delta)[0]
    return torch.where(drop < 0.5, torch.log1p(-drop.clamp_max(0.5)), _log_floor_gap(logp, "tv", delta))


def chi2_upper(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²: r = 1 + √(δ w/p)."""
    p, w, below = _simplex(logp, delta)
    carried = _carried(below, delta)
    return _upper(logp, _root_of_odds(delta, w, p) * torch.exp(0.5 * carried), below - carried, slope=0.5)


def chi2_lower(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²: r = 1 - √(δ w/p), and 0 from p = δ/(1 + δ) down; near 0, (1 - e)(1 + e) = (1 + δ)(1 - floor/p)."""
    p, w, _ = _simplex(logp, delta)
    drop = _root_of_odds(delta, w, p)
    near_zero = _log_floor_gap(logp, "chi2", delta) + _log1p(delta) - torch.log1p(drop)
    return torch.where(drop < 0.5, torch.log1p(-drop.clamp_max(0.5)), near_zero)


def hellinger_upper(logp: Tensor, delta: Radius) -> Tensor:
    """f = (√u - 1)²: √r = 1 - h + √(h (2 - h) w/p), h = δ/2; saturates where √p >= 1 - h, that is w <= h (2 - h)."""
    p, w, below = _simplex(logp, delta)
    h = delta / 2
    carried = _carried(below, delta)
    excess = _root_of_odds(h, w, p, 2 - h) * torch.exp(0.5 * carried) - h
    high = 2 * torch.log1p(excess) + (below - carried)
    return torch.where(w <= h * (2 - h), -logp, torch.minimum(high, -logp))


def hellinger_lower(logp: Tensor, delta: Radius) -> Tensor:
    """f = (√u - 1)²: √r = 1 - h - √(h (2 - h) w/p), h = δ/2, and 0 from p = h (2 - h) down."""
    p, w, _ = _simplex(logp, delta)
    h = delta / 2
    spread = _root_of_odds(h, w, p, 2 - h)
    drop = h + spread
    near_zero = _log_floor_gap(logp, "hellinger", delta) - torch.log(1 - h + spread)
    return 2 * torch.where(drop < 0.5, torch.log1p(-drop.clamp_max(0.5)), near_zero)


def neyman_upper(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²/u: q is the upper Wilson bound of p, (2 p + δ + √(δ² + 4 p δ w))/(2 (1 + δ)); never saturates."""
    p, w, below = _simplex(logp, delta)
    skew, root, scaled, scale = _quadratic(p, w, delta, 4)
    excess = torch.where(skew >= 0, (skew + root) * scale / (2 * (1 + delta) * p), 2 * scaled * w / (root - skew))
    return _upper(logp, excess, below)


def neyman_lower(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²/u: the two roots multiply to 1/(1 + δ)."""
    return -_log1p(delta) - neyman_upper(logp, delta)


def _quadratic(p: Tensor, w: Tensor, delta: Radius, factor: int) -> tuple[Tensor, Tensor, Radius, Radius]:
    """Return δ (w - p), √(δ² + factor δ p w) and δ over a power of two of δ's size, which comes last."""
    root_scale = root_of_scale(delta)
    scale = root_scale * root_scale
    scaled = delta / scale
    return scaled * (w - p), torch.sqrt(scaled * scaled + factor * scaled * (p / scale) * w), scaled, scale


def le_cam_upper(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²/(u + 1): q - p = (δ (w - p) + √(δ² + 8 δ p w))/(2 + δ)."""
    p, w, below = _simplex(logp, delta)
    skew, root, scaled, scale = _quadratic(p, w, delta, 8)
    step = torch.where(skew >= 0, (skew + root) * scale / (2 + delta), 4 * scaled * p * w / (root - skew))
    return _upper(logp, step / p, below)


def le_cam_lower(logp: Tensor, delta: Radius) -> Tensor:
    """f = (u - 1)²/(u + 1): q - p = (δ (w - p) - √(δ² + 8 δ p w))/(2 + δ), and 0 from p = 2 δ/(2 + δ) down."""
    p, w, _ = _simplex(logp, delta)
    skew, root, scaled, scale = _quadratic(p, w, delta, 8)
    step = torch.where(skew <= 0, (root - skew) * scale / (2 + delta), 4 * scaled * p * w / (root + skew))
    drop = step / p
    likeness = torch.log((2 + delta) * p / (2 * p + delta * w + root * scale))
    near_zero = _log_floor_gap(logp, "le-cam", delta) + likeness
    return torch.where(drop < 0.5, torch.log1p(-drop.clamp_max(0.5)), near_zero)
