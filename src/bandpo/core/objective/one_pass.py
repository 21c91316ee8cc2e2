"""The short way to the kernel: for a batch that is as the kernel takes it, with the setting looked up.

On a fast device the host's work is the time of a loss. Here nothing is asked of torch but memory and two launches, one
forward and one backward; metrics are one reduction more, and `check` is one transfer, since the kernel itself counts
what a check refuses. Whatever is not plain takes the long way, which names what is wrong.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import broadcasts_to, is_fake
from bandpo.core.methods.method import Method
from bandpo.core.objective.fused import NO_RADII, Radii, packed_region, packed_with_radii
from bandpo.core.objective.metrics import Metrics
from bandpo.core.objective.packed_average import PackedAverage, packed_average
from bandpo.core.objective.packed_terms import NO_TERMS, PackedTerms
from bandpo.core.regions.dispatch import NO_OTHERS, Others, as_metrics, can_meet, clip_loss, serves
from bandpo.core.regions.packed import PackedRegion

FLOATING = frozenset({torch.float32, torch.bfloat16, torch.float16})
_NUMBERS = frozenset({int, float, type(None)})
_remembered_average = functools.lru_cache(typed=True)(packed_average)


class Setting(NamedTuple):
    """What a kernel is told of a method, of the average and of the terms besides; then the radii that are tensors."""

    region: PackedRegion
    average: PackedAverage
    terms: PackedTerms = NO_TERMS
    radii: Radii = NO_RADII


def kernel_setting(
    kernel: str,
    method: Method,
    options: Mapping[str, Any],
    logp: Tensor,
    aggregation: str,
    *,
    max_tokens: int | None,
    denominator: float | Tensor | None,
) -> Setting | None:
    """Return what to tell the kernel, or None where the long way is to be taken: none of it is an error here.

    Raises:
        TypeError, ValueError: an option or a number out of range, an unknown kernel or aggregation.
    """
    if torch.compiler.is_compiling() or kernel == "torch" or method.anchor != "old" or type(aggregation) is not str:
        return None
    if not _NUMBERS.issuperset((type(max_tokens), type(denominator))):
        return None
    if not (isinstance(logp, Tensor) and logp.dtype in FLOATING and serves(kernel, logp)):
        return None
    if method.inputs:
        return None
    resolved = method.resolve(options)
    region, radii = packed_region(method, resolved), NO_RADII
    if region is None:
        region, radii = packed_with_radii(method, resolved)
    if region is None or not (radii is NO_RADII or all(one is None or _is_radius(one, logp) for one in radii)):
        return None
    return Setting(region, _remembered_average(aggregation, max_tokens, denominator), radii=radii)


def in_one_pass(
    tensors: tuple[Tensor, Tensor, Tensor, Tensor], others: Others, setting: Setting, metrics: bool, check: bool
) -> tuple[Tensor, Tensor, Metrics] | None:
    """Return loss, loss of every token and metrics, or None where the long way has something to say.

    Args:
        tensors: logp, logp_old, advantages and mask, as `policy_loss` was given them.
        others: the sampler's and the reference's log-probs, as it was given them.
        setting: from `kernel_setting`, and the terms.
        metrics, check: as `policy_loss`.
    """
    if not _is_plain(*tensors, check) or not _are_log_probs(others, setting.terms, tensors[0]):
        return None
    region, average, terms, radii = setting
    if radii is not NO_RADII:
        others = Others(*others[:2], *radii)
    loss, per_token, parts, summary = clip_loss(*tensors, region, average, terms, others, metrics=metrics)
    has_dual_clip = math.isfinite(region.log_dual_clip)
    counts, sums = as_metrics(parts, has_dual_clip, others) if metrics else ({}, None)
    if check and not is_fake(loss) and _is_wrong(summary, sums):
        return None
    return loss, per_token, counts


def counted_in_one_pass(
    method: Method, options: Mapping[str, Any], tensors: tuple[Tensor, Tensor, Tensor, Tensor]
) -> Metrics | None:
    """Return what an interval does to tokens whose loss another computes, None where no kernel serves.

    Args:
        method, options: the method and its hyperparameters.
        tensors: logp, the log-probs its ratio is divided by, advantages and mask, as `policy_loss`.
    """
    logp, logp_anchor, advantages, mask = tensors
    setting = kernel_setting("auto", method, options, logp, "token-mean", max_tokens=None, denominator=None)
    given = logp.detach(), logp_anchor, advantages, mask
    if setting is None or not _is_plain(*given, check=False):
        return None
    has_dual_clip = math.isfinite(setting.region.log_dual_clip)
    others = NO_OTHERS if setting.radii is NO_RADII else Others(None, None, *setting.radii)
    metrics, _ = as_metrics(clip_loss(*given, *setting[:3], others)[2], has_dual_clip)
    # The kernel counts what its own loss holds at a ratio of e^±20, too: another need not hold it.
    stopped = [metrics[name][0] for name in ("clip_high", "clip_low", "dual_clip") if name in metrics]
    return metrics | {"clip": (sum(stopped[1:], stopped[0]), metrics["clip"][1])}


def _is_plain(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, check: bool) -> bool:
    """Return whether the kernel can take these tensors as they are, and the long way has no warning to give of them."""
    if not (isinstance(logp_old, Tensor) and isinstance(advantages, Tensor) and isinstance(mask, Tensor)):
        return False
    shape, device = logp.shape, logp.device
    return (
        len(shape) == 2
        and logp_old.shape == shape == mask.shape
        and advantages.shape in (shape, shape[:1], (shape[0], 1))
        and logp_old.device == device == advantages.device == mask.device
        and mask.dtype is torch.bool
        and logp_old.dtype in FLOATING
        and advantages.dtype in FLOATING
        and not (check and logp_old.dtype is not torch.float32)
        and not (logp_old.requires_grad or advantages.requires_grad)
    )


def _is_radius(radius: Tensor, logp: Tensor) -> bool:
    """Return whether the kernel can read this as a radius of every token."""
    return radius.is_floating_point() and can_meet(radius, logp) and broadcasts_to(radius.shape, logp.shape)


def _are_log_probs(others: Others, terms: PackedTerms, logp: Tensor) -> bool:
    """Return whether the kernel can take these as they are, and has what the terms need."""
    if others is NO_OTHERS:
        return terms is NO_TERMS
    if others.logp_rollout is None and math.isfinite(terms.log_importance_cap):
        return False
    return all(
        one is None
        or (
            isinstance(one, Tensor)
            and one.shape == logp.shape
            and one.device == logp.device
            and one.dtype in FLOATING
            and not one.requires_grad
        )
        for one in others[:2]
    )


def _is_wrong(summary: Tensor, sums: Tensor | None) -> bool:
    """Return whether the kernel saw a token that `check` refuses, or a number overflowed."""
    return summary[0].item() > 0 or (sums is not None and not all(map(math.isfinite, sums.tolist())))
