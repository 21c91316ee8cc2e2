"""The Band operator as one Triton kernel: old log-probs in, both bounds out, 12 bytes a token."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.kernels.bounds import bounds, launch_arguments
from bandpo.kernels.region import ClipRegion

BLOCK = 1024


@triton.jit
def _band(
    logp_ptr,
    low_ptr,
    high_ptr,
    tokens,
    low_table,
    high_table,
    low_value,
    high_value,
    low_coarse,
    low_fine,
    low_at_most,
    high_at_least,
    log_cap,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tokens
    logp = tl.minimum(tl.load(logp_ptr + at, mask=inside, other=-1.0).to(tl.float32), 0.0)
    low, high = bounds(  # pyright: ignore[reportGeneralTypeIssues]
        logp,
        logp < 0.0,
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
        2,
    )
    tl.store(low_ptr + at, low, mask=inside)
    tl.store(high_ptr + at, high, mask=inside)


def band_bounds(logp: Tensor, region: ClipRegion) -> tuple[Tensor, Tensor]:
    """Lower and upper log-ratio bounds of every token, fp32.

    Args:
        logp: old log-probs, fp32, bf16 or fp16, any shape; positive ones count as 0.
        region: the band.
    """
    low, high = (torch.empty(logp.shape, dtype=torch.float32, device=logp.device) for _ in range(2))
    if logp.numel():
        launch: Any = _band[(triton.cdiv(logp.numel(), BLOCK),)]
        launch(
            logp.contiguous(),
            low,
            high,
            logp.numel(),
            *launch_arguments(region, logp.device),
            LOW=region.low_kind,
            HIGH=region.high_kind,
            BLOCK=BLOCK,
        )
    return low, high
