"""Elementary functions inside a Triton kernel that keep their digits near zero: `divergences.special` again."""

from __future__ import annotations

import math

import triton
import triton.language as tl

# Of the series of e^x - 1 - x, from the highest power down to x².
_HIGHEST = 11
COEFFICIENTS = tl.constexpr(tuple(1 / math.factorial(power) for power in range(_HIGHEST, 1, -1)))
TERMS = tl.constexpr(_HIGHEST - 1)


@triton.jit
def log1p(x):
    """Mirror `torch.log1p` without cancellation (Kahan): the rounding of 1 + x is divided out."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def expm1(x):
    """Mirror `special.expm1` without cancellation (Kahan), for x <= 0 and moderate x > 0.

    Long before e^x has fewer digits than others, towards x = -87, it is -1.
    """
    u = tl.exp(x)
    is_none, is_all = u == 1.0, x < -30.0
    ratio = (u - 1.0) * (x / tl.where(is_none | is_all, 1.0, tl.log(tl.where(is_none | is_all, 2.0, u))))
    return tl.where(is_none, x, tl.where(is_all, -1.0, ratio))


@triton.jit
def log1mexp(x):
    """Mirror `special.log1mexp`."""
    return tl.where(x > -0.6931472, tl.log(-expm1(x)), log1p(-tl.exp(x)))


@triton.jit
def expm1_and_phi(x):
    """Mirror `special.expm1_and_phi`."""
    near = tl.minimum(tl.maximum(x, -1.0), 1.0)
    series = near * 0.0 + COEFFICIENTS[0]
    for i in tl.static_range(1, TERMS):  # pyright: ignore[reportGeneralTypeIssues]
        series = series * near + COEFFICIENTS[i]
    series = near * near * series
    far = tl.exp(x) - 1.0
    is_near = tl.abs(x) < 1.0
    return tl.where(is_near, near + series, far), tl.where(is_near, series, far - x)


@triton.jit
def phi(x):
    """Mirror `special.phi`: e^x - 1 - x."""
    _, value = expm1_and_phi(x)  # pyright: ignore[reportGeneralTypeIssues]
    return value


@triton.jit
def power_of_two(x):
    """Mirror `special.power_of_two` in fp32."""
    return (x.to(tl.int32, bitcast=True) & 0x7F800000).to(tl.float32, bitcast=True)


@triton.jit
def root_of_scale(x):
    """Mirror `special.root_of_scale` in fp32."""
    half = (((x.to(tl.int32, bitcast=True) & 0x7F800000) >> 23) + 127) >> 1
    return (half << 23).to(tl.float32, bitcast=True)


@triton.jit
def least(x, y):
    """Return the smaller, NaN where either is: what a device gives without being asked is the other."""
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def most(x, y):
    """Return the larger, NaN where either is."""
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def is_finite(x):
    """Return whether x is neither infinite nor NaN."""
    return tl.abs(x) < float("inf")
