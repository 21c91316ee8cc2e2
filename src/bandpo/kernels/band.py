"""The Band operator as one kernel: old log-probs in, both bounds out, 12 bytes a token.

The kernel is one opaque operator to compilers and fake tensors; Triton is imported when it first runs, never when it
is traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bandpo.core.regions.packed import REGION_SCHEMA, PackedRegion

Tensors = tuple[Tensor | None, Tensor | None, Tensor | None]
_TENSORS = "Tensor logp, Tensor? low_radius, Tensor? high_radius, Tensor? toward"


@torch.library.custom_op(
    "bandpo::band_bounds", mutates_args=(), schema=f"({_TENSORS}, {REGION_SCHEMA}) -> (Tensor, Tensor)"
)
def _band_bounds_op(
    logp: Tensor, low_radius: Tensor | None, high_radius: Tensor | None, toward: Tensor | None, *region: Any
) -> tuple[Tensor, Tensor]:
    from bandpo.kernels.band_triton import launch

    low, high = _empty_bounds(logp)
    if logp.numel():
        launch(logp, (low_radius, high_radius, toward), low, high, PackedRegion(*region))
    return low, high


@_band_bounds_op.register_fake
def _empty_bounds(logp: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    low, high = (torch.empty(logp.shape, dtype=torch.float32, device=logp.device) for _ in range(2))
    return low, high


def band_bounds(logp: Tensor, tensors: Tensors, region: PackedRegion) -> tuple[Tensor, Tensor]:
    """Return the lower and upper log-ratio bounds of every token, fp32.

    Args:
        logp: old log-probs, fp32, bf16 or fp16, any shape; positive ones count as 0.
        tensors: low_radius, high_radius, toward: each broadcasts to logp. The radii of sides that are PER_TOKEN, None
            for the others; advantages, for which the side that their sign cannot reach is left open, or None.
        region: the band.
    """
    return _band_bounds_op(logp, *tensors, *region)
