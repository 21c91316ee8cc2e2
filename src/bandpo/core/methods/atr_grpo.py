"""ATR-GRPO: the per-token estimate of the KL divergence bounded, for every token alike."""

from __future__ import annotations

import functools
from typing import Any

from bandpo.core.methods.declaration import options_of
from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.kl3 import kl3_interval, kl3_numbers
from bandpo.core.regions.region import Formula, Region


@method(
    "atr-grpo",
    family="interval",
    formula="r - 1 - log r <= δ",
    citation="ATR-GRPO, arXiv 2602.05494",
    experimental="the authors' radius is not known; 0.05 is ours",
)
@options_of(kl3_interval)
def atr_grpo(*, dual_clip: float | None = None, **options: Any) -> Region:
    """Bound the per-token KL estimate r - 1 - log r, for every token alike."""
    bounds = functools.partial(kl3_interval, **options)
    return Formula(formula=bounds, numbers=functools.partial(kl3_numbers, **options), dual_clip=dual_clip)
