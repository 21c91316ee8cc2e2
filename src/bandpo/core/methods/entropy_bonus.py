"""The entropy bonus: ℓ = ℓ_base - coef H, token by token, on another method's loss.

The bonus is averaged like the loss it is added to. Its gradient reaches the policy through the logits, so the
surrogate's gradient with respect to logp is the base's alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import get_method
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, unless_held

_ENTROPY = Input("BT", "exact entropy of the policy at every token, with gradient")


@method(
    "entropy",
    family="bonus",
    formula="ℓ of `base` - coef H",
    citation="Mnih et al., arXiv 1602.01783; adaptive: Skywork-OR1, arXiv 2505.22312",
)
def with_entropy(
    tokens: Tokens,
    *,
    entropy: Annotated[Tensor, _ENTROPY],
    coef: float = 1e-3,
    base: str = "grpo",
    base_kwargs: Mapping[str, Any] | None = None,
) -> Surrogate:
    """Add a bonus on the entropy of the whole vocabulary to another method's loss.

    `adaptive_entropy_coef` gives the next `coef` where the entropy is to be held.

    Args:
        tokens: the batch.
        entropy: (B, T) exact entropy of the policy, with gradient.
        coef: weight of the bonus.
        base, base_kwargs: method whose loss the bonus is added to, and its hyperparameters.
    """
    check_number("coef", coef, 0.0, math.inf)
    inner = get_method(base)
    if inner.inputs or inner.family == "bonus" or inner.anchor != "old":
        raise ValueError(
            f"base={base!r}: expected a method that is anchored on the old policy, without inputs and without a bonus"
        )
    (loss, gradient), interval = inner.apply(tokens, **inner.resolve(base_kwargs or {}))
    if interval is not None:
        gradient = unless_held(gradient, tokens)
    return Surrogate(loss - coef * entropy.to(loss.dtype), gradient)
