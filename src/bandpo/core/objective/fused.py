"""Which methods the fused kernel can serve: every interval whose region has numbers for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.objective.inputs import Batch
from bandpo.core.regions.dispatch import can_meet, serves
from bandpo.core.regions.packed import PackedRegion
from bandpo.core.regions.two_sides import Band

Radii = tuple[Tensor | None, Tensor | None]
NO_RADII: Radii = (None, None)
_PLAIN = frozenset({bool, int, float, str, type(None)})
_STAND_IN = 0.05  # within the limits of every divergence


def packed_region(method: Method, options: Mapping[str, Any]) -> PackedRegion | None:
    """Return the method's region as a kernel's numbers, or None where the kernel has no formula for it.

    Args:
        method: any method.
        options: its resolved hyperparameters.

    Raises:
        ValueError, TypeError: as the method itself would.

    >>> packed_region(bandpo.get_method("band-kl"), bandpo.get_method("band-kl").resolve({"max_ratio": 10.0}))
    PackedRegion(low_kind=1, low_value=0.05, high_kind=1, high_value=0.05, ..., log_cap=2.302585092994046, ...)
    >>> packed_region(bandpo.get_method("band-js"), bandpo.get_method("band-js").resolve({})) is None
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


def packed_with_radii(method: Method, options: Mapping[str, Any]) -> tuple[PackedRegion | None, Radii]:
    """Return the numbers of a band some of whose radii are tensors, and these; None where there are no such numbers.

    Values and shapes of the tensors are not looked at.

    >>> method, delta = bandpo.get_method("band-kl"), torch.tensor([[0.05]])
    >>> region, radii = packed_with_radii(method, method.resolve({"delta": delta, "eps_high": 0.2}))
    >>> region.low_kind, region.high_kind, radii
    (9, 0, (tensor([[0.0500]]), None))
    """
    tensors = tuple([name for name, value in options.items() if isinstance(value, Tensor)])
    given = tuple([(name, value) for name, value in options.items() if name not in tensors])
    types = tuple([type(value) for _, value in given])
    is_interval = isinstance(method, IntervalMethod) and not method.inputs
    found = None
    if tensors and is_interval and _PLAIN.issuperset(types):
        found = _remembered_sides(method.rule, given, types, tensors)
    if found is None:
        return None, NO_RADII
    numbers, (low, high) = found
    return numbers, (_radius(options, low), _radius(options, high))


def _radius(options: Mapping[str, Any], name: str | None) -> Tensor | None:
    return None if name is None else options[name].detach()


@functools.lru_cache
def _remembered_sides(
    rule: Callable[..., Any], given: tuple[tuple[str, Any], ...], types: tuple[type, ...], tensors: tuple[str, ...]
) -> tuple[PackedRegion, tuple[str | None, str | None]] | None:
    """Return the numbers of a band some of whose options are tensors, and which of these each side has; or None."""
    try:
        region = rule(**dict(given), **dict.fromkeys(tensors, torch.tensor(_STAND_IN)))
        region.check(torch.full((1, 1), -1.0), False)
    except (TypeError, ValueError):
        return None  # the long way says it of the user's own values
    numbers = region.packed() if isinstance(region, Band) else None
    return None if numbers is None else (numbers, region.radius_options())


def kernel_region(
    kernel: str, method: Method, options: Mapping[str, Any], batch: Batch, *, bounds: bool, check: bool
) -> tuple[PackedRegion, Radii] | None:
    """Return the numbers to hand to the fused kernel and the radii that are tensors, or None to take the torch path.

    Args:
        kernel: "auto", "torch" or "triton".
        method, options: the method and its resolved hyperparameters, harmless where masked.
        batch: the tensors of the loss.
        bounds: as `policy_loss`.
        check: look for bad tensor radii.

    Raises:
        ValueError: an unknown kernel, or kernel="triton" where it cannot serve; a bad radius.
    """
    found, logp = None, batch.logp
    beside = (batch.logp_anchor, batch.advantages, batch.mask, batch.logp_rollout, batch.logp_ref)
    if serves(kernel, logp) and bounds and all(can_meet(one, logp) for one in beside):
        region = packed_region(method, options)
        found = _with_radii(method, options, logp, check) if region is None else (region, NO_RADII)
    if found is None and kernel == "triton":
        raise ValueError(
            f"kernel='triton' with method={method.name!r} and {logp.dtype}: expected a fixed clip, atr-grpo, dcpo or a "
            "band of kl, tv, chi2 or hellinger, radii on the device of logp, fp32 or less and bounds=True"
        )
    return found


def _with_radii(
    method: Method, options: Mapping[str, Any], logp: Tensor, check: bool
) -> tuple[PackedRegion, Radii] | None:
    """Return the region of options among which are radii that are tensors, None where the kernel cannot have it."""
    tensors = [value for value in options.values() if isinstance(value, Tensor)]
    if not isinstance(method, IntervalMethod) or method.inputs or not tensors:
        return None
    region = method.rule(**options)
    if not isinstance(region, Band) or not all(can_meet(one, logp) for one in tensors):
        return None
    region.check(logp, False)
    numbers = region.packed()
    if numbers is not None and check:
        region.check_sides(logp.shape, True)
    return None if numbers is None else (numbers, region.radii())
