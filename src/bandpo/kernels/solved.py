"""Band-KL bounds solved inside a Triton kernel, for one block of tokens with a radius each: `kl_solver` again, in fp32.

Each function names the torch function whose mirror it is; the tests hold both against each other.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from bandpo.core.divergences import kl_solver
from bandpo.kernels.special import expm1, expm1_and_phi, log1p, power_of_two

LOGP_MIN, LOGP_FLOOR = tl.constexpr(kl_solver.LOGP_MIN), tl.constexpr(kl_solver.LOGP_FLOOR[torch.float32])
MARGIN, LOGP_MAX = tl.constexpr(kl_solver.MARGIN[torch.float32]), tl.constexpr(kl_solver.LOGP_MAX[torch.float32])
NEGLIGIBLE = tl.constexpr(kl_solver.NEGLIGIBLE[torch.float32])
TINY = tl.constexpr(torch.finfo(torch.float32).tiny)
STEPS = tl.constexpr(kl_solver.HALLEY_STEPS[torch.float32])


@triton.jit
def _simplex(logp, delta):
    """Mirror `kl_solver._simplex`: p, 1 - p, and the ends they were clamped to."""
    first = tl.minimum(tl.maximum(tl.log(delta) - MARGIN, LOGP_FLOOR), LOGP_MIN)
    last = tl.minimum(tl.maximum(-NEGLIGIBLE * delta, LOGP_MAX), -TINY)
    inside = tl.minimum(tl.maximum(logp, first), last)
    return tl.exp(inside), -expm1(inside), first, last


@triton.jit
def _guess(a, b, delta, growth):
    """Mirror `kl_solver._guess`."""
    s = tl.sqrt(2.0 * delta / (a * b))
    skew = (b - a) * s / 6.0
    right, left = tl.maximum(skew, 0.0), tl.maximum(-skew, 0.0)
    t = s * ((1.0 + delta / 6.0) / (1.0 + right) + left * (1.0 + left))
    return log1p((growth - b * expm1(-a * t)) / a)


@triton.jit
def _tilt(a, b, delta):
    """Mirror `kl_solver._tilt`: y = a t, where t > 0 solves a φ(b t) + b φ(-a t) = e^δ - 1."""
    growth = expm1(delta)
    x = _guess(a, b, delta, growth)
    k = a / b
    for _ in tl.static_range(STEPS):
        _, phi_x = expm1_and_phi(x)  # pyright: ignore[reportGeneralTypeIssues]
        e, phi_y = expm1_and_phi(-k * x)  # pyright: ignore[reportGeneralTypeIssues]
        scale, gap = a + growth - b * e, growth - e
        size, size_of_gap = power_of_two(scale), power_of_two(gap)
        residual, slope = (a * phi_x + b * phi_y - growth) / size, a * (1.0 + e) / size
        scale, gap, relative = scale / size, gap / size_of_gap, size / size_of_gap
        numerator = residual * (6.0 * scale + residual)
        bend = (0.5 * numerator * relative) * (slope * relative) * (k * scale + slope)
        x = x - numerator * scale * gap / ((6.0 * scale + 4.0 * residual) * gap * scale * gap - bend) * relative
    return k * x


@triton.jit
def _upper(logp, p, w, first, y, delta):
    """Mirror `kl_solver._upper`."""
    high = log1p(w * (expm1(delta) - expm1(-y)) * tl.exp(-delta) / p)
    return tl.minimum(high + tl.maximum(first - logp, 0.0), -logp)


@triton.jit
def _lower(logp, last, y, delta):
    """Mirror `kl_solver._lower`."""
    return -y * tl.minimum(logp / last, 1.0) - delta


@triton.jit
def kl_upper(logp, delta):
    """Mirror `kl_solver.kl_upper`."""
    p, w, first, _ = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    return _upper(logp, p, w, first, _tilt(p, w, delta), delta)


@triton.jit
def kl_lower(logp, delta):
    """Mirror `kl_solver.kl_lower`."""
    p, w, _, last = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    return _lower(logp, last, _tilt(w, p, delta), delta)


@triton.jit
def kl_toward(logp, delta, upward):
    """Mirror `kl_solver.kl_toward`: one solve for the bound that each token asks for."""
    p, w, first, last = _simplex(logp, delta)  # pyright: ignore[reportGeneralTypeIssues]
    y = _tilt(tl.where(upward, p, w), tl.where(upward, w, p), delta)
    return tl.where(upward, _upper(logp, p, w, first, y, delta), _lower(logp, last, y, delta))
