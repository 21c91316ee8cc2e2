"""How far a token has moved, measured as the trust region measures it: the projection of D_f on one token.

    g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p))

is the least D_f(new || old) of any policy pair that gives the sampled token the probabilities p and r p. A token is
inside the band of radius δ iff g_f(p, r) <= δ, so a mask needs no root, and the radius that a given ratio is worth is
g_f itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import KL, TV, Divergence, get_divergence
from bandpo.core.divergences.root_finder import Generator
from bandpo.core.divergences.special import expm1, log1mexp, phi

# Beyond these the ratio of the other tokens is 0, or the sampled token's own, for every purpose.
_LOGP_MAX = -1e-30
_SMALLEST = 1e-300


def probability_change(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """q - p, without cancellation where q is close to p and without overflow where it is not.

    Args:
        logp: log p, fp32 or fp64, <= 0.
        log_ratio: log q - log p.

    >>> probability_change(torch.tensor([-100.0]), torch.tensor([99.0]))
    tensor([0.3679])
    """
    near = torch.exp(logp) * expm1(log_ratio.clamp(-1.0, 1.0))
    return torch.where(log_ratio.abs() < 1, near, torch.exp(logp + log_ratio) - torch.exp(logp))


def log_complement_ratio(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """y = log((1 - q)/(1 - p)), the common log-ratio of all other tokens; -inf where q reaches 1.

    Args:
        logp: log p, fp32 or fp64, <= 0.
        log_ratio: log q - log p.

    >>> log_complement_ratio(torch.tensor([0.5]).log(), torch.tensor([1.5]).log())
    tensor([-0.6931])
    """
    logp = logp.clamp_max(_LOGP_MAX)
    moved = probability_change(logp, log_ratio) / -expm1(logp)
    near_one = log1mexp((logp + log_ratio).clamp_max(0.0)) - log1mexp(logp)
    return torch.where(moved < 0.5, torch.log1p(-moved.clamp_max(0.5)), near_one)


@torch.no_grad()
def projected_divergence(logp_old: Tensor, log_ratio: Tensor, divergence: str | Divergence = "kl") -> Tensor:
    """g_f(p, r): the radius at which the band's bound for this token is exactly its ratio r.

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
    chosen = get_divergence(divergence)
    logp = logp_old.clamp_max(_LOGP_MAX)
    change = probability_change(logp, log_ratio)
    if chosen is TV:
        return change.abs()
    y = log_complement_ratio(logp, log_ratio)
    if chosen is KL:
        p, near = torch.exp(logp), log_ratio.abs() < 1
        return torch.where(near, p * phi(log_ratio), change - p * log_ratio) - expm1(logp) * phi(y)
    p, w = torch.exp(logp.double()), -expm1(logp.double())
    value = p * _at(chosen.f, torch.exp(log_ratio.double())) + w * _at(chosen.f, torch.exp(y.double()))
    return value.to(logp.dtype)


def _at(f: Generator, u: Tensor) -> Tensor:
    """f(u), and its limit where u = 0 and a formula such as u log u has none."""
    value = f(u)
    return torch.where(torch.isnan(value), f(u.clamp_min(_SMALLEST)), value)
