"""The Triton code of the Band operator; `band` launches it."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels.bounds import bounds, launch_arguments

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


def launch(logp: Tensor, low: Tensor, high: Tensor, region: PackedRegion) -> None:
    """Write the bounds of every token into `low` and `high`; logp must not be empty."""
    kernel: Any = _band[(triton.cdiv(logp.numel(), BLOCK),)]
    kernel(
        logp.contiguous(),
        low,
        high,
        logp.numel(),
        *launch_arguments(region, logp.device),
        LOW=region.low_kind,
        HIGH=region.high_kind,
        BLOCK=BLOCK,
    )
