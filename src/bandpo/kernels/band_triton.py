"""The Triton code of the Band operator; `band` launches it."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels.bounds import BOTH, FIXED, bounds, one_search, with_radii
from bandpo.kernels.devices import current

BLOCK = 1024


@triton.jit
def _band(
    logp_ptr,
    toward_ptr,
    low_ptr,
    high_ptr,
    tokens,
    width,
    toward_row,
    toward_column,
    region,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TOWARD: tl.constexpr,
    SEARCH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mirror `Region.interval`, one block of tokens: `width` of them a row, for what has a value for each."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tokens
    row, column = at // width, at % width
    raw = tl.load(logp_ptr + at, mask=inside, other=-1.0).to(tl.float32)
    logp = tl.minimum(raw, 0.0)
    upward = inside
    if TOWARD:
        upward = tl.load(toward_ptr + row * toward_row + column * toward_column, mask=inside, other=0) >= 0
    low, high = bounds(  # pyright: ignore[reportGeneralTypeIssues]
        logp, upward, region, row, column, inside, LOW, HIGH, SEARCH
    )
    # A device's minimum and maximum forget NaN.
    if LOW != FIXED:
        low = tl.where(raw == raw, low, raw)
    if HIGH != FIXED:
        high = tl.where(raw == raw, high, raw)
    if TOWARD:
        low, high = tl.where(upward, float("-inf"), low), tl.where(upward, high, region.log_cap)
    tl.store(low_ptr + at, low, mask=inside)
    tl.store(high_ptr + at, high, mask=inside)


def launch(
    logp: Tensor,
    tensors: tuple[Tensor | None, Tensor | None, Tensor | None],
    low: Tensor,
    high: Tensor,
    region: PackedRegion,
) -> None:
    """Write the bounds of every token into `low` and `high`; logp must not be empty."""
    rows = (-1, logp.shape[-1] if logp.dim() else 1)
    low_radius, high_radius, toward = (one if one is None else _as_rows(one, logp, rows) for one in tensors)
    search = BOTH if toward is None else one_search(region, high_radius)
    kernel: Any = _band[(triton.cdiv(logp.numel(), BLOCK),)]
    with current(logp.device):
        kernel(
            logp.contiguous(),
            logp if toward is None else toward,
            low,
            high,
            logp.numel(),
            rows[1],
            *((0, 0) if toward is None else toward.stride()),
            with_radii(region, logp.device, low_radius, high_radius),
            LOW=region.low_kind,
            HIGH=region.high_kind,
            TOWARD=toward is not None,
            SEARCH=search,
            BLOCK=BLOCK,
        )


def _as_rows(tensor: Tensor, logp: Tensor, rows: tuple[int, int]) -> Tensor:
    """Return a tensor that broadcasts to logp, in two dimensions; nothing is copied where logp has no more."""
    return tensor.expand(logp.shape).reshape(rows)
