"""Band bounds of any convex f with f(1) = 0, by a bracketed root finder with a fixed number of steps.

The unknown is the size t of the shift in log-odds between the sampled token and all others, written z = log t.
Both ratios of the binary projection follow from it without cancellation: whichever side grows, with old
probability a and complement b,

    log(ratio of the side that shrinks) = -log(1 + a (e^t - 1)),
    log(ratio of the side that grows)   = -log(1 + b (e^-t - 1)) = -log(a + b e^-t),

and log(g/δ), g = p f(r) + w f(c), is increasing in z with slope near 2, an easy function for a root finder.
Chandrupatla's method keeps the root bracketed at every step and interpolates whenever that is safe
(T. Chandrupatla, "A new hybrid quadratic/bisection algorithm", Adv. Eng. Software 28, 1997).
All arithmetic is fp64: near u = 1 a user's f(u) is a difference of near-equal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bandpo.core.divergences.special import expm1, log1mexp

Generator = Callable[[Tensor], Tensor]

MIN_SEARCHED_DELTA = 1e-9
"""Where δ is smaller, f(u) next to u = 1 has lost the digits that a root finder needs: 1e-16/δ of them are noise."""

_STEPS = 24
_LOGP_MIN, _LOGP_MAX = -600.0, -1e-300
# Shifts beyond these reach the end of the simplex for fp64: q = 1 - e^-40 above, r = e^-740 below.
_SHIFT_MAX_UP, _SHIFT_MAX_DOWN = 40.0, 740.0
_SHIFT_MIN = 1e-12
# log(g/δ) is clamped to ±this, so that an f that overflows or vanishes still has a finite value.
_LOG_MAX = 27.6


def _log_ratios(t: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Log-ratios of the side that grows (old probability a) and of the side that shrinks (b = 1 - a)."""
    grows = torch.where((a < 0.5) & (t > 1), -torch.log(a + b * torch.exp(-t)), -torch.log1p(b * expm1(-t)))
    shrinks = torch.where(t > 700, grows - t, -torch.log1p(a * expm1(t.clamp_max(700))))
    return grows, shrinks


def _divergence(f: Generator, t: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return g_f after a shift by t: a f(growth) + b f(shrinkage)."""
    grows, shrinks = _log_ratios(t, a, b)
    return a * f(torch.exp(grows)) + b * f(torch.exp(shrinks.clamp_min(-_SHIFT_MAX_DOWN)))


def _chandrupatla(function: Generator, x1: Tensor, f1: Tensor, x2: Tensor, f2: Tensor) -> Tensor:
    """Return the root of an increasing function between x1 and x2, where f1 and f2 have opposite signs."""
    fraction = (f1 / (f1 - f2)).clamp(0.02, 0.98)
    for _ in range(_STEPS):
        x = x1 + fraction * (x2 - x1)
        y = function(x)
        same = torch.sign(y) == torch.sign(f1)
        x3, f3 = torch.where(same, x1, x2), torch.where(same, f1, f2)
        x2, f2 = torch.where(same, x2, x1), torch.where(same, f2, f1)
        x1, f1 = x, y
        position, height = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        trusted = (height * height < position) & ((1 - height) ** 2 < 1 - position)
        inverse_quadratic = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
        trusted = trusted & torch.isfinite(inverse_quadratic)
        fraction = torch.where(trusted, inverse_quadratic, 0.5).clamp(1e-9, 1 - 1e-9)
    return torch.where(f1.abs() < f2.abs(), x1, x2)


def _curvature(f: Generator) -> Tensor:
    """Return f''(1) by a central difference; it only places the first guess, r - 1 ~ √(2 δ (1 - p)/(p f''(1)))."""
    step = 1e-3
    below, above = f(torch.tensor([1 - step, 1 + step], dtype=torch.float64)).unbind()
    return ((below + above) / step**2).clamp_min(1e-6)


def root_bound(f: Generator, logp: Tensor, delta: float | Tensor, upward: bool | Tensor) -> Tensor:
    """Return the largest (upward) or smallest log r with g_f(p, r) <= δ.

    Args:
        f: convex, f(1) = 0, elementwise on fp64 ratios u > 0.
        logp: log p, fp32 or fp64, <= 0, any shape.
        delta: δ > 0, a number or a tensor that broadcasts.
        upward: which of the two roots, for all or, as a bool tensor, for each.

    Returns:
        log r in the dtype of logp; -logp (upward) or -inf where the end of the simplex is within reach.

    >>> root_bound(lambda u: (u - 1) ** 2, torch.tensor([0.2]).log(), 0.05, upward=True).exp()
    tensor([1.4472])
    """
    dtype = logp.dtype
    logp = logp.double()
    delta = delta.double() if isinstance(delta, Tensor) else delta
    clamped = logp.clamp(_LOGP_MIN, _LOGP_MAX)
    p, w = torch.exp(clamped), -expm1(clamped)
    logit = clamped - log1mexp(clamped)
    up = torch.as_tensor(upward, device=logp.device)
    a, b = torch.where(up, p, w), torch.where(up, w, p)

    def excess(z: Tensor) -> Tensor:
        g = _divergence(f, torch.exp(z), a, b)
        return torch.log((g / delta).clamp(math.exp(-_LOG_MAX), math.exp(_LOG_MAX)))

    reach = torch.where(up, _SHIFT_MAX_UP + (-logit).clamp_min(0), _SHIFT_MAX_DOWN + logit.clamp_min(0))
    inner, outer = torch.full_like(p, math.log(_SHIFT_MIN)), torch.log(reach)
    f_inner, f_outer = torch.full_like(p, -_LOG_MAX), excess(outer)
    saturated = f_outer <= 0

    # Two probes around the quadratic estimate of the root; each replaces the end of the bracket it turns out to be.
    estimate = 0.5 * torch.log(2 * delta / (_curvature(f) * p * w))
    for probe in (estimate.clamp_max(0) - 1.2, estimate + 0.35):
        probe = torch.minimum(torch.maximum(probe, inner), outer - 1e-3)
        value = excess(probe)
        outside = value > 0
        outer, f_outer = torch.where(outside, probe, outer), torch.where(outside, value, f_outer)
        inner, f_inner = torch.where(outside, inner, probe), torch.where(outside, f_inner, value)

    z = _chandrupatla(excess, outer, f_outer, inner, f_inner)
    grows, shrinks = _log_ratios(torch.exp(z), a, b)
    bound = torch.where(up, torch.minimum(grows, -logp), shrinks)
    end = torch.where(up, -logp, -math.inf)
    return torch.where(torch.isnan(logp), logp, torch.where(saturated, end, bound)).to(dtype)
