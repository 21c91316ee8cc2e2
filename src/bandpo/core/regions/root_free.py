"""A band without its bounds: a token is outside iff g_f(p, r) > δ on the side its advantage pushes to.

The gradient of the clipped surrogate needs only that decision, and one evaluation of g_f costs a small part of a
search for its roots. What is lost is the loss of a stopped token at its bound, and the bounds in the metrics. Near
p = 1 a KL bound lies within rounding of q = 1: a token at logp = 0 is then outside here, and not past that bound.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.divergences.special import log1mexp
from bandpo.core.regions.band_options import BandOptions, check_band
from bandpo.core.tokens import Surrogate, Tokens


def root_free_surrogate(
    tokens: Tokens,
    divergence: Divergence,
    options: BandOptions,
    *,
    dual_clip: float | None = None,
    check: bool = True,
) -> Surrogate:
    """Gradient -A r inside the band and 0 outside, as the clipped surrogate's; the loss is -A r on both sides.

    Args:
        tokens: the batch.
        divergence: what δ measures.
        options, check: as `band`.
        dual_clip: ratio above which bad tokens are left alone.

    Raises:
        TypeError, ValueError: as `band`.

    >>> tokens = Tokens(torch.tensor([0.2, 0.4]), *torch.full((2, 2), -0.69), torch.ones(2), torch.ones(2) > 0)
    >>> root_free_surrogate(tokens, bandpo.get_divergence("js"), BandOptions(0.02)).gradient
    tensor([-1.2214,  0.0000])
    """
    d, old, advantages = tokens.log_ratio.detach(), tokens.logp_anchor, tokens.advantages
    check_band(old, divergence, options, check)
    radius_low, radius_high = options.radii
    above = _outside(d, old, divergence, options.upper, options.eps_high, radius_high, sign=1)
    below = _outside(d, old, divergence, options.lower, options.eps_low, radius_low, sign=-1)
    relax, max_ratio = options.relax, options.max_ratio
    if relax is not None:
        below, above = below & (d < math.log1p(-relax[0])), above & (d > math.log1p(relax[1]))
    if max_ratio is not None:
        above = above | (d > math.log(max_ratio))
    if dual_clip is not None:
        below = below | (d > math.log(dual_clip))
    is_stopped = torch.where(advantages > 0, above, below)
    loss = -advantages * torch.exp(tokens.log_ratio)
    return Surrogate(loss, torch.where(is_stopped, 0.0, loss.detach()))


def _outside(
    d: Tensor, old: Tensor, divergence: Divergence, rule: str, eps: float | None, delta: float | Tensor, sign: int
) -> Tensor:
    """Whether a token that has moved in this direction has left what the rule of that side allows."""
    if eps is not None:
        return sign * d > sign * math.log1p(sign * eps)
    if rule == "none":
        return torch.zeros_like(d, dtype=torch.bool)
    if isinstance(delta, Tensor):
        delta = delta.detach().to(d.dtype)
    if rule == "mirror":
        # The mirrored bound is minus the opposite bound of the complement, the event "any other token", whose
        # probability cannot pass 1 either.
        old, d, sign = log1mexp(old), -d, -sign
    is_moved = projected_divergence(old, d, divergence) > delta
    return (sign * d > 0) & (is_moved | (d > -old))
