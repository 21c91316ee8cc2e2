"""The α-divergences, one for every real number, of which five have a formula."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.named import CHI2, HELLINGER, KL, NEYMAN_CHI2, REVERSE_KL
from bandpo.core.divergences.special import expm1


def _scaled_generator(u: Tensor, *, base: Divergence, factor: float) -> Tensor:
    return factor * base.f(u)


def _scaled_upper(logp: Tensor, delta: float | Tensor, *, base: Divergence, factor: float) -> Tensor:
    return base.upper(logp, delta / factor)


def _scaled_lower(logp: Tensor, delta: float | Tensor, *, base: Divergence, factor: float) -> Tensor:
    return base.lower(logp, delta / factor)


def alpha_divergence(alpha: float) -> Divergence:
    """Return the α-divergence, f(u) = (u^α - α u - (1 - α))/(α (α - 1)); f''(1) = 1 for every α.

    α = 2 is χ²/2, α = 1 reverse KL, α = 1/2 twice the squared Hellinger, α = 0 KL and α = -1 Neyman χ²/2: those
    five use the closed or special form, every other α the bracketed solver.

    Args:
        alpha: any finite real number.

    Raises:
        ValueError: α is not finite.

    >>> bandpo.alpha_divergence(2.0).upper(torch.tensor([-1.0]), 0.05).exp()
    tensor([1.4145])
    """
    alpha = float(alpha)
    if not math.isfinite(alpha):
        raise ValueError(f"alpha={alpha!r}: expected a finite number")
    known = {2.0: (CHI2, 0.5), 1.0: (REVERSE_KL, 1.0), 0.5: (HELLINGER, 2.0), 0.0: (KL, 1.0), -1.0: (NEYMAN_CHI2, 0.5)}
    value = repr(alpha).removesuffix(".0")
    name, summary = f"alpha={value}", f"α-divergence with α = {value}"
    if alpha in known:
        base, factor = known[alpha]
        if base.direct_upper is None:
            return Divergence(name, base.f, summary, base.supremum)
        f, upper, lower = (
            functools.partial(function, base=base, factor=factor)
            for function in (_scaled_generator, _scaled_upper, _scaled_lower)
        )
        return Divergence(name, f, summary, factor * base.supremum, upper, lower)
    supremum = 1 / (alpha * (1 - alpha)) if 0 < alpha < 1 else math.inf
    return Divergence(name, functools.partial(_alpha, alpha=alpha), summary, supremum)


def _alpha(u: Tensor, *, alpha: float) -> Tensor:
    """Return f of the α-divergence, written so that α close to 1 or to 0 loses no digits; α is neither."""
    if alpha >= 0.5:
        return (u * expm1((alpha - 1) * torch.log(u)) / (alpha - 1) - (u - 1)) / alpha
    return (expm1(alpha * torch.log(u)) / alpha - (u - 1)) / (alpha - 1)
