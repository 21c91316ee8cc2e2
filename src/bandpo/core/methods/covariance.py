"""Clip-Cov and KL-Cov: restrain the few tokens whose log-prob and advantage vary together, which drive entropy down.

The change of entropy in a policy-gradient step is minus the covariance of log-prob and advantage; both methods look at
each token's share of it, cov = (A - mean A)(logp - mean logp), the means over all unmasked tokens of the batch. One
drops a random few of the high ones, the other holds the highest in place by a penalty. The Entropy Mechanism of RL for
Reasoning Language Models, arXiv 2505.22617.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.clipping import clip_to, stopped
from bandpo.core.regions.fixed import fixed_interval
from bandpo.core.tokens import Surrogate, Tokens, free_log_ratio, true_log_ratio, unless_held

_NOISE = Input("BT", "uniform random numbers that choose the tokens, drawn if not given", optional=True, example=0.5)


@torch.no_grad()
def token_covariance(logp: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Return (A - mean A)(logp - mean logp) of every token, means over the mask; 0 where masked.

    Args:
        logp: (B, T) log-probs under the policy being trained.
        advantages: (B, T).
        mask: (B, T) bool.

    >>> logp, mask = torch.tensor([[-1.0, -3.0]]), torch.ones(1, 2, dtype=torch.bool)
    >>> bandpo.token_covariance(logp, torch.tensor([[1.0, -1.0]]), mask)
    tensor([[1., 1.]])
    """
    count = mask.sum().clamp_min(1)
    centred = [torch.where(mask, x - torch.where(mask, x, 0).sum() / count, 0.0) for x in (advantages, logp)]
    return centred[0] * centred[1]


def _first(keys: Tensor, eligible: Tensor, quota: Tensor) -> Tensor:
    """Return whether a token is among the `quota` eligible ones of largest key; by ranks, without a host sync."""
    keys = torch.where(eligible, keys, -math.inf).flatten()
    ranks = torch.argsort(torch.argsort(keys, descending=True, stable=True), stable=True)
    return ranks.view_as(eligible) < quota


def _quota(mask: Tensor, fraction: float) -> Tensor:
    check_number("fraction", fraction, 0.0, 1.0, low_open=True, high_closed=True)
    return torch.floor(fraction * mask.sum(dtype=torch.float64)).clamp_min(1)


@method(
    "clip-cov",
    family="mask",
    formula="0 for ⌊fraction · tokens⌋ of those with cov_low < (A - mean A)(logp - mean logp) < cov_high, else PPO's",
    citation="The Entropy Mechanism, arXiv 2505.22617, Clip-Cov",
    scope="batch",
    scales_with_advantage=False,
)
def clip_cov(
    tokens: Tokens,
    *,
    noise: Annotated[Tensor | None, _NOISE] = None,
    fraction: float = 2e-4,
    cov_low: float = 1.0,
    cov_high: float = 5.0,
    eps_low: float = math.inf,
    eps_high: float = 1.0,
    dual_clip: float | None = None,
) -> Surrogate:
    """Drop a random few tokens of high covariance of log-prob and advantage, clip the rest as PPO does.

    At least one is dropped, and of those the clip has not stopped. The authors' ratio clip of 0 .. 2 hardly ever acts.

    Args:
        tokens: the batch; means and the choice are taken over all of it.
        noise: (B, T) uniform random numbers that make the choice; drawn here if not given.
        fraction: share of the tokens to drop.
        cov_low, cov_high: the range of covariances to drop from.
        eps_low, eps_high, dual_clip: the ratio clip.
    """
    check_number("cov_high", cov_high, cov_low, math.inf)
    interval = fixed_interval(tokens.logp_anchor, eps_low, eps_high)
    loss, gradient = clip_to(interval, tokens, dual_clip)
    surrogate = loss, unless_held(gradient, tokens)
    covariance = token_covariance(tokens.logp, tokens.advantages, tokens.mask)
    eligible = tokens.mask & ~stopped(interval, tokens) & (covariance > cov_low) & (covariance < cov_high)
    noise = torch.rand_like(covariance) if noise is None else noise
    dropped = eligible & _first(noise, eligible, _quota(tokens.mask, fraction))
    return Surrogate(*(torch.where(dropped, 0.0, part) for part in surrogate))


@method(
    "kl-cov",
    family="mask",
    formula="-A r, + coef |log r| on the top fraction by (A - mean A)(logp - mean logp)",
    citation="The Entropy Mechanism, arXiv 2505.22617, KL-Cov",
    scope="batch",
    scales_with_advantage=False,
)
def kl_cov(tokens: Tokens, *, fraction: float = 2e-3, coef: float = 1.0) -> Surrogate:
    """Penalise the tokens of highest covariance of log-prob and advantage for moving.

    At least one is. There is no ratio clip: a token beyond e^±20 has the gradient of one that is there. The authors
    take 0.2 % of the tokens for a 7B model and 0.02 % for 32B.

    Args:
        tokens: the batch; means and ranks are taken over all of it.
        fraction: share of the tokens to penalise.
        coef: weight of the penalty.
    """
    check_number("coef", coef, 0.0, math.inf)
    d, moved = free_log_ratio(tokens), tokens.logp - tokens.logp_anchor
    covariance = token_covariance(tokens.logp, tokens.advantages, tokens.mask)
    chosen = tokens.mask & _first(covariance, tokens.mask, _quota(tokens.mask, fraction))
    loss = -tokens.advantages * torch.exp(d) + torch.where(chosen, coef * moved.abs(), 0.0)
    step = torch.where(chosen, coef * torch.sign(true_log_ratio(tokens)), 0.0)
    return Surrogate(loss, -tokens.advantages * torch.exp(d.detach()) + step)
