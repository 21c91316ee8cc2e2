"""Which intervals the fused kernel can compute, and the numbers it needs for them."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from bandpo.core.method import Method
from bandpo.core.methods import get_method

FIXED, KL, TV, CHI2, HELLINGER = 0, 1, 2, 3, 4
KINDS = {"kl": KL, "tv": TV, "chi2": CHI2, "hellinger": HELLINGER}


class ClipRegion(NamedTuple):
    """An interval as numbers: a kind and a value for each side, then limits, in this order.

    Attributes:
        low_kind, low_value: FIXED and a log-ratio, or a divergence's kind and its radius δ.
        high_kind, high_value: the same above.
        low_at_most, high_at_least: the authors' relaxation, as log-ratios; 0 for none.
        log_cap: cap of the upper log-ratio, inf for none.
        log_dual_clip: log-ratio above which bad tokens are left alone, inf for none.
    """

    low_kind: int
    low_value: float
    high_kind: int
    high_value: float
    low_at_most: float = 0.0
    high_at_least: float = 0.0
    log_cap: float = math.inf
    log_dual_clip: float = math.inf


@functools.lru_cache
def has_triton() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def clip_region(method: Method, options: Mapping[str, Any]) -> ClipRegion | None:
    """The method's interval in the kernel's terms, or None where the kernel has no formula for it.

    It has formulas for fixed clips and for the bands of KL, TV, χ² and Hellinger, with radii that are numbers; not for
    mirrored sides.

    Args:
        method: any method.
        options: its resolved hyperparameters.

    Raises:
        ValueError, TypeError: as the method itself would.

    >>> clip_region(bandpo.get_method("band-kl"), bandpo.get_method("band-kl").resolve({"max_ratio": 10.0}))
    ClipRegion(low_kind=1, low_value=0.05, high_kind=1, high_value=0.05, ..., log_cap=2.302585092994046, ...)
    >>> clip_region(bandpo.get_method("band-mirror"), bandpo.get_method("band-mirror").resolve({})) is None
    True
    """
    if any(isinstance(value, Tensor) for value in options.values()):
        return None
    return _numbers(method.name, tuple((n, tuple(v) if isinstance(v, list) else v) for n, v in options.items()))


@functools.lru_cache
def _numbers(name: str, given: tuple[tuple[str, Any], ...]) -> ClipRegion | None:
    """The same, worked out and validated once for each setting: a training step asks for it again and again."""
    method, options = get_method(name), dict(given)
    if method.region is None:
        return None
    method.validate(options)
    dual = options["dual_clip"]
    log_dual_clip = math.inf if dual is None else math.log(dual)
    if not method.per_token:
        eps_low, eps_high = options.get("eps_low", math.inf), options.get("eps_high", math.inf)
        log_low = -math.inf if eps_low == math.inf else math.log1p(-eps_low)
        return ClipRegion(FIXED, log_low, FIXED, math.log1p(eps_high), log_dual_clip=log_dual_clip)
    if method.divergence is None:
        return None
    low, high = (_side(side, method.divergence.name, options) for side in ("low", "high"))
    if low is None or high is None:
        return None
    relax = options["relax"] or (0.0, 0.0)
    return ClipRegion(
        low[0],
        low[1],
        high[0],
        high[1],
        low_at_most=math.log1p(-relax[0]),
        high_at_least=math.log1p(relax[1]),
        log_cap=math.inf if options["max_ratio"] is None else math.log(options["max_ratio"]),
        log_dual_clip=log_dual_clip,
    )


def _side(side: str, divergence: str, options: Mapping[str, Any]) -> tuple[int, float] | None:
    eps, rule = options[f"eps_{side}"], options["lower" if side == "low" else "upper"]
    if eps is not None:
        return FIXED, math.log1p(-eps if side == "low" else eps)
    if rule == "none":
        return FIXED, -math.inf if side == "low" else math.inf
    if rule != "band" or divergence not in KINDS:
        return None
    radius = options[f"delta_{side}"]
    return KINDS[divergence], float(options["delta"] if radius is None else radius)
