"""Bounds by formula inside a Triton kernel, for one block of tokens: `divergences.closed` and DCPO's clip again.

Each function names the torch function whose mirror it is; the tests hold both against each other. δ is a number of all
tokens or one of each.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from bandpo.core.divergences import closed
from bandpo.core.regions import dynamic_clip, packed
from bandpo.kernels.special import expm1, log1mexp, log1p, root_of_scale

TV, CHI2 = tl.constexpr(packed.TV), tl.constexpr(packed.CHI2)
FIRST, FLOOR = tl.constexpr(closed.LOGP_MIN[torch.float32]), tl.constexpr(closed.LOGP_FLOOR)
MARGIN, BENT, CARRIED = tl.constexpr(closed.MARGIN), tl.constexpr(closed.BENT), tl.constexpr(closed.CARRIED)
PER_COARSE, COARSE = tl.constexpr(1 / closed.COARSE), tl.constexpr(closed.COARSE)
DYNAMIC_FIRST, MINUS_INFINITY = tl.constexpr(dynamic_clip.LOGP_MIN), tl.constexpr(-math.inf)


@triton.jit
def _simplex(logp, delta):
    """Mirror `closed._simplex`: p, 1 - p, and how far logp lies below the range where 1/p is finite."""
    first = tl.minimum(tl.maximum(tl.log(delta) - MARGIN, FLOOR), FIRST)
    clamped = tl.maximum(logp, first)
    return tl.exp(clamped), -expm1(clamped), clamped - logp


@triton.jit
def _carried(below, delta):
    """Mirror `closed._carried`."""
    return tl.where(delta < BENT, tl.minimum(below, CARRIED), 0.0)


@triton.jit
def log_floor(delta, KIND: tl.constexpr):
    """Mirror `closed._floor_of_tensor`: log floor in two parts."""
    exact = delta.to(tl.float64)
    if KIND == TV:
        odds = (1.0 - exact) / exact
    elif KIND == CHI2:
        odds = 1.0 / exact
    else:
        h = exact / 2.0
        odds = (1.0 - h) * (1.0 - h) / (h * (2.0 - h))
    floor = -log1p(odds)
    coarse = tl.floor(floor * PER_COARSE) * COARSE
    return coarse.to(tl.float32), (floor - coarse).to(tl.float32)


@triton.jit
def _floor_gap(logp, coarse, fine):
    """Mirror `closed._log_floor_gap`: log(1 - floor/p), -inf where p <= floor; log floor = coarse + fine."""
    gap = (coarse - logp) + fine
    return tl.where(gap >= 0.0, MINUS_INFINITY, log1mexp(tl.minimum(gap, -1e-30)))


@triton.jit
def _root_of_odds(delta, w, p, factor):
    """Mirror `closed._root_of_odds`: √(δ factor w/p), whose terms may be smaller than fp32 can hold."""
    scale = root_of_scale(delta)
    return tl.sqrt(delta / (scale * scale) * factor * w / p) * scale


@triton.jit
def _less(drop, near_zero):
    """Mirror the last line of `closed.tv_lower`: log(1 - drop), in another form where that nears 0."""
    return tl.where(drop < 0.5, log1p(-tl.minimum(drop, 0.5)), near_zero)


@triton.jit
def _tv_lower(logp, delta, coarse, fine):
    """Mirror `closed.tv_lower`."""
    p, _, _ = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    return _less(delta / p, _floor_gap(logp, coarse, fine))


@triton.jit
def _chi2_lower(logp, delta, coarse, fine):
    """Mirror `closed.chi2_lower`."""
    p, w, _ = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    drop = _root_of_odds(delta, w, p, 1.0)
    return _less(drop, _floor_gap(logp, coarse, fine) + log1p(w * 0.0 + delta) - log1p(drop))


@triton.jit
def _hellinger_lower(logp, delta, coarse, fine):
    """Mirror `closed.hellinger_lower`."""
    p, w, _ = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    h = delta / 2
    spread = _root_of_odds(h, w, p, 2 - h)
    return 2 * _less(h + spread, _floor_gap(logp, coarse, fine) - tl.log(1 - h + spread))


@triton.jit
def _tv_upper(logp, delta):
    """Mirror `closed.tv_upper`."""
    p, _, below = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    return tl.minimum(log1p(delta / p) + below, -logp)


@triton.jit
def _chi2_upper(logp, delta):
    """Mirror `closed.chi2_upper`."""
    p, w, below = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    carried = _carried(below, delta)
    high = log1p(_root_of_odds(delta, w, p, 1.0) * tl.exp(0.5 * carried))
    return tl.minimum(high + 0.5 * (below - carried), -logp)


@triton.jit
def _hellinger_upper(logp, delta):
    """Mirror `closed.hellinger_upper`."""
    p, w, below = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    h = delta / 2
    carried = _carried(below, delta)
    high = 2 * log1p(_root_of_odds(h, w, p, 2 - h) * tl.exp(0.5 * carried) - h) + (below - carried)
    return tl.where(w <= h * (2 - h), -logp, tl.minimum(high, -logp))


@triton.jit
def lower(logp, delta, coarse, fine, KIND: tl.constexpr):
    """Return the lower bound of TV, χ² or Hellinger."""
    if KIND == TV:
        return _tv_lower(logp, delta, coarse, fine)
    if KIND == CHI2:
        return _chi2_lower(logp, delta, coarse, fine)
    return _hellinger_lower(logp, delta, coarse, fine)


@triton.jit
def upper(logp, delta, KIND: tl.constexpr):
    """Return the upper bound of TV, χ² or Hellinger."""
    if KIND == TV:
        return _tv_upper(logp, delta)
    if KIND == CHI2:
        return _chi2_upper(logp, delta)
    return _hellinger_upper(logp, delta)


@triton.jit
def dynamic_lower(logp, eps):
    """Mirror the lower bound of `dynamic_clip.dynamic_clip_interval`."""
    below = tl.minimum(4.0 * eps / tl.exp(tl.maximum(logp, DYNAMIC_FIRST)), 1.0)
    return log1p(-0.5 * below / (tl.sqrt(1.0 - below) + 1.0))


@triton.jit
def dynamic_upper(logp, eps):
    """Mirror the upper bound of `dynamic_clip.dynamic_clip_interval`."""
    above = 4.0 * eps / tl.exp(tl.maximum(logp, DYNAMIC_FIRST))
    return log1p(0.5 * above / (tl.sqrt(1.0 + above) + 1.0))
