"""Which methods the fused kernel can serve: every interval whose bounds it has a formula for."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import Method
from bandpo.core.methods.registry import get_method
from bandpo.core.regions.band_options import BandOptions
from bandpo.kernels.region import FIXED, ClipRegion, band_region, serves


def clip_region(method: Method, options: Mapping[str, Any]) -> ClipRegion | None:
    """The method's interval in the kernel's terms, or None where the kernel has no formula for it.

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
    if method.region is None or any(isinstance(value, Tensor) for value in options.values()):
        return None
    given = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in options.items())
    if torch.compiler.is_compiling() or not _is_hashable(given):
        return _region_of(method.name, given)
    # A number and a bool that equal each other are not the same option.
    return _remembered(method.name, given, tuple(type(value) for _, value in given))


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _region_of(name: str, given: tuple[tuple[str, Any], ...]) -> ClipRegion | None:
    method, options = get_method(name), dict(given)
    method.validate(options)
    dual = options.pop("dual_clip")
    if not method.per_token:
        eps_low, eps_high = options.get("eps_low", math.inf), options.get("eps_high", math.inf)
        low = -math.inf if eps_low == math.inf else math.log1p(-eps_low)
        region = ClipRegion(FIXED, low, FIXED, math.log1p(eps_high))
    elif method.divergence is not None:
        region = band_region(method.divergence.name, BandOptions(**options))
    else:
        region = None
    return region if region is None or dual is None else region._replace(log_dual_clip=math.log(dual))


@functools.lru_cache
def _remembered(name: str, given: tuple[tuple[str, Any], ...], types: tuple[type, ...]) -> ClipRegion | None:
    """`_region_of`: a training step asks for the same setting again and again, and validation runs the method."""
    return _region_of(name, given)


def fused_region(
    kernel: str, method: Method, options: Mapping[str, Any], logp: Tensor, *, has_more: bool
) -> ClipRegion | None:
    """What to hand to the fused kernel, None where the torch code is to run.

    Args:
        kernel: "auto", "torch" or "triton".
        method, options: the method and its resolved hyperparameters.
        logp: log-probs of the batch.
        has_more: the loss has terms that the kernel does not compute.

    Raises:
        ValueError: an unknown kernel, or kernel="triton" where it cannot serve.
    """
    wanted = serves(kernel, logp)
    region = clip_region(method, options) if wanted and not has_more else None
    if region is None and kernel == "triton":
        raise ValueError(
            f"kernel='triton' with method={method.name!r} and {logp.dtype}: expected a fixed clip or a band of kl, tv, "
            "chi2 or hellinger with number radii, fp32 or less, no importance_cap, no logp_ref and bounds=True"
        )
    return region
