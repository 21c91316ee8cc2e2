"""QUATRO, as far as it is published: a KL region per prompt, solved exactly through its dual.

Per prompt, max_π E_π[R] subject to KL(π || π_old) <= δ has the solution π ∝ π_old e^(R/λ), where λ >= 0 minimises the
dual λ δ + λ log E_old e^(R/λ). Over the group of sampled answers that is one convex problem in one number. The update
then moves each answer towards log(π/π_old) = A/λ: the loss below is the fixed-λ gradient. The paper's exact loss could
not be read, so the method is registered as experimental; what is tested is that λ achieves the KL it is asked for.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from bandpo.core.checks import check_floating, check_number
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, hold, true_log_ratio


def _one_of_four(logp_anchor: Tensor, logp: Tensor) -> Tensor:
    """Return rewards of groups of four in which one answer is right."""
    return logp.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(logp), 4)


_GROUP_REWARDS = Input("BG", "rewards of all answers to each row's prompt", example=_one_of_four)
_STEPS, _LOG_RANGE = 64, 27.0


@torch.no_grad()
def kl_multiplier(rewards: Tensor, delta: float) -> Tensor:
    """Return λ of each group: the temperature at which reweighting its answers by e^(R/λ) costs a KL of exactly δ.

    With weights w ∝ e^(R/λ) over the G answers, Σ w log(G w) = δ; QUATRO, arXiv 2602.04620, the per-prompt dual.
    Solved by bisection on log λ in fp64.

    Args:
        rewards: (..., G) rewards of the answers to one prompt; a constant added to all of them changes nothing.
        delta: δ in nats, per prompt.

    Returns:
        (...), fp32 (fp64 for fp64 input): inf where all rewards are equal, 0 where even all weight on the best
        answers costs less than δ.

    Raises:
        ValueError: δ is not positive.
        TypeError: rewards are not floating.

    >>> bandpo.kl_multiplier(torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]), delta=0.05)
    tensor([1.4973,    inf])
    """
    check_floating("rewards", rewards)
    check_number("delta", delta, 0.0, math.inf, low_open=True)
    best = rewards.double() - rewards.double().amax(-1, keepdim=True)
    spread = -best.amin(-1, keepdim=True)
    scaled = best / spread.clamp_min(1e-300)
    low, high = torch.full_like(spread, -_LOG_RANGE), torch.full_like(spread, _LOG_RANGE)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        logits = scaled * torch.exp(middle)
        log_w = torch.log_softmax(logits, -1)
        cost = (log_w.exp() * (log_w + math.log(rewards.shape[-1]))).sum(-1, keepdim=True)
        low, high = torch.where(cost < delta, middle, low), torch.where(cost < delta, high, middle)
    multiplier = spread * torch.exp(-(low + high) / 2)
    ties = (best == 0).sum(-1, keepdim=True)
    is_free = torch.log(rewards.shape[-1] / ties.double()) <= delta
    multiplier = torch.where(is_free, 0.0, multiplier)
    dtype = torch.float64 if rewards.dtype == torch.float64 else torch.float32
    return torch.where(spread > 0, multiplier, math.inf).squeeze(-1).to(dtype)


@method(
    "quatro",
    family="sequence",
    formula="-detached[ρ (A - λ log ρ)] logp, ρ the answer's ratio, λ the multiplier at which the group's KL is δ",
    citation="after QUATRO, arXiv 2602.04620",
    scope="sequence",
    experimental="loss, direction of the KL, sequence-level ratio and radius are inferred from the abstract",
)
def quatro(tokens: Tokens, *, group_rewards: Annotated[Tensor, _GROUP_REWARDS], delta: float = 0.05) -> Surrogate:
    """Hold each prompt in a KL region, whose dual is solved exactly.

    The gradient of the Lagrangian at fixed λ, the prompt's `kl_multiplier`: a good answer is pushed until
    log ρ = A/λ, beyond which it is pulled back. log ρ sums the log-ratios as they are, and is itself held at ±20.
    A must be reward minus group mean, not divided by a standard deviation.

    Args:
        tokens: the batch, one answer a row.
        group_rewards: (B, G) rewards of all answers to each row's prompt.
        delta: δ, the KL allowed per prompt, in nats.
    """
    multiplier = kl_multiplier(group_rewards, delta).to(tokens.logp.dtype).unsqueeze(-1)
    d = torch.where(tokens.mask, true_log_ratio(tokens), 0.0)
    log_rho = hold(d.sum(-1, keepdim=True))
    is_moving = torch.isfinite(multiplier) & tokens.mask
    pull = torch.where(is_moving, multiplier, 0.0) * log_rho
    gradient = torch.where(is_moving, -torch.exp(log_rho) * (tokens.advantages - pull), 0.0)
    return Surrogate(gradient * tokens.logp, gradient)
