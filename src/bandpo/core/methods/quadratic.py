"""A quadratic penalty in place of a clip: past the region's edge the gradient turns and brings the token back."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.divergences.special import expm1
from bandpo.core.tokens import Surrogate


def quadratic(d: Tensor, advantages: Tensor, stiffness: float | Tensor) -> Surrogate:
    """Return ℓ = -A r + |A| k (r - 1)²/2, whose gradient is r (-A + |A| k (r - 1)): zero at r = 1 + sign(A)/k."""
    excess, scale = expm1(d), advantages.abs() * stiffness
    loss = -advantages * torch.exp(d) + 0.5 * scale * excess * excess
    gradient = torch.exp(d) * (scale * excess - advantages)
    return Surrogate(loss, gradient.detach())
