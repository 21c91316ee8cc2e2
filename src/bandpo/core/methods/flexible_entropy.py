"""Flexible Entropy Control: a clip that raises entropy first and lowers it later."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from torch import Tensor

from bandpo.core.methods.declaration import options_of
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.flexible_entropy import flexible_entropy_interval
from bandpo.core.regions.region import Formula, Region

_PROGRESS = Input("", "share of training that is done, for strategies id and did", optional=True)
_BOOST = Input("", "1 while entropy is to grow, from bandpo.entropy_boost, for od", optional=True)


@method(
    "flex-entropy",
    family="interval",
    formula="r <= (1 + intercept_high)/(1 - slope_high p), later r >= (1 - intercept_low)/(1 + slope_low p); else eps",
    citation="Flexible Entropy Control, arXiv 2602.09782",
    experimental="slopes, intercepts and the lower rule are second-hand; bounds, not ε, are blended",
)
@options_of(flexible_entropy_interval)
def flexible_entropy(
    *,
    progress: Annotated[float | Tensor | None, _PROGRESS] = None,
    boost: Annotated[float | Tensor | None, _BOOST] = None,
    dual_clip: float | None = None,
    **options: Any,
) -> Region:
    """Clip so that entropy rises early in training and falls later."""
    bounds = functools.partial(flexible_entropy_interval, progress=progress, boost=boost, **options)
    return Formula(formula=bounds, dual_clip=dual_clip)
