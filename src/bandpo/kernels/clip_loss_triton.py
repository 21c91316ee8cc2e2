"""The Triton code of the clipped loss; `clip_loss` launches it."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.objective.metrics import BUCKETS
from bandpo.core.regions.packed import KL, PackedRegion
from bandpo.core.tokens import MAX_LOG_RATIO
from bandpo.kernels import clip_loss
from bandpo.kernels.bounds import bounds, kl_bounds_toward, on_device
from bandpo.kernels.clip_loss import BucketSums, Sums

# Buckets of old probability: p = 1 belongs to the last.
BUCKET_COUNT, OVERALL, PER_BUCKET = (tl.constexpr(n) for n in (len(BUCKETS), clip_loss.OVERALL, clip_loss.PER_BUCKET))
GUARD = tl.constexpr(MAX_LOG_RATIO)
STARTS, ENDS = tl.constexpr((0.0, *BUCKETS[:-1])), tl.constexpr((*BUCKETS[:-1], math.inf))


@triton.jit
def _store(place, parts):
    """Store the sum over the tokens of each part, one after the other."""
    for i in tl.static_range(len(parts)):  # pyright: ignore[reportGeneralTypeIssues]
        tl.store(place + i, tl.sum(parts[i].to(tl.float32), 0))


@triton.jit
def _approx_kl(d, ratio):
    """Mirror `special.phi`: e^d - 1 - d, by its series near 0, where the difference would lose its digits."""
    series = d * d * (0.5 + d * (0.16666667 + d * (0.041666668 + d * (0.008333334 + d * 0.0013888889))))
    return tl.where(tl.abs(d) < 0.3, series, ratio - 1.0 - d)


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
    region,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TOWARD: tl.constexpr,
    METRICS: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mirror `clipping.clip_to` and `trust_region_metrics`, for one block of tokens of one row."""
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

    d = tl.minimum(tl.maximum(logp - raw_old, -GUARD), GUARD)
    is_good, is_bad = advantage > 0.0, advantage < 0.0
    if TOWARD:
        low, high = kl_bounds_toward(old, is_good, region)  # pyright: ignore[reportGeneralTypeIssues]
    else:
        low, high = bounds(old, region, LOW, HIGH)  # pyright: ignore[reportGeneralTypeIssues]
    above, under, past_dual = d > high, d < low, d > region.log_dual_clip
    pushed = tl.where(is_bad, tl.minimum(tl.maximum(d, low), region.log_dual_clip), tl.minimum(d, high))
    loss = -advantage * tl.exp(pushed)
    stopped = (is_good & above) | (is_bad & (under | past_dual))
    ratio = tl.exp(d)
    is_free = (tl.abs(d) < GUARD) & ~stopped
    tl.store(gradient_ptr + at, tl.where(is_free, -advantage * ratio, 0.0), mask=column < tokens)
    if PER_TOKEN:
        tl.store(per_token_ptr + at, loss, mask=column < tokens)

    place = sums_ptr + (row * tl.num_programs(1) + block) * COUNT
    if METRICS:
        good, bad = counts & is_good, counts & is_bad
        is_finite = high < float("inf")
        total = Sums(
            loss=loss,
            tokens=counts,
            good=good,
            bad=bad,
            clip_high=good & above,
            clip_low=bad & under,
            dual_clip=bad & past_dual,
            clip=counts & (is_good | is_bad) & ~is_free,
            bound_low=tl.where(counts, tl.exp(low), 0.0),
            log_bound_high=tl.where(counts & is_finite, high, 0.0),
            finite_high=counts & is_finite,
            ratio=tl.where(counts, ratio, 0.0),
            approx_kl=tl.where(counts, _approx_kl(d, ratio), 0.0),
            sampled_entropy=tl.where(counts, -raw_old, 0.0),
        )
        _store(place, total)
        p = tl.exp(raw_old)
        for i in tl.static_range(BUCKET_COUNT):
            inside = (p >= STARTS[i]) & (p < ENDS[i])
            inside_good, inside_bad = good & inside, bad & inside
            bucket = BucketSums(
                good=inside_good, clip_high=inside_good & above, bad=inside_bad, clip_low=inside_bad & under
            )
            _store(place + OVERALL + i * PER_BUCKET, bucket)
    else:
        _store(place, (loss, counts))


def launch(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor],
    region: PackedRegion,
    *,
    metrics: bool,
    per_token: bool,
    block: int,
    warps: int,
) -> None:
    """Fill (gradient, losses, sums) from (logp, logp_old, advantages, mask), none of them empty."""
    logp, logp_old, advantages, mask = inputs
    rows, tokens = logp.shape
    sums = outputs[2]
    is_one_table = region.low_kind == region.high_kind == KL and region.low_value == region.high_value
    kernel: Any = _clip_loss[(rows, sums.shape[1])]
    kernel(
        logp.contiguous(),
        logp_old.contiguous(),
        advantages,
        mask.contiguous().view(torch.uint8),
        *outputs,
        tokens,
        advantages.stride(0),
        advantages.stride(1),
        on_device(region, logp.device),
        LOW=region.low_kind,
        HIGH=region.high_kind,
        TOWARD=is_one_table and not metrics,
        METRICS=metrics,
        PER_TOKEN=per_token,
        COUNT=sums.shape[2],
        BLOCK=block,
        num_warps=warps,
    )
