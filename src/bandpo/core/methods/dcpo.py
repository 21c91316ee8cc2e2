"""DCPO: a clip that widens for rare tokens."""

from __future__ import annotations

import functools
from typing import Any

from bandpo.core.methods.declaration import options_of
from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.dynamic_clip import dynamic_clip_interval, dynamic_clip_numbers
from bandpo.core.regions.region import Formula, Region


@method(
    "dcpo",
    family="interval",
    formula="½ + ½ √max(1 - 4 ε_low/p, 0) <= r <= ½ + ½ √(1 + 4 ε_high/p)",
    citation="DCPO, arXiv 2509.02333",
)
@options_of(dynamic_clip_interval)
def dcpo(*, dual_clip: float | None = 10.0, **options: Any) -> Region:
    """Bound |(r - 1) r p|, a dynamic clip that is wider for rare tokens."""
    bounds = functools.partial(dynamic_clip_interval, **options)
    return Formula(formula=bounds, numbers=functools.partial(dynamic_clip_numbers, **options), dual_clip=dual_clip)
