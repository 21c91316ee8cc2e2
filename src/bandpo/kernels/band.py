"""The Band operator as one kernel: old log-probs in, both bounds out, 12 bytes a token.

The kernel is one opaque operator to compilers and fake tensors; Triton is imported when it first runs, never when it
is traced.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.regions.packed import PackedRegion


@torch.library.custom_op("bandpo::band_bounds", mutates_args=())
def _band_bounds_op(
    logp: Tensor,
    low_kind: int,
    low_value: float,
    high_kind: int,
    high_value: float,
    low_at_most: float,
    high_at_least: float,
    log_cap: float,
) -> tuple[Tensor, Tensor]:
    from bandpo.kernels.band_triton import launch

    low, high = (torch.empty(logp.shape, dtype=torch.float32, device=logp.device) for _ in range(2))
    if logp.numel():
        region = PackedRegion(low_kind, low_value, high_kind, high_value, low_at_most, high_at_least, log_cap)
        launch(logp, low, high, region)
    return low, high


@_band_bounds_op.register_fake
def _(logp: Tensor, *region: float) -> tuple[Tensor, Tensor]:
    low, high = (torch.empty(logp.shape, dtype=torch.float32, device=logp.device) for _ in range(2))
    return low, high


def band_bounds(logp: Tensor, region: PackedRegion) -> tuple[Tensor, Tensor]:
    """Lower and upper log-ratio bounds of every token, fp32.

    Args:
        logp: old log-probs, fp32, bf16 or fp16, any shape; positive ones count as 0.
        region: the band.
    """
    return _band_bounds_op(logp, *region[:-1])
