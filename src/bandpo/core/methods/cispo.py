"""CISPO: a policy gradient with a capped importance weight."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens


@method(
    "cispo",
    family="gate",
    formula="-A detached[clip(r, 1 - ε_low, max_ratio)] logp",
    citation="CISPO: MiniMax-M1, arXiv 2506.13585; the cap of ScaleRL",
)
def cispo(tokens: Tokens, *, eps_low: float = math.inf, max_ratio: float = 5.0) -> Surrogate:
    """Cap the importance weight of the policy gradient and drop no token.

    Every token keeps a gradient. MiniMax-M1 bounds the upper side only, and does not say by how much.

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
