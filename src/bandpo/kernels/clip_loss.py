"""One Triton kernel for the clipped loss: log-probs, advantages and mask in, gradient and sums out, each read once.

For every token it finds the bounds of its trust region, the loss, the gradient ∂ℓ/∂logp and what the metrics count;
the gradient is written, all else is added up per row and block, in a fixed order: 17 bytes a token forward and 8
backward in fp32, 4 more for the loss of every token. The mathematics is that of `clipping`, `closed_bounds` and
`kl_table` again, and the tests hold the two against each other.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.metrics import BUCKETS, Metrics, bucket_names
from bandpo.kernels.bounds import bounds, launch_arguments
from bandpo.kernels.region import KL, ClipRegion

# One fixed shape, not tuned at run time: with another the sums would be added in another order.
BLOCK, WARPS = 1024, 4

_SUMS = ("loss", "tokens", "good", "bad", "clip_high", "clip_low", "dual_clip", "clip", "bound_low", "log_bound_high")
_SUMS += ("finite_high", "ratio", "approx_kl", "sampled_entropy")
_OVERALL = len(_SUMS)
_PER_BUCKET = 4
# Buckets of old probability: p = 1 belongs to the last.
BUCKET_COUNT = tl.constexpr(len(BUCKETS))
STARTS, ENDS = tl.constexpr((0.0, *BUCKETS[:-1])), tl.constexpr((*BUCKETS[:-1], math.inf))
SUMS = _OVERALL + _PER_BUCKET * len(BUCKETS)


@triton.jit
def _clip_loss(
    logp_ptr,
    logp_old_ptr,
    advantages_ptr,
    mask_ptr,
    gradient_ptr,
    per_token_ptr,
    sums_ptr,
    tokens,
    advantage_row,
    advantage_column,
    low_table,
    high_table,
    low_value,
    high_value,
    low_coarse,
    low_fine,
    low_at_most,
    high_at_least,
    log_cap,
    log_dual_clip,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    SIDES: tl.constexpr,
    METRICS: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    column = block * BLOCK + tl.arange(0, BLOCK)
    at = row * tokens + column
    counts = tl.load(mask_ptr + at, mask=column < tokens, other=0) != 0
    logp = tl.load(logp_ptr + at, mask=counts, other=-1.0).to(tl.float32)
    raw_old = tl.load(logp_old_ptr + at, mask=counts, other=-1.0).to(tl.float32)
    old = tl.minimum(raw_old, 0.0)
    where_advantage = advantages_ptr + row * advantage_row + column * advantage_column
    advantage = tl.load(where_advantage, mask=counts, other=0.0).to(tl.float32)

    d = tl.minimum(tl.maximum(logp - raw_old, -20.0), 20.0)
    is_good, is_bad = advantage > 0.0, advantage < 0.0
    low, high = bounds(  # pyright: ignore[reportGeneralTypeIssues]
        old,
        is_good,
        low_table,
        high_table,
        low_value,
        high_value,
        low_coarse,
        low_fine,
        low_at_most,
        high_at_least,
        log_cap,
        LOW,
        HIGH,
        SIDES,
    )
    above, under, past_dual = d > high, d < low, d > log_dual_clip
    pushed = tl.where(is_bad, tl.minimum(tl.maximum(d, low), log_dual_clip), tl.minimum(d, high))
    loss = -advantage * tl.exp(pushed)
    stopped = (is_good & above) | (is_bad & (under | past_dual))
    ratio = tl.exp(d)
    is_free = (tl.abs(d) < 20.0) & ~stopped
    tl.store(gradient_ptr + at, tl.where(is_free, -advantage * ratio, 0.0), mask=column < tokens)
    if PER_TOKEN:
        tl.store(per_token_ptr + at, loss, mask=column < tokens)

    out = sums_ptr + (row * tl.num_programs(1) + block) * COUNT
    tl.store(out, tl.sum(loss, 0))
    tl.store(out + 1, tl.sum(counts.to(tl.float32), 0))
    if METRICS:
        good, bad = counts & is_good, counts & is_bad
        is_finite = high < float("inf")
        tl.store(out + 2, tl.sum(good.to(tl.float32), 0))
        tl.store(out + 3, tl.sum(bad.to(tl.float32), 0))
        tl.store(out + 4, tl.sum((good & above).to(tl.float32), 0))
        tl.store(out + 5, tl.sum((bad & under).to(tl.float32), 0))
        tl.store(out + 6, tl.sum((bad & past_dual).to(tl.float32), 0))
        tl.store(out + 7, tl.sum((counts & stopped).to(tl.float32), 0))
        tl.store(out + 8, tl.sum(tl.where(counts, tl.exp(low), 0.0), 0))
        tl.store(out + 9, tl.sum(tl.where(counts & is_finite, high, 0.0), 0))
        tl.store(out + 10, tl.sum((counts & is_finite).to(tl.float32), 0))
        tl.store(out + 11, tl.sum(tl.where(counts, ratio, 0.0), 0))
        # e^d - 1 - d by its series near 0, where the difference would lose its digits.
        series = d * d * (0.5 + d * (0.16666667 + d * (0.041666668 + d * (0.008333334 + d * 0.0013888889))))
        tl.store(out + 12, tl.sum(tl.where(counts, tl.where(tl.abs(d) < 0.3, series, ratio - 1.0 - d), 0.0), 0))
        tl.store(out + 13, tl.sum(tl.where(counts, -raw_old, 0.0), 0))
        p = tl.exp(raw_old)
        for i in tl.static_range(BUCKET_COUNT):
            inside = (p >= STARTS[i]) & (p < ENDS[i])
            tl.store(out + 14 + 4 * i, tl.sum((good & inside).to(tl.float32), 0))
            tl.store(out + 15 + 4 * i, tl.sum((good & inside & above).to(tl.float32), 0))
            tl.store(out + 16 + 4 * i, tl.sum((bad & inside).to(tl.float32), 0))
            tl.store(out + 17 + 4 * i, tl.sum((bad & inside & under).to(tl.float32), 0))


@torch.library.custom_op("bandpo::clip_loss", mutates_args=())
def _clip_loss_op(
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    low_kind: int,
    low_value: float,
    high_kind: int,
    high_value: float,
    low_at_most: float,
    high_at_least: float,
    log_cap: float,
    log_dual_clip: float,
    metrics: bool,
    per_token: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, tokens = logp.shape
    blocks = max(-(-tokens // BLOCK), 1)
    gradient = torch.empty(rows, tokens, dtype=torch.float32, device=logp.device)
    losses = torch.empty(rows, tokens if per_token else 0, dtype=torch.float32, device=logp.device)
    sums = torch.zeros(rows, blocks, SUMS, dtype=torch.float32, device=logp.device)
    limits = low_at_most, high_at_least, log_cap
    region = ClipRegion(low_kind, low_value, high_kind, high_value, *limits, log_dual_clip)
    is_one_table = low_kind == high_kind == KL and low_value == high_value
    if rows and tokens:
        launch: Any = _clip_loss[(rows, blocks)]
        launch(
            logp.contiguous(),
            logp_old.contiguous(),
            advantages,
            mask.contiguous().view(torch.uint8),
            gradient,
            losses,
            sums,
            tokens,
            advantages.stride(0),
            advantages.stride(1),
            *launch_arguments(region, logp.device),
            log_dual_clip,
            LOW=low_kind,
            HIGH=high_kind,
            SIDES=1 if is_one_table and not metrics else 2,
            METRICS=metrics,
            PER_TOKEN=per_token,
            COUNT=SUMS,
            BLOCK=BLOCK,
            num_warps=WARPS,
        )
    return gradient, losses, sums.sum(1)


@_clip_loss_op.register_fake
def _(logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, *numbers: Any) -> tuple[Tensor, Tensor, Tensor]:
    rows, tokens = logp.shape
    made = (tokens, tokens if numbers[-1] else 0, SUMS)
    gradient, losses, sums = (logp.new_empty(rows, n, dtype=torch.float32) for n in made)
    return gradient, losses, sums


class _ClipLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logp: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
        gradient, losses, sums = _clip_loss_op(logp, *others)
        ctx.save_for_backward(gradient)
        ctx.has_losses, ctx.dtype = others[-1], logp.dtype
        row_losses = sums[:, 0].clone()
        ctx.mark_non_differentiable(sums)
        return row_losses, losses, sums

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        weight = grad_outputs[0].unsqueeze(-1)
        if ctx.has_losses:
            weight = weight + grad_outputs[1]
        return (weight * gradient).to(ctx.dtype), *(None,) * 13


def clip_loss(
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    region: ClipRegion,
    *,
    metrics: bool = True,
    per_token: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The clipped loss of every row and token, and the sums its metrics are made of, in one pass.

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
    """The (sum, count) pairs of `trust_region_metrics` out of the kernel's sums (B, SUMS)."""
    overall = sums.sum(0)
    total = dict(zip(_SUMS, overall, strict=False))
    buckets = overall[_OVERALL:].view(len(BUCKETS), _PER_BUCKET)
    metrics: Metrics = {
        "clip_high": (total["clip_high"], total["good"]),
        "clip_low": (total["clip_low"], total["bad"]),
    }
    if has_dual_clip:
        metrics["dual_clip"] = (total["dual_clip"], total["bad"])
    metrics["clip"] = (total["clip"], total["tokens"])
    for name, (good, high, bad, low) in zip(bucket_names(), buckets, strict=True):
        metrics[f"clip_high/{name}"], metrics[f"clip_low/{name}"] = (high, good), (low, bad)
    metrics["bound_low"] = (total["bound_low"], total["tokens"])
    metrics["log_bound_high"] = (total["log_bound_high"], total["finite_high"])
    for name in ("ratio", "approx_kl", "sampled_entropy"):
        metrics[name] = (total[name], total["tokens"])
    return metrics
