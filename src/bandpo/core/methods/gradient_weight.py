"""How much of the plain policy gradient a method lets through: what the atlas draws and methods are compared by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.tokens import Tokens


@torch.no_grad()
def gradient_weight(
    method: str | Method, logp_old: Tensor, log_ratio: Tensor, advantages: float | Tensor = 1.0, **options: Any
) -> Tensor:
    """Return w with -∂ℓ/∂logp = A r w: 1 is the importance-weighted policy gradient, 0 a stopped token.

    Below 0 a token is pulled back.
    Every token is taken as a response of its own; a method whose scope is the batch sees all of them as one batch.

    Args:
        method: a name from `bandpo.methods()`, or a Method.
        logp_old: log p of the tokens under the anchor, fp32 or fp64, any shape.
        log_ratio: log r, broadcasts with logp_old, within ±20.
        advantages: A, not 0, a number or a tensor that broadcasts.
        **options: hyperparameters, and inputs of shape (N, 1, ...) for the N tokens in flattened order.

    Returns:
        w in the broadcast shape.

    Raises:
        TypeError, ValueError: as `policy_loss`.

    >>> p, r = torch.tensor([0.1, 0.9]).log(), torch.tensor(1.3).log()
    >>> bandpo.gradient_weight("band-kl", p, r), bandpo.gradient_weight("grpo", p, r)
    (tensor([1., 0.]), tensor([0., 0.]))
    """
    method = get_method(method)
    inputs, hyperparameters = method.split(options)
    advantage = torch.as_tensor(advantages, dtype=logp_old.dtype, device=logp_old.device)
    shape = torch.broadcast_shapes(logp_old.shape, log_ratio.shape, advantage.shape)
    anchor, d = logp_old, log_ratio.to(logp_old.dtype)
    if not isinstance(method, IntervalMethod):  # an interval broadcasts, and so finds each bound once
        anchor, d, advantage = (x.reshape(-1, 1) for x in torch.broadcast_tensors(anchor, d, advantage))
    tokens = Tokens(d, anchor + d, anchor, advantage, torch.ones_like(d, dtype=torch.bool))
    surrogate, _ = method.apply(tokens, **inputs, **hyperparameters)
    weight = -surrogate.gradient / (advantage * torch.exp(d))
    return (weight + 0.0).reshape(shape)
