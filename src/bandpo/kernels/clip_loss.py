"""One kernel for the clipped loss: log-probs, advantages and mask in, gradient and sums out, each read once.

For every token it finds the bounds of its trust region, the loss, the gradient ∂ℓ/∂logp and what the metrics count;
the gradient is written, all else is added up per row and block, in a fixed order: 17 bytes a token forward and 8
backward in fp32, 4 more for the loss of every token. The mathematics is that of `regions.clipping`,
`divergences.closed` and `kl_table` again, and the tests hold the two against each other. The kernel is one opaque
operator to compilers and fake tensors; Triton is imported when it first runs, never when it is traced.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import torch
from torch import Tensor

from bandpo.core.objective.gradients import once_differentiable
from bandpo.core.objective.metrics import BUCKETS, Metrics, bucket_names
from bandpo.core.regions.packed import REGION_SCHEMA, PackedRegion

# One fixed shape, not tuned at run time: with another the sums would be added in another order.
BLOCK, WARPS = 1024, 4

Sums = namedtuple(
    "Sums",
    "loss tokens good bad clip_high clip_low dual_clip clip bound_low log_bound_high finite_high "
    "ratio approx_kl sampled_entropy",
)
"""A block's sums over its tokens, in the order in which they are stored: the loss and the tokens that count; of these
the good and the bad, and those stopped above, below, by the dual clip and in any way; then what the metrics of the same
names add up, `finite_high` the upper bounds that do. Without metrics only the first two are there."""
BucketSums = namedtuple("BucketSums", "good clip_high bad clip_low")
"""The same of one bucket of old probability, which come after `Sums`, bucket by bucket."""
OVERALL, PER_BUCKET = len(Sums._fields), len(BucketSums._fields)
SUMS = OVERALL + PER_BUCKET * len(BUCKETS)
_TENSORS = "Tensor logp, Tensor logp_old, Tensor advantages, Tensor mask"
_SCHEMA = f"({_TENSORS}, {REGION_SCHEMA}, bool metrics, bool per_token) -> (Tensor, Tensor, Tensor)"


@torch.library.custom_op("bandpo::clip_loss", mutates_args=(), schema=_SCHEMA)
def _clip_loss_op(
    logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor]:
    from bandpo.kernels.clip_loss_triton import launch

    *region, metrics, per_token = others
    rows, tokens = logp.shape
    blocks = max(-(-tokens // BLOCK), 1)
    gradient = torch.empty(rows, tokens, dtype=torch.float32, device=logp.device)
    losses = torch.empty(rows, tokens if per_token else 0, dtype=torch.float32, device=logp.device)
    sums = torch.zeros(rows, blocks, SUMS, dtype=torch.float32, device=logp.device)
    if rows and tokens:
        launch(
            (logp, logp_old, advantages, mask),
            (gradient, losses, sums),
            PackedRegion(*region),
            metrics=metrics,
            per_token=per_token,
            block=BLOCK,
            warps=WARPS,
        )
    return gradient, losses, sums.sum(1)


@_clip_loss_op.register_fake
def _(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, *numbers: Any) -> tuple[Tensor, Tensor, Tensor]:
    rows, tokens = logp.shape
    widths = (tokens, tokens if numbers[-1] else 0, SUMS)
    gradient, losses, sums = (logp.new_empty(rows, n, dtype=torch.float32) for n in widths)
    return gradient, losses, sums


# Of logp_old, advantages, mask, the region's numbers, metrics and per_token.
_NO_GRADIENTS = (None,) * (5 + len(PackedRegion._fields))


class _ClipLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logp: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
        gradient, losses, sums = _clip_loss_op(logp, *others)
        ctx.save_for_backward(logp, gradient)
        ctx.has_losses = others[-1]
        row_losses = sums[:, 0].clone()
        ctx.mark_non_differentiable(sums)
        return row_losses, losses, sums

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        logp, gradient = ctx.saved_tensors
        weight = grad_outputs[0].unsqueeze(-1)
        if ctx.has_losses:
            weight = weight + grad_outputs[1]
        return once_differentiable((weight * gradient).to(logp.dtype), logp), *_NO_GRADIENTS


def clip_loss(
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    region: PackedRegion,
    *,
    metrics: bool = True,
    per_token: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the clipped loss of every row and token, and the sums its metrics are made of, in one pass.

    Args:
        logp, logp_old: (B, T) fp32, bf16 or fp16; masked positions may hold anything. Gradients flow through logp.
        advantages: (B, T), expanded or not; masked positions may hold anything.
        mask: (B, T) bool.
        region: the interval.
        metrics: add up what the metrics need, else loss and tokens alone.
        per_token: write the loss of every token too.

    Returns:
        Σ ℓ of every row (B,); ℓ (B, T), (B, 0) without per_token; sums (B, SUMS), see `as_metrics`. All fp32.
    """
    return _ClipLoss.apply(logp, logp_old, advantages, mask, *region, metrics, per_token)


def as_metrics(sums: Tensor, has_dual_clip: bool) -> Metrics:
    """Return the (sum, count) pairs of `trust_region_metrics` out of the kernel's sums (B, SUMS)."""
    sums = sums.sum(0)
    total = Sums(*sums[:OVERALL])
    metrics: Metrics = {"clip_high": (total.clip_high, total.good), "clip_low": (total.clip_low, total.bad)}
    if has_dual_clip:
        metrics["dual_clip"] = (total.dual_clip, total.bad)
    metrics["clip"] = (total.clip, total.tokens)
    for name, row in zip(bucket_names(), sums[OVERALL:].view(-1, PER_BUCKET), strict=True):
        bucket = BucketSums(*row)
        metrics[f"clip_high/{name}"] = bucket.clip_high, bucket.good
        metrics[f"clip_low/{name}"] = bucket.clip_low, bucket.bad
    return metrics | {
        "bound_low": (total.bound_low, total.tokens),
        "log_bound_high": (total.log_bound_high, total.finite_high),
        "ratio": (total.ratio, total.tokens),
        "approx_kl": (total.approx_kl, total.tokens),
        "sampled_entropy": (total.sampled_entropy, total.tokens),
    }
