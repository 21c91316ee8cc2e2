"""Methods that add an entropy bonus to another method's loss: ℓ = ℓ_base - coef H, token by token.

The bonus is averaged like the loss it is added to. Its gradient reaches the policy through the logits, so the
surrogate's gradient with respect to logp is the base's alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.methods.entropy import trust_region_entropy
from bandpo.core.methods.method import Method
from bandpo.core.tokens import Surrogate, Tokens, unless_held


def with_trust_region_entropy(
    tokens: Tokens,
    *,
    find: Callable[[str], Method],
    logits: Tensor,
    coef: float = 1e-3,
    top_k: int | None = 2,
    top_p: float | None = None,
    base: str = "grpo",
    base_kwargs: Mapping[str, Any] | None = None,
) -> Surrogate:
    """TRE, arXiv 2602.03635: the bonus is `trust_region_entropy` of the policy's own likely tokens.

    Args:
        tokens: the batch.
        find: the registry's `get_method`.
        logits: (B, T, V) of the policy at the sampling temperature, with gradient.
        coef: weight of the bonus.
        top_k, top_p: the likely tokens, K of them or a nucleus of mass P (then top_k=None); the authors run K = 2 and
            P = 0.99.
        base: method whose loss the bonus is added to.
        base_kwargs: hyperparameters of that method.
    """
    entropy = trust_region_entropy(logits, top_k=top_k, top_p=top_p)
    return with_entropy(tokens, find=find, entropy=entropy, coef=coef, base=base, base_kwargs=base_kwargs)


def with_entropy(
    tokens: Tokens,
    *,
    find: Callable[[str], Method],
    entropy: Tensor,
    coef: float = 1e-3,
    base: str = "grpo",
    base_kwargs: Mapping[str, Any] | None = None,
) -> Surrogate:
    """The plain entropy bonus; `adaptive_entropy_coef` gives the next `coef` where the entropy is to be held.

    Args:
        tokens: the batch.
        find: the registry's `get_method`.
        entropy: (B, T) exact entropy of the policy, with gradient.
        coef: weight of the bonus.
        base, base_kwargs: method whose loss the bonus is added to, and its hyperparameters.
    """
    check_number("coef", coef, 0.0, math.inf)
    chosen = find(base)
    if chosen.inputs or chosen.family == "bonus" or chosen.anchor != "old":
        raise ValueError(
            f"base={base!r}: expected a method that is anchored on the old policy, without inputs and without a bonus"
        )
    (loss, gradient), interval = chosen.apply(tokens, **chosen.resolve(base_kwargs or {}))
    if interval is not None:
        gradient = unless_held(gradient, tokens)
    return Surrogate(loss - coef * entropy.to(loss.dtype), gradient)
