"""TRE: an entropy bonus among the likely tokens only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor

from bandpo.core.methods.entropy import trust_region_entropy
from bandpo.core.methods.entropy_bonus import with_entropy
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens

_LOGITS = Input("BTV", "logits of the policy at every sampled token, with gradient")


@method(
    "tre",
    family="bonus",
    formula="ℓ of `base` - coef H_S log V / log |S|, S the top_k likeliest tokens or the nucleus of top_p",
    citation="TRE, arXiv 2602.03635",
)
def with_trust_region_entropy(
    tokens: Tokens,
    *,
    logits: Annotated[Tensor, _LOGITS],
    coef: float = 1e-3,
    top_k: int | None = 2,
    top_p: float | None = None,
    base: str = "grpo",
    base_kwargs: Mapping[str, Any] | None = None,
) -> Surrogate:
    """Add a bonus on the entropy among the likely tokens to another method's loss.

    Args:
        tokens: the batch.
        logits: (B, T, V) of the policy at the sampling temperature, with gradient.
        coef: weight of the bonus.
        top_k, top_p: the likely tokens, K of them or a nucleus of mass P (then top_k=None); the authors run K = 2 and
            P = 0.99.
        base: method whose loss the bonus is added to.
        base_kwargs: hyperparameters of that method.
    """
    entropy = trust_region_entropy(logits, top_k=top_k, top_p=top_p)
    return with_entropy(tokens, entropy=entropy, coef=coef, base=base, base_kwargs=base_kwargs)
