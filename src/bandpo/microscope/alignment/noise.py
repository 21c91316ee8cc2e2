"""The noise floor: what is random in d, and whether anything is left beside it."""

from __future__ import annotations

import math

import torch

from bandpo.microscope.alignment.panel import SMALLEST_SCALE, Tokens
from bandpo.microscope.alignment.verdict import Noise

FEWEST_REPEATS = 6
ORDINARY_NOISE = 0.03
"""Logits rounded to bf16 give log-probs a noise of about 0.02 to 0.03 (1 - p): no more than that calls for a cause."""
SMALLEST_SIGMA = 3e-4
"""Rounding of fp32 log-probs over the smallest scale."""
_TO_SIGMA = 1.4826


def deviations(tokens: Tokens) -> torch.Tensor:
    """Return by how much the d of each repeated token differs from its mean, over 1 - p, as if it were one draw.

    The scale is that of all repeats together: one token's own would hide noise in log p where d is about log p.
    """
    cells = tokens.cells
    if cells is None or not len(tokens):
        return torch.zeros(0, dtype=torch.float64)
    size = cells.size[cells.of]
    apart = (tokens.d - cells.d[cells.of]) / cells.scale[cells.of] * torch.sqrt(size / (size - 1).clamp_min(1))
    # Where 1 - p is below the smallest scale noise is smaller than its share.
    return apart[(size > 1) & (cells.scale > SMALLEST_SCALE)[cells.of]]


def noise_floor(tokens: Tokens) -> Noise:
    """Return the standard deviation of u among exact repeats, or what the middle of |u| allows at most."""
    if not len(tokens):
        return Noise(None, "none", 0)
    cells, repeats = tokens.cells, 0
    if cells is not None:
        repeats = int((cells.size - 1)[cells.scale > SMALLEST_SCALE].sum())
        if repeats >= FEWEST_REPEATS:
            # A cell of n draws gives each of its n deviations n/(n - 1) of the variance: n - 1 of them count.
            weight = ((cells.size - 1) / cells.size)[cells.of]
            weight = weight[(cells.size[cells.of] > 1) & (cells.scale > SMALLEST_SCALE)[cells.of]]
            return Noise(math.sqrt(float((weight * deviations(tokens).square()).sum()) / repeats), "repeats", repeats)
    return Noise(_TO_SIGMA * float(tokens.u.abs().median()), "quantiles", repeats)


def middle_sigma(values: torch.Tensor) -> float:
    """Return the standard deviation that the middle of the values stands for, whatever their tails."""
    return _TO_SIGMA * float(values.abs().median()) if len(values) else 0.0


def normal_of_f(ratio: float, over: float, under: float) -> float:
    """Return the standard normal value as rare as an F statistic of these degrees of freedom (Paulson 1942).

    >>> round(normal_of_f(2.54, 10, 15), 2)  # the upper 5 % point
    1.64
    """
    a, b, root = 2 / (9 * over), 2 / (9 * under), max(ratio, 0.0) ** (1 / 3)
    return ((1 - b) * root - (1 - a)) / math.sqrt(b * root**2 + a)


def fixed_part(tokens: Tokens, noise: Noise) -> tuple[float, float]:
    """Return the mean of u² beyond the noise, and how many standard errors that is from 0.

    Repeats show the noise alone, all tokens show noise and fault. Where repeats are missing the second number is 0.
    """
    if noise.source != "repeats" or noise.sigma is None:
        return 0.0, 0.0
    u = tokens.u[tokens.scale > SMALLEST_SCALE]
    square, variance = float(u.square().mean()), max(noise.sigma, SMALLEST_SIGMA) ** 2
    return square - variance, normal_of_f(square / variance, len(u), noise.repeats)


def rare_share(values: torch.Tensor) -> tuple[float, float]:
    """Return the share of values beyond six of their middle sigmas, and the share of Σ values² that they carry."""
    total = float(values.square().sum())
    if not len(values) or not total:
        return 0.0, 0.0
    far = values.abs() > 6 * max(middle_sigma(values), SMALLEST_SIGMA)
    return float(far.double().mean()), float(values[far].square().sum()) / total
