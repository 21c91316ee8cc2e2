"""ATR-GRPO: the per-token estimate of the KL divergence bounded, for every token alike."""

from __future__ import annotations

import functools

from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.kl3 import kl3_interval
from bandpo.core.regions.region import Formula, Region


@method(
    "atr-grpo",
    family="interval",
    formula="r - 1 - log r <= δ",
    citation="ATR-GRPO, arXiv 2602.05494",
    experimental="the authors' radius is not known; 0.05 is ours",
)
def atr_grpo(*, delta: float = 0.05, dual_clip: float | None = None) -> Region:
    """Bound the per-token KL estimate r - 1 - log r, for every token alike.

    Args:
        delta: δ in nats.
        dual_clip: largest ratio that still moves a bad token.
    """
    return Formula(formula=functools.partial(kl3_interval, delta=delta), dual_clip=dual_clip)
