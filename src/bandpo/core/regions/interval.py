"""What a region answers for every token: the log-ratios it allows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """Per-token bounds of log(new/old): low <= 0 <= high, fp32 (fp64 for fp64 input), the shape of logp_old.

    >>> low, high = bandpo.Interval(torch.tensor([-0.2]), torch.tensor([0.3])).ratio()
    >>> low, high
    (tensor([0.8187]), tensor([1.3499]))
    """

    low: Tensor
    high: Tensor

    def ratio(self) -> tuple[Tensor, Tensor]:
        """Return the same bounds as ratios, (e^low, e^high); e^high overflows to inf for p below 1e-38."""
        return torch.exp(self.low), torch.exp(self.high)


def working(logp: Tensor) -> Tensor:
    """Return detached log-probs in the dtype the core computes in: fp64 stays, all else becomes fp32; at most 0."""
    logp = logp.detach()
    return (logp if logp.dtype == torch.float64 else logp.float()).clamp_max(0.0)
