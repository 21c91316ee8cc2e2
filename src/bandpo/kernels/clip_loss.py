"""One kernel for the clipped loss: log-probs, advantages and mask in, loss, gradient and sums out, each read once.

For every token it finds the bounds of its trust region, the loss, with the sampler's weight and the KL to a reference
where they are asked for, the gradient ∂ℓ/∂logp and what the metrics count;
loss and gradient of every token are written, all else is added up per block, and the block that is done last reduces
the blocks, in a fixed order, to the loss: 21 bytes a token forward and 8 backward in fp32, one launch each. The
mathematics is that of `regions.clipping`, `divergences.closed`, `kl_table` and `aggregation` again, and the tests hold
the two against each other. To compilers and fake tensors the kernel is one opaque operator; Triton is imported when it
first runs, never when it is traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bandpo.core.checks import is_fake, is_traced
from bandpo.core.objective.gradients import once_differentiable
from bandpo.core.objective.metrics import Metrics, bucket_names
from bandpo.core.objective.packed_average import AVERAGE_SCHEMA, PackedAverage
from bandpo.core.objective.packed_terms import NO_TERMS, TERMS_SCHEMA, PackedTerms
from bandpo.core.regions.packed import REGION_SCHEMA, PackedRegion
from bandpo.kernels import blocks
from bandpo.kernels.blocks import (
    NO_OTHERS,
    OVERALL,
    PER_BUCKET,
    SUMS,
    WITHOUT_METRICS,
    BucketSums,
    Inputs,
    Numbers,
    Others,
    Outputs,
    Sums,
)

BUCKET_NAMES = tuple(bucket_names())
_TENSORS = ", ".join(f"Tensor{'?' if name in Others._fields else ''} {name}" for name in Inputs._fields)
_NUMBERS = f"{REGION_SCHEMA}, {AVERAGE_SCHEMA}, {TERMS_SCHEMA}, bool metrics"
_SCHEMA = f"({_TENSORS}, {_NUMBERS}) -> ({', '.join(['Tensor'] * len(Outputs._fields))})"
_FIRST = len(Inputs._fields)
_REGION = _FIRST + len(PackedRegion._fields)
_AVERAGE = _REGION + len(PackedAverage._fields)


def _computed(*given: Any) -> Outputs:
    from bandpo.kernels.clip_loss_triton import launch

    outputs = _empty_outputs(*given)
    if given[0].numel():
        numbers = given[_FIRST:_REGION], given[_REGION:_AVERAGE], given[_AVERAGE:-1]
        region, average, terms = PackedRegion(*numbers[0]), PackedAverage(*numbers[1]), PackedTerms(*numbers[2])
        launch(Inputs(*given[:_FIRST]), outputs, Numbers(region, average, terms, given[-1]))
    else:
        for output in outputs:
            output.zero_()
    return outputs


def _empty_outputs(logp: Tensor, *others: Any) -> Outputs:
    rows, tokens = logp.shape
    parts = rows * -(-tokens // blocks.BLOCK), SUMS if others[-1] else WITHOUT_METRICS
    sizes = (rows, tokens), (rows, tokens), parts, (rows,), (), (2,)
    return Outputs(*[torch.empty(size, dtype=torch.float32, device=logp.device) for size in sizes])


@torch.library.custom_op("bandpo::clip_loss", mutates_args=(), schema=_SCHEMA)
def _clip_loss_op(logp: Tensor, *others: Any) -> tuple[Tensor, ...]:
    return tuple(_computed(logp, *others))


@_clip_loss_op.register_fake
def _(logp: Tensor, *others: Any) -> tuple[Tensor, ...]:
    return tuple(_empty_outputs(logp, *others))


# Of every tensor but logp, and of the numbers.
_NO_GRADIENTS = (None,) * (_AVERAGE + len(PackedTerms._fields))


def _is_opaque(tensor: Tensor) -> bool:
    """Return whether the kernel has to be one operator here; called without the dispatcher it takes half the time."""
    return is_traced() or is_fake(tensor)


class _ClipLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logp: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        outputs = Outputs(*_clip_loss_op(logp, *others)) if _is_opaque(logp) else _computed(logp, *others)
        ctx.save_for_backward(logp, outputs.gradient, outputs.weights, outputs.summary)
        ctx.mark_non_differentiable(outputs.parts, outputs.summary)
        ctx.set_materialize_grads(False)
        return outputs.loss, outputs.per_token, outputs.parts, outputs.summary

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        logp, gradient, *scale = ctx.saved_tensors
        return once_differentiable(_scaled(logp, gradient, *scale, *grad_outputs[:2]), logp), *_NO_GRADIENTS


def _scaled(
    logp: Tensor,
    gradient: Tensor,
    weights: Tensor,
    summary: Tensor,
    upstream: Tensor | None,
    upstream_per_token: Tensor | None,
) -> Tensor:
    """Return the gradient in logp, of the gradients in the loss and in the loss of every token."""
    if upstream is not None and upstream_per_token is None and logp.numel() and not _is_opaque(upstream):
        return _scaled_by_kernel(logp, gradient, weights, summary, upstream)
    if upstream is None:
        return torch.zeros_like(logp) if upstream_per_token is None else (upstream_per_token * gradient).to(logp.dtype)
    weight = (weights * summary[1] * upstream).unsqueeze(-1)
    if upstream_per_token is not None:
        weight = weight + upstream_per_token
    return (weight * gradient).to(logp.dtype)


def _scaled_by_kernel(logp: Tensor, gradient: Tensor, weights: Tensor, summary: Tensor, upstream: Tensor) -> Tensor:
    from bandpo.kernels.averaging import launch_scale

    scaled = torch.empty(logp.shape, dtype=logp.dtype, device=logp.device)
    launch_scale(gradient, weights, summary, upstream, scaled)
    return scaled


def clip_loss(
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    region: PackedRegion,
    average: PackedAverage,
    terms: PackedTerms = NO_TERMS,
    others: Others = NO_OTHERS,
    *,
    metrics: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the clipped loss and what its metrics are made of, in one pass.

    Args:
        logp, logp_old: (B, T) fp32, bf16 or fp16; masked positions may hold anything. Gradients flow through logp.
        advantages: (B,), (B, 1) or (B, T); masked positions may hold anything.
        mask: (B, T) bool.
        region: the interval.
        average: how the loss is averaged.
        terms: what is added to the loss and multiplied with it.
        others: what terms and region read besides; the sampler's log-probs without a weight are for metrics alone.
        metrics: add up what the metrics need too.

    Returns:
        The loss, a scalar; ℓ of every token (B, T); `parts` and `summary` of `Outputs`. All fp32.
    """
    return _ClipLoss.apply(logp, logp_old, advantages, mask, *others, *region, *average, *terms, metrics)


