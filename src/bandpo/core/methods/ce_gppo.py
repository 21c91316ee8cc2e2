"""CE-GPPO: PPO's clip that keeps a bounded gradient outside."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, unless_held


@method(
    "ce-gppo",
    family="gate",
    formula="PPO's; outside, gradient -β_low (1 - ε_low) A below and -β_high (1 + ε_high) A above",
    citation="CE-GPPO, arXiv 2509.20712",
)
def ce_gppo(
    tokens: Tokens,
    *,
    beta_low: float = 0.75,
    beta_high: float = 1.0,
    eps_low: float = 0.2,
    eps_high: float = 0.2,
    dual_clip: float | None = 10.0,
) -> Surrogate:
    """Clip as PPO does, with a bounded gradient outside instead of none.

    Outside, ℓ is PPO's clipped value times β, with the gradient of a token whose ratio is the bound: r is divided by
    its own detached value, however far the token has moved. Dual clip as in PPO.

    Args:
        tokens: the batch.
        beta_low: β_low, for bad tokens below the clip; the authors take 0.75 for 7B models and 0.5 for 1.5B.
        beta_high: β_high, for good tokens above it.
        eps_low, eps_high: the clip.
        dual_clip: ratio above which bad tokens are left alone.
    """
    check_number("beta_low", beta_low, 0.0, math.inf)
    check_number("beta_high", beta_high, 0.0, math.inf)
    check_number("eps_low", eps_low, 0.0, 1.0)
    check_number("eps_high", eps_high, 0.0, math.inf)
    d, advantages = tokens.log_ratio, tokens.advantages
    below = (advantages < 0) & (d < math.log1p(-eps_low))
    above = (advantages > 0) & (d > math.log1p(eps_high))
    scale = torch.where(below, torch.full_like(d, beta_low * (1 - eps_low)), beta_high * (1 + eps_high))
    outside = below | above
    # e^(logp - detached logp) is 1 with gradient 1: the token keeps moving at a rate that does not depend on its ratio.
    inside = torch.exp(d)
    coefficient = torch.where(outside, scale * torch.exp(tokens.logp - tokens.logp.detach()), inside)
    loss = -advantages * coefficient
    gradient = -advantages * torch.where(outside, scale, unless_held(inside.detach(), tokens))
    if dual_clip is not None:
        past = (advantages < 0) & (d > math.log(dual_clip))
        loss = torch.where(past, -advantages * dual_clip, loss)
        gradient = torch.where(past, 0.0, gradient)
    return Surrogate(loss, gradient)
