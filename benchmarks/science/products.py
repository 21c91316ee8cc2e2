"""The one product of the bench: rows of many runs, each run's by its own matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def is_batched(tensor: Tensor) -> bool:
    """Tell whether runs are multiplied in one batched product, which takes as many rows of each: on a GPU."""
    return tensor.is_cuda


def linear(rows: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
    """Return x W + b, where the rows of run r, counts[r] of them, meet weight[r] and bias[r].

    Args:
        rows: (Σ counts, inputs), the first run's first.
        weight, bias: (runs, inputs, outputs) and (runs, outputs).
        counts: rows of every run; where products are batched the same for all.

    >>> linear(torch.ones(3, 1), torch.tensor([[[1.0]], [[2.0]]]), torch.zeros(2, 1), [1, 2]).flatten()
    tensor([1., 2., 2.])
    """
    if is_batched(rows):
        batched = rows.view(len(counts), counts[0], rows.shape[-1])
        return torch.baddbmm(bias.unsqueeze(1), batched, weight).flatten(0, 1)
    return _RunByRun.apply(rows, weight, bias, counts)  # pyright: ignore[reportReturnType]


class _RunByRun(torch.autograd.Function):
    """A product a run: no run is padded to the longest, and none sees which others it is stacked with."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.counts = counts
        out = rows.new_empty(len(rows), weight.shape[-1])
        for x, w, b, y in zip(rows.split(counts), weight, bias, out.split(counts), strict=True):
            torch.addmm(b, x, w, out=y)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        rows, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_rows, of_weight = torch.empty_like(rows), rows.new_empty(weight.shape)
        of_bias = rows.new_empty(len(weight), weight.shape[-1])
        ones = rows.new_ones(1, max(ctx.counts))
        parts = (part.split(ctx.counts) for part in (rows, gradient, of_rows))
        for run, (x, g, gx) in enumerate(zip(*parts, strict=True)):
            torch.mm(g, weight[run].T, out=gx)
            torch.mm(x.T, g, out=of_weight[run])
            torch.mm(ones[:, : len(g)], g, out=of_bias[run : run + 1])
        return of_rows, of_weight, of_bias, None
