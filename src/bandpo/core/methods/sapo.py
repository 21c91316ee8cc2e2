"""SAPO: a sigmoid gate, softer for good tokens than for bad ones."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.divergences.special import expm1
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, unless_held


@method(
    "sapo",
    family="gate",
    formula="-A (4/τ) σ(τ (r - 1)), τ = tau_pos for A > 0, else tau_neg",
    citation="SAPO, arXiv 2511.20347",
)
def sapo(tokens: Tokens, *, tau_pos: float = 1.0, tau_neg: float = 1.05) -> Surrogate:
    """Put a sigmoid of the ratio in place of the clip.

    The gradient weight 4 s (1 - s), s = σ(τ (r - 1)), is 1 at r = 1 and fades on both sides, faster for bad tokens.

    Args:
        tokens: the batch.
        tau_pos, tau_neg: temperatures τ for A > 0 and for A <= 0.
    """
    check_number("tau_pos", tau_pos, 0.0, math.inf, low_open=True)
    check_number("tau_neg", tau_neg, 0.0, math.inf, low_open=True)
    d, advantages = tokens.log_ratio, tokens.advantages
    tau = torch.where(advantages > 0, torch.full_like(d, tau_pos), tau_neg)
    x = tau * expm1(d)
    loss = -advantages * 4 / tau * torch.sigmoid(x)
    gradient = -advantages * 4 * torch.sigmoid(x) * torch.sigmoid(-x) * torch.exp(d)
    return Surrogate(loss, unless_held(gradient.detach(), tokens))
