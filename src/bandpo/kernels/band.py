"""The Band operator as one kernel: old log-probs in, both bounds out, 12 bytes a token.

The kernel is one opaque operator to compilers and fake tensors; Triton is imported when it first runs, never when it
is traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bandpo.core.regions.packed import REGION_SCHEMA, PackedRegion


@torch.library.custom_op(
    "bandpo::band_bounds", mutates_args=(), schema=f"(Tensor logp, {REGION_SCHEMA}) -> (Tensor, Tensor)"
)
def _band_bounds_op(logp: Tensor, *region: Any) -> tuple[Tensor, Tensor]:
    from bandpo.kernels.band_triton import launch

    low, high = _empty_bounds(logp)
    if logp.numel():
        launch(logp, low, high, PackedRegion(*region))
    return low, high


@_band_bounds_op.register_fake
def _empty_bounds(logp: Tensor, *region: float) -> tuple[Tensor, Tensor]:
    low, high = (torch.empty(logp.shape, dtype=torch.float32, device=logp.device) for _ in range(2))
    return low, high


def band_bounds(logp: Tensor, region: PackedRegion) -> tuple[Tensor, Tensor]:
    """Return the lower and upper log-ratio bounds of every token, fp32.

    Args:
        logp: old log-probs, fp32, bf16 or fp16, any shape; positive ones count as 0.
        region: the band.
    """
    return _band_bounds_op(logp, *region)
