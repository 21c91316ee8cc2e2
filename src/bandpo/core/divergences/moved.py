"""How far a token and all others have moved, in forms that lose no digits; the g_f that are simpler than their f."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.divergences.special import expm1, log1mexp, phi

# Beyond this the ratio of the other tokens is 0, for every purpose.
LOGP_MAX = -1e-30


def probability_change(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """Return q - p, without cancellation where q is close to p and without overflow where it is not.

    Args:
        logp: log p, fp32 or fp64, <= 0.
        log_ratio: log q - log p.

    >>> probability_change(torch.tensor([-100.0]), torch.tensor([99.0]))
    tensor([0.3679])
    """
    near = torch.exp(logp) * expm1(log_ratio.clamp(-1.0, 1.0))
    return torch.where(log_ratio.abs() < 1, near, torch.exp(logp + log_ratio) - torch.exp(logp))


def log_complement_ratio(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """Return y = log((1 - q)/(1 - p)), the common log-ratio of all other tokens; -inf where q reaches 1.

    Args:
        logp: log p, fp32 or fp64, <= 0.
        log_ratio: log q - log p.

    >>> log_complement_ratio(torch.tensor([0.5]).log(), torch.tensor([1.5]).log())
    tensor([-0.6931])
    """
    logp = logp.clamp_max(LOGP_MAX)
    moved = probability_change(logp, log_ratio) / -expm1(logp)
    near_one = log1mexp((logp + log_ratio).clamp_max(0.0)) - log1mexp(logp)
    return torch.where(moved < 0.5, torch.log1p(-moved.clamp_max(0.5)), near_one)


def tv_moved(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """Return g of total variation, |q - p|.

    >>> tv_moved(torch.tensor([0.5]).log(), torch.tensor([1.2]).log())
    tensor([0.1000])
    """
    return probability_change(logp, log_ratio).abs()


def kl_moved(logp: Tensor, log_ratio: Tensor) -> Tensor:
    """Return g of KL(old || new), KL(Bern p || Bern q).

    >>> kl_moved(torch.tensor([0.5]).log(), torch.tensor([1.3084843]).log())
    tensor([0.0500])
    """
    change, y = probability_change(logp, log_ratio), log_complement_ratio(logp, log_ratio)
    p, is_near = torch.exp(logp), log_ratio.abs() < 1
    return torch.where(is_near, p * phi(log_ratio), change - p * log_ratio) - expm1(logp) * phi(y)
