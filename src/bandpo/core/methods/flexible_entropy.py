"""Flexible Entropy Control: a clip that raises entropy first and lowers it later."""

from __future__ import annotations

import functools
from typing import Annotated

from torch import Tensor

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
def flexible_entropy(
    *,
    progress: Annotated[float | Tensor | None, _PROGRESS] = None,
    boost: Annotated[float | Tensor | None, _BOOST] = None,
    strategy: str = "id",
    eps: float = 0.2,
    slope_high: float = -0.25,
    intercept_high: float = 0.5,
    slope_low: float = -0.13,
    intercept_low: float = 0.3,
    dual_clip: float | None = None,
) -> Region:
    """Clip so that entropy rises early in training and falls later.

    Args:
        progress: share of training that is done, 0 to 1; what "id" and "did" go by.
        boost: 1 while entropy is to grow, else 0, from `entropy_boost`; what "od" goes by.
        strategy: id, did or od: when entropy may grow, by progress or by boost.
        eps: half-width of the standard clip.
        slope_high, intercept_high: α < 0 and β >= -α of ℋ, the upper rule.
        slope_low, intercept_low: α < 0 and β >= -α of ℳ, the lower rule.
        dual_clip: largest ratio that still moves a bad token.
    """
    bounds = functools.partial(
        flexible_entropy_interval,
        strategy=strategy,
        progress=progress,
        boost=boost,
        eps=eps,
        slope_high=slope_high,
        intercept_high=intercept_high,
        slope_low=slope_low,
        intercept_low=intercept_low,
    )
    return Formula(formula=bounds, dual_clip=dual_clip)
