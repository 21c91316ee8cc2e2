"""The Triton code of the Band operator; `band` launches it."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels.bounds import FIXED, bounds, on_device
from bandpo.kernels.devices import current

BLOCK = 1024


@triton.jit
def _band(logp_ptr, low_ptr, high_ptr, tokens, region, LOW: tl.constexpr, HIGH: tl.constexpr, BLOCK: tl.constexpr):
    """Mirror `Band.interval`, one block of tokens."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tokens
    logp = tl.load(logp_ptr + at, mask=inside, other=-1.0).to(tl.float32)
    low, high = bounds(tl.minimum(logp, 0.0), region, LOW, HIGH)  # pyright: ignore[reportGeneralTypeIssues]
    # A device's minimum and maximum forget NaN.
    if LOW != FIXED:
        low = tl.where(logp == logp, low, logp)
    if HIGH != FIXED:
        high = tl.where(logp == logp, high, logp)
    tl.store(low_ptr + at, low, mask=inside)
    tl.store(high_ptr + at, high, mask=inside)


def launch(logp: Tensor, low: Tensor, high: Tensor, region: PackedRegion) -> None:
    """Write the bounds of every token into `low` and `high`; logp must not be empty."""
    kernel: Any = _band[(triton.cdiv(logp.numel(), BLOCK),)]
    with current(logp.device):
        kernel(
            logp.contiguous(),
            low,
            high,
            logp.numel(),
            on_device(region, logp.device),
            LOW=region.low_kind,
            HIGH=region.high_kind,
            BLOCK=BLOCK,
        )
