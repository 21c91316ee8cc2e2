"""Which methods the fused kernel can serve: every interval whose region has numbers for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.regions.dispatch import serves
from bandpo.core.regions.packed import PackedRegion

_PLAIN = frozenset({bool, int, float, str, type(None)})


def packed_region(method: Method, options: Mapping[str, Any]) -> PackedRegion | None:
    """Return the method's region as a kernel's numbers, or None where the kernel has no formula for it.

    Args:
        method: any method.
        options: its resolved hyperparameters.

    Raises:
        ValueError, TypeError: as the method itself would.

    >>> packed_region(bandpo.get_method("band-kl"), bandpo.get_method("band-kl").resolve({"max_ratio": 10.0}))
    PackedRegion(low_kind=1, low_value=0.05, high_kind=1, high_value=0.05, ..., log_cap=2.302585092994046, ...)
    >>> packed_region(bandpo.get_method("band-mirror"), bandpo.get_method("band-mirror").resolve({})) is None
    True
    """
    if not isinstance(method, IntervalMethod) or method.inputs:
        return None
    types = tuple(map(type, options.values()))
    if _PLAIN.issuperset(types) and not torch.compiler.is_compiling():
        # A number and a bool that equal each other are not the same option.
        return _remembered(method.rule, tuple(options.items()), types)
    if any(isinstance(value, Tensor) for value in options.values()):
        return None
    given = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in options.items())
    if torch.compiler.is_compiling() or not _is_hashable(given):
        return _packed(method.rule, given)
    return _remembered(method.rule, given, types)


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _packed(rule: Callable[..., Any], given: tuple[tuple[str, Any], ...]) -> PackedRegion | None:
    region = rule(**dict(given))
    region.check(torch.full((1, 1), -1.0), False)
    return region.packed()


@functools.lru_cache
def _remembered(
    rule: Callable[..., Any], given: tuple[tuple[str, Any], ...], types: tuple[type, ...]
) -> PackedRegion | None:
    """Return `_packed`: a training step asks for the same setting again and again."""
    return _packed(rule, given)


def kernel_region(
    kernel: str, method: Method, options: Mapping[str, Any], logp: Tensor, *, has_more: bool
) -> PackedRegion | None:
    """Return the numbers to hand to the fused kernel, or None to take the torch path.

    Args:
        kernel: "auto", "torch" or "triton".
        method, options: the method and its resolved hyperparameters.
        logp: log-probs of the batch.
        has_more: the loss has terms that the kernel does not compute.

    Raises:
        ValueError: an unknown kernel, or kernel="triton" where it cannot serve.
    """
    is_wanted = serves(kernel, logp)
    region = packed_region(method, options) if is_wanted and not has_more else None
    if region is None and kernel == "triton":
        raise ValueError(
            f"kernel='triton' with method={method.name!r} and {logp.dtype}: expected a fixed clip or a band of kl, tv, "
            "chi2 or hellinger with number radii, fp32 or less, no importance_cap, no logp_ref and bounds=True"
        )
    return region
