"""Soft gates: the gradient of a token that has moved fades or is capped, instead of stopping at a bound."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.divergences.special import expm1
from bandpo.core.tokens import Surrogate, Tokens, unless_held


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
    """MASPO: ℓ = -A w r, with a Gaussian gate w = e^(-(r - 1)²/(2 σ²)) on tokens that move the way A pushes.

        σ = clamp(σ_0 p^-α, σ_0, σ_high) · clamp(1 + β₊ A, a_low, a_high)              for A > 0
        σ = clamp(σ_0 p^-α, σ_0, σ_high) · clamp(1/(1 + β₋ |A|), a_low, a_high)        for A < 0

    arXiv 2602.17550: wide for rare tokens and for confident gains. The gate is detached; there is no clip.

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


def sapo(tokens: Tokens, *, tau_pos: float = 1.0, tau_neg: float = 1.05) -> Surrogate:
    """SAPO: ℓ = -A (4/τ) σ(τ (r - 1)), gradient weight 4 s (1 - s) with s = σ(τ (r - 1)).

    arXiv 2511.20347: a sigmoid in place of the clip; the weight is 1 at r = 1 and fades on both sides, faster for bad
    tokens.

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


def ce_gppo(
    tokens: Tokens,
    *,
    beta_low: float = 0.75,
    beta_high: float = 1.0,
    eps_low: float = 0.2,
    eps_high: float = 0.2,
    dual_clip: float | None = 10.0,
) -> Surrogate:
    """CE-GPPO: PPO's clip, and outside it a bounded gradient, β₁ (1 - ε_low) A below and β₂ (1 + ε_high) A above.

    Outside, ℓ is PPO's clipped value times β, with the gradient of a token whose ratio is the bound: r is divided by
    its own detached value (arXiv 2509.20712), however far the token has moved. Dual clip as in PPO.

    Args:
        tokens: the batch.
        beta_low: β₁, for bad tokens below the clip; the authors take 0.75 for 7B models and 0.5 for 1.5B.
        beta_high: β₂, for good tokens above it.
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


def cispo(tokens: Tokens, *, eps_low: float = math.inf, max_ratio: float = 5.0) -> Surrogate:
    """CISPO: ℓ = -A clip(r, 1 - ε_low, max_ratio) logp, the clipped ratio detached: every token keeps a gradient.

    MiniMax-M1, arXiv 2506.13585, which bounds the upper side only; the cap 5 is ScaleRL's, MiniMax gives
    none.

    Args:
        tokens: the batch.
        eps_low: lower clip, inf for none.
        max_ratio: largest importance weight.
    """
    if eps_low != math.inf:
        check_number("eps_low", eps_low, 0.0, 1.0)
    check_number("max_ratio", max_ratio, 0.0, math.inf, low_open=True)
    low = -math.inf if eps_low == math.inf else math.log1p(-eps_low)
    gradient = -tokens.advantages * torch.exp(tokens.log_ratio.detach().clamp(low, math.log(max_ratio)))
    return Surrogate(gradient * tokens.logp, gradient)
