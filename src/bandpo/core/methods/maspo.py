"""MASPO: a Gaussian gate in place of the clip, its width by probability and advantage."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.divergences.special import expm1
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, unless_held


@method(
    "maspo",
    family="gate",
    formula="-A r e^(-(r - 1)²/(2 σ²)) while A pushes outward, σ = clamp(σ₀ p^-α, σ₀, σ_high) · clamp(by A)",
    citation="MASPO, arXiv 2602.17550",
    scales_with_advantage=False,
)
def maspo(
    tokens: Tokens,
    *,
    sigma: float = 1.0,
    alpha: float = 0.3,
    beta_pos: float = 0.03,
    beta_neg: float = 0.03,
    sigma_high: float = 10.0,
    scale_low: float = 0.1,
    scale_high: float = 10.0,
) -> Surrogate:
    """Gate tokens that diverge by a Gaussian, wide for rare ones and for confident gains.

    The gate, on tokens that move the way A pushes, is detached; there is no clip.

        σ = clamp(σ_0 p^-α, σ_0, σ_high) · clamp(1 + β₊ A, a_low, a_high)              for A > 0
        σ = clamp(σ_0 p^-α, σ_0, σ_high) · clamp(1/(1 + β₋ |A|), a_low, a_high)        for A < 0

    Args:
        tokens: the batch.
        sigma: σ_0, the width for a certain token.
        alpha: how fast the width grows for rare tokens; the authors take 0.3, and 0.5 for 1.5B models.
        beta_pos, beta_neg: how much the size of the advantage widens or narrows it.
        sigma_high: largest width before that.
        scale_low, scale_high: range of the advantage's factor.
    """
    check_number("sigma", sigma, 0.0, math.inf, low_open=True)
    for name, value in (("alpha", alpha), ("beta_pos", beta_pos), ("beta_neg", beta_neg)):
        check_number(name, value, 0.0, math.inf)
    check_number("sigma_high", sigma_high, sigma, math.inf)
    check_number("scale_low", scale_low, 0.0, math.inf, low_open=True)
    check_number("scale_high", scale_high, scale_low, math.inf)
    d, advantages = tokens.log_ratio, tokens.advantages
    width = (sigma * torch.exp((-alpha * tokens.logp_anchor).clamp_max(80.0))).clamp(sigma, sigma_high)
    size = advantages.abs()
    factor = torch.where(advantages > 0, 1 + beta_pos * size, 1 / (1 + beta_neg * size)).clamp(scale_low, scale_high)
    distance = expm1(d.detach()) / (width * factor)
    diverging = ((advantages > 0) & (d > 0)) | ((advantages < 0) & (d < 0))
    gate = torch.where(diverging, torch.exp(-0.5 * distance * distance), 1.0)
    loss = -advantages * gate * torch.exp(d)
    return Surrogate(loss, unless_held(loss.detach(), tokens))