def as_metrics(parts: Tensor, has_dual_clip: bool, others: Others = NO_OTHERS) -> tuple[Metrics, Tensor]:
    """Return the (sum, count) pairs of `trust_region_metrics` out of the kernel's `parts`, and all their sums."""
    sums = parts.sum(0)
    numbers = sums.unbind()
    total = Sums(*numbers[:OVERALL])
    metrics: Metrics = {"clip_high": (total.clip_high, total.good), "clip_low": (total.clip_low, total.bad)}
    if has_dual_clip:
        metrics["dual_clip"] = (total.dual_clip, total.bad)
    metrics["clip"] = (total.clip, total.tokens)
    for first, name in zip(range(OVERALL, SUMS, PER_BUCKET), BUCKET_NAMES, strict=True):
        bucket = BucketSums(*numbers[first : first + PER_BUCKET])
        metrics[f"clip_high/{name}"] = bucket.clip_high, bucket.good
        metrics[f"clip_low/{name}"] = bucket.clip_low, bucket.bad
    metrics |= {
        "bound_low": (total.bound_low, total.tokens),
        "log_bound_high": (total.log_bound_high, total.finite_high),
        "ratio": (total.ratio, total.tokens),
        "approx_kl": (total.approx_kl, total.tokens),
        "sampled_entropy": (total.sampled_entropy, total.tokens),
    }
    if others.logp_ref is not None:
        metrics["reference_kl"] = (total.reference_kl, total.tokens)
    if others.logp_rollout is not None:
        metrics["rollout_kl"] = (total.rollout_kl, total.tokens)
    return metrics, sums
