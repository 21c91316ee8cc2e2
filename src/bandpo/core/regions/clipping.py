"""PPO's pessimistic surrogate: how an interval of allowed log-ratios becomes a loss.

For a token with log-ratio d = logp - logp_old, advantage A and allowed interval [low, high],

    ℓ = max(-A e^d, -A e^clip(d, low, high)),

which is -A e^min(d, high) for A > 0 and -A e^max(d, low) for A < 0: no gradient once the token has moved past its
bound in the direction the advantage pushes. The decision is made on d itself, because near p = 1 a ratio no longer
has the digits for it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.regions.interval import Interval
from bandpo.core.tokens import Surrogate, Tokens


def clipped_surrogate(
    log_ratio: Tensor, advantages: Tensor, interval: Interval, dual_clip: float | None = None
) -> Tensor:
    """Return PPO's pessimistic surrogate, elementwise: ℓ = max(-A r, -A clip(r, e^low, e^high)), r = e^log_ratio.

    With a dual clip c > 1, ℓ = min(ℓ, -A c) where A < 0 (arXiv 1912.09729, eq. 4).

    Args:
        log_ratio: logp - logp_old, fp32 or fp64; gradients flow through it.
        advantages: same shape, detached.
        interval: bounds of log_ratio.
        dual_clip: ratio above which bad tokens are left alone.

    Returns:
        Loss per token, to be minimised.

    >>> interval = bandpo.Interval(torch.tensor([-0.2]), torch.tensor([0.2]))
    >>> bandpo.clipped_surrogate(torch.tensor([0.5]), torch.tensor([1.0]), interval)
    tensor([-1.2214])
    """
    pushed_up = torch.where(log_ratio > interval.high, interval.high, log_ratio)
    pushed_down = torch.where(log_ratio < interval.low, interval.low, log_ratio)
    if dual_clip is not None:
        limit = math.log(dual_clip)
        pushed_down = torch.where(pushed_down > limit, limit, pushed_down)
    return -advantages * torch.exp(torch.where(advantages >= 0, pushed_up, pushed_down))


def stopped(interval: Interval, tokens: Tokens) -> Tensor:
    """Return whether a token is past the bound its advantage pushes it to."""
    d = tokens.log_ratio
    return torch.where(tokens.advantages > 0, d > interval.high, (tokens.advantages < 0) & (d < interval.low))


def clip_to(interval: Interval, tokens: Tokens, dual_clip: float | None = None) -> Surrogate:
    """Return the clipped surrogate over given bounds, with its gradient -A r inside them and 0 outside."""
    d, advantages = tokens.log_ratio, tokens.advantages
    is_stopped = stopped(interval, tokens)
    if dual_clip is not None:
        is_stopped = is_stopped | ((advantages < 0) & (d > math.log(dual_clip)))
    gradient = torch.where(is_stopped, 0.0, -advantages * torch.exp(d.detach()))
    return Surrogate(clipped_surrogate(d, advantages, interval, dual_clip), gradient)
