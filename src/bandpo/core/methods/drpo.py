"""DRPO: DPPO's region in a quadratic penalty."""

from __future__ import annotations

import math

import torch

from bandpo.core.checks import check_number
from bandpo.core.methods.quadratic import quadratic
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, unless_held


@method(
    "drpo",
    family="gate",
    formula="-A r + |A| μ (r - 1)²/(2 δ)",
    citation="DRPO, arXiv 2606.09821, eq. 8 and 9",
    anchor="rollout",
)
def drpo(tokens: Tokens, *, delta: float = 12.5) -> Surrogate:
    """Turn the gradient of a token whose probability has moved by δ, by a quadratic penalty.

    DPPO's Binary-TV region put into SPO's penalty, μ = e^logp_rollout: the weight 1 - sign(A (r - 1)) |q - μ|/δ crosses
    0 at |q - μ| = δ. The authors' δ = 12.5 leaves it within 8 % of 1, for |q - μ| <= 1; a region like DPPO's needs δ of
    0.1 to 0.2.

    Args:
        tokens: the batch, its anchor the rollout policy.
        delta: δ, the change of probability at which the gradient vanishes.
    """
    stiffness = torch.exp(tokens.logp_anchor) / check_number("delta", delta, 0.0, math.inf, low_open=True)
    loss, gradient = quadratic(tokens.log_ratio, tokens.advantages, stiffness)
    return Surrogate(loss, unless_held(gradient, tokens))
