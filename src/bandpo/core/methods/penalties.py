"""Quadratic penalties in place of a clip: past the trust region's edge the gradient turns and brings the token back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.special import expm1
from bandpo.core.tokens import Surrogate, Tokens, free_log_ratio, unless_held


def _quadratic(d: Tensor, advantages: Tensor, stiffness: float | Tensor) -> Surrogate:
    """ℓ = -A r + |A| k (r - 1)²/2, whose gradient is r (-A + |A| k (r - 1)): zero at r = 1 + sign(A)/k."""
    excess, scale = expm1(d), advantages.abs() * stiffness
    loss = -advantages * torch.exp(d) + 0.5 * scale * excess * excess
    gradient = torch.exp(d) * (scale * excess - advantages)
    return Surrogate(loss, gradient.detach())


def cfpo(tokens: Tokens, *, eps: float = 0.2) -> Surrogate:
    """CFPO and SPO: ℓ = -A r + |A| (r - 1)²/(2 ε), least at r = 1 + ε sign(A).

    SPO, arXiv 2401.16025; CFPO, arXiv 2601.22801, eq. 7, reaches the same formula from a bound on total
    variation. The anchor is the old policy. A token beyond e^±20 is pulled back as one that is there.

    Args:
        tokens: the batch.
        eps: ε, PPO's own clip range.
    """
    stiffness = 1 / check_number("eps", eps, 0.0, math.inf, low_open=True)
    return _quadratic(free_log_ratio(tokens), tokens.advantages, stiffness)


def drpo(tokens: Tokens, *, delta: float = 12.5) -> Surrogate:
    """DRPO: ℓ = -A r + |A| μ (r - 1)²/(2 δ), gradient weight 1 - sign(A (r - 1)) |q - μ|/δ.

    DPPO's Binary-TV region put into SPO's penalty, arXiv 2606.09821, eq. 8 and 9: the weight crosses 0 at
    |q - μ| = δ. The anchor is the rollout policy, μ = e^logp_rollout. The authors' δ = 12.5 leaves the weight within
    8 % of 1, for |q - μ| <= 1; a region like DPPO's needs δ of 0.1 to 0.2.

    Args:
        tokens: the batch, its anchor the rollout policy.
        delta: δ, the change of probability at which the gradient vanishes.
    """
    stiffness = torch.exp(tokens.logp_anchor) / check_number("delta", delta, 0.0, math.inf, low_open=True)
    loss, gradient = _quadratic(tokens.log_ratio, tokens.advantages, stiffness)
    return Surrogate(loss, unless_held(gradient, tokens))
