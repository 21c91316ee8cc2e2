"""Elementary functions that keep their digits near zero, eager and compiled alike.

`torch.expm1` is not used: inductor's CPU code computes it as exp(x) - 1, which has no correct digit left for
small x. The series below is exact to rounding in fp32 and fp64 and is plain arithmetic to any compiler.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TERMS = {torch.float32: 10, torch.float64: 17}
# The integer of the same size, and the bits of it that hold the exponent.
_EXPONENT = {torch.float32: (torch.int32, 0x7F80_0000), torch.float64: (torch.int64, 0x7FF0_0000_0000_0000)}


def _phi_series(x: Tensor) -> Tensor:
    """Return e^x - 1 - x = x² (1/2! + x/3! + x²/4! + ...) for |x| <= 1, truncated below half an ulp."""
    terms = _TERMS[x.dtype]
    total = torch.full_like(x, 1 / math.factorial(terms + 1))
    for k in range(terms - 2, -1, -1):
        total = total * x + 1 / math.factorial(k + 2)
    return x * x * total


def expm1_and_phi(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^x - 1 and φ(x) = e^x - 1 - x, both without cancellation; fp32 or fp64, any shape."""
    near = x.clamp(-1.0, 1.0)
    series = _phi_series(near)
    far = torch.exp(x) - 1.0
    is_near = x.abs() < 1.0
    return torch.where(is_near, near + series, far), torch.where(is_near, series, far - x)


def expm1(x: Tensor) -> Tensor:
    """Return e^x - 1 to a few ulp for every x; fp32 or fp64, any shape.

    >>> expm1(torch.tensor([1e-9], dtype=torch.float64))
    tensor([1.0000e-09], dtype=torch.float64)
    """
    return expm1_and_phi(x)[0]


def phi(x: Tensor) -> Tensor:
    """Return φ(x) = e^x - 1 - x >= 0, the k3 estimator's shape, to a few ulp; fp32 or fp64, any shape.

    >>> phi(torch.tensor([1e-6], dtype=torch.float64))
    tensor([5.0000e-13], dtype=torch.float64)
    """
    return expm1_and_phi(x)[1]


def log1mexp(x: Tensor) -> Tensor:
    """Return log(1 - e^x) for x <= 0: the log-probability of "any other token"; fp32 or fp64, any shape.

    >>> log1mexp(torch.tensor([-1e-9], dtype=torch.float64))
    tensor([-20.7233], dtype=torch.float64)
    """
    return torch.where(x > -math.log(2), torch.log(-expm1(x)), torch.log1p(-torch.exp(x)))


def power_of_two(x: Tensor) -> Tensor:
    """Return the power of two at or below x > 0; fp32 or fp64, any shape, x not subnormal.

    Dividing by it is exact: it takes a number's size away and leaves its digits.

    >>> power_of_two(torch.tensor([0.3, 1.0, 5.0]))
    tensor([0.2500, 1.0000, 4.0000])
    """
    bits, exponent = _EXPONENT[x.dtype]
    return (x.view(bits) & exponent).view(x.dtype)


def root_of_scale(x: float | Tensor) -> float | Tensor:
    """Return 2^k with x/4^k in [1, 4), for x > 0: √(x y) = 2^k √((x/4^k) y) exactly, where x y might underflow.

    >>> root_of_scale(torch.tensor([0.3, 1e-30]))
    tensor([5.0000e-01, 8.8818e-16])
    """
    if not isinstance(x, Tensor):
        return math.ldexp(1.0, (math.frexp(x)[1] - 1) // 2)
    bits, exponent = _EXPONENT[x.dtype]
    # Half of the biased exponent; the bias is odd, so its halves are rounded up.
    mantissa = torch.finfo(x.dtype).eps
    shift = round(-math.log2(mantissa))
    bias = (exponent >> shift) // 2
    half = (((x.view(bits) & exponent) >> shift) + bias) >> 1
    return (half << shift).view(x.dtype)
