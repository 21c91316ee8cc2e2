"""How far a token has moved, measured as the trust region measures it: the projection of D_f on one token.

    g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p))

is the least D_f(new || old) of any policy pair that gives the sampled token the probabilities p and r p. A token is
inside the band of radius δ iff g_f(p, r) <= δ, so a mask needs no root, and the radius that a given ratio is worth is
g_f itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.moved import LOGP_MAX, log_complement_ratio
from bandpo.core.divergences.registry import get_divergence
from bandpo.core.divergences.root_finder import Generator
from bandpo.core.divergences.special import expm1

# Beyond this the ratio is the sampled token's own, for every purpose.
_SMALLEST = 1e-300


@torch.no_grad()
def projected_divergence(logp_old: Tensor, log_ratio: Tensor, divergence: str | Divergence = "kl") -> Tensor:
    """Return g_f(p, r), the radius at which the band's bound for this token is exactly its ratio r.

    BandPO, arXiv 2603.04918, Theorem 1; for KL it is KL(Bern p || Bern q) (DPPO, arXiv 2602.04879, eq. 14), for TV
    |q - p| (eq. 13), with q = r p.

    Args:
        logp_old: log p of the sampled tokens, fp32 or fp64, <= 0, any shape.
        log_ratio: logp - logp_old, same shape.
        divergence: a name from `bandpo.divergences()`, "alpha=VALUE", or a `bandpo.Divergence`.

    Returns:
        g_f, same shape and dtype, >= 0; inf where q = 1 is infinitely far.

    Raises:
        ValueError: unknown divergence.

    >>> bandpo.projected_divergence(torch.tensor([0.5]).log(), torch.tensor([1.3084843]).log())
    tensor([0.0500])
    """
    divergence = get_divergence(divergence)
    logp = logp_old.clamp_max(LOGP_MAX)
    if divergence.direct_g is not None:
        return divergence.direct_g(logp, log_ratio)
    y = log_complement_ratio(logp, log_ratio)
    p, w = torch.exp(logp.double()), -expm1(logp.double())
    value = p * _at(divergence.f, torch.exp(log_ratio.double())) + w * _at(divergence.f, torch.exp(y.double()))
    return value.to(logp.dtype)


def _at(f: Generator, u: Tensor) -> Tensor:
    """Return f(u), and its limit where u = 0 and a formula such as u log u has none."""
    value = f(u)
    return torch.where(torch.isnan(value), f(u.clamp_min(_SMALLEST)), value)
