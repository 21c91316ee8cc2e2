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
from bandpo.kernels.bounds import bounds, launch_arguments

# Buckets of old probability: p = 1 belongs to the last.
BUCKET_COUNT = tl.constexpr(len(BUCKETS))
STARTS, ENDS = tl.constexpr((0.0, *BUCKETS[:-1])), tl.constexpr((*BUCKETS[:-1], math.inf))


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
        tl.store(out + 7, tl.sum((counts & (is_good | is_bad) & ~is_free).to(tl.float32), 0))
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
        *launch_arguments(region, logp.device),
        region.log_dual_clip,
        LOW=region.low_kind,
        HIGH=region.high_kind,
        SIDES=1 if is_one_table and not metrics else 2,
        METRICS=metrics,
        PER_TOKEN=per_token,
        COUNT=sums.shape[2],
        BLOCK=block,
        num_warps=warps,
    )
