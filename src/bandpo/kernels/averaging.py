"""The Triton code of a loss's average: `aggregation` again, over what the blocks of `clip_loss_triton` have stored."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.objective import packed_average
from bandpo.kernels import blocks as layout
from bandpo.kernels.devices import current
from bandpo.kernels.special import is_finite

MEAN_OF_TOKENS, MEAN_OF_MEANS = (
    tl.constexpr(packed_average.MEAN_OF_TOKENS),
    tl.constexpr(packed_average.MEAN_OF_MEANS),
)
# How many numbers the last block adds at a time: some rows of some blocks.
REDUCED = 2048


@triton.jit
def _row_sums(parts_ptr, row, rows, blocks, COUNT: tl.constexpr, ROWS: tl.constexpr, BLOCKS: tl.constexpr):
    """Return loss, tokens and wrong tokens of some rows: the sums of their blocks, in a fixed order.

    Other processors stored them, so they are read past the first cache.
    """
    loss = tl.zeros((ROWS, BLOCKS), tl.float32)
    tokens = tl.zeros((ROWS, BLOCKS), tl.float32)
    wrong = tl.zeros((ROWS, BLOCKS), tl.float32)
    first = 0
    while first < blocks:
        block = (first + tl.arange(0, BLOCKS))[None, :]
        inside = (row[:, None] < rows) & (block < blocks)
        place = parts_ptr + (row[:, None] * blocks + block) * COUNT
        loss += tl.load(place, mask=inside, other=0.0, cache_modifier=".cg")
        tokens += tl.load(place + 1, mask=inside, other=0.0, cache_modifier=".cg")
        wrong += tl.load(place + 2, mask=inside, other=0.0, cache_modifier=".cg")
        first += BLOCKS
    return tl.sum(loss, 1), tl.sum(tokens, 1), tl.sum(wrong, 1)


@triton.jit
def reduce_blocks(
    parts_ptr,
    outputs,
    rows,
    blocks,
    average,
    AVERAGE: tl.constexpr,
    COUNT: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Mirror `aggregation.aggregate_rows`: write each row's weight, the loss, and `Summary`."""
    weights_ptr, loss_ptr, summary_ptr = outputs
    loss = tl.zeros((ROWS,), tl.float32)
    count = tl.zeros((ROWS,), tl.float32)
    wrong = tl.zeros((ROWS,), tl.float32)
    first = 0
    while first < rows:
        row = (first + tl.arange(0, ROWS)).to(tl.int64)
        row_loss, length, row_wrong = _row_sums(parts_ptr, row, rows, blocks, COUNT, ROWS, BLOCKS)
        wrong += row_wrong
        if AVERAGE == MEAN_OF_TOKENS:
            count += length
        else:
            count += (length > 0.0).to(tl.float32)
        share = length * 0.0 + 1.0
        if AVERAGE == MEAN_OF_MEANS:
            share = 1.0 / tl.maximum(length, 1.0)
            row_loss = row_loss / tl.maximum(length, 1.0)
        loss += row_loss
        tl.store(weights_ptr + row, share, mask=row < rows)
        first += ROWS
    divisor = tl.where(average.denominator > 0.0, average.denominator, tl.maximum(tl.sum(count, 0), 1.0))
    total = tl.sum(loss, 0) / average.constant / divisor
    tl.store(loss_ptr, total)
    tl.store(summary_ptr, tl.sum(wrong, 0) + (~is_finite(total)).to(tl.float32))
    tl.store(summary_ptr + 1, 1.0 / average.constant / divisor)


@triton.jit
def _scale(gradient_ptr, weights_ptr, summary_ptr, upstream_ptr, out_ptr, tokens, blocks, BLOCK: tl.constexpr):
    """Write the gradient of the loss: each token's own times its row's weight and what comes from above."""
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64)
    column = program % blocks * BLOCK + tl.arange(0, BLOCK)
    at = row * tokens + column
    weight = tl.load(weights_ptr + row) * tl.load(summary_ptr + 1) * tl.load(upstream_ptr)
    gradient = tl.load(gradient_ptr + at, mask=column < tokens)
    tl.store(out_ptr + at, (weight * gradient).to(out_ptr.dtype.element_ty), mask=column < tokens)


def launch_scale(gradient: Tensor, weights: Tensor, summary: Tensor, upstream: Tensor, scaled: Tensor) -> None:
    """Write into `scaled`, (B, T) and not empty, the gradient of the loss times `upstream`, a scalar; see `Outputs`."""
    rows, tokens = scaled.shape
    blocks = -(-tokens // layout.BLOCK)
    kernel: Any = _scale[(rows * blocks,)]
    with current(scaled.device):
        kernel(gradient, weights, summary, upstream, scaled, tokens, blocks, BLOCK=layout.BLOCK)
