"""How many decimals numbers were cut to when they were written, told from the numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.microscope.batch import LOG_PROBS, TokenBatch

_MOST = 6
# So few different numbers may look cut by chance.
_FEWEST = 16
_SAMPLE = 4096
# The spacing of fp32 at 1.
_SPACING = 2.0**-23


def cut_decimals(batch: TokenBatch) -> int | None:
    """Return after how many decimals the coarsest log-probs of a batch were cut, or None where none were.

    >>> logp = torch.linspace(-3, -1, 50).unsqueeze(0)
    >>> mask = torch.ones(1, 50, dtype=torch.bool)
    >>> cut_decimals(TokenBatch(mask=mask, logp=logp)), cut_decimals(TokenBatch(mask=mask, logp=logp.round(decimals=2)))
    (None, 2)
    """
    tensors = [tensor for name in LOG_PROBS if (tensor := getattr(batch, name)) is not None]
    cut = [_cut(tensor, batch.mask) for tensor in tensors if tensor.element_size() > 2]
    return min((decimals for decimals in cut if decimals is not None), default=None)


def _cut(tensor: Tensor, mask: Tensor) -> int | None:
    # Few numbers tell that they were not cut; only that they were is asked of all.
    rows = slice(_SAMPLE // max(mask.shape[1], 1) + 1)
    some = tensor[rows][mask[rows]]
    for decimals in range(1, _MOST + 1):
        if _fit(some, decimals, 0) and _fit(tensor[mask], decimals, _FEWEST):
            return decimals
    return None


def _fit(values: Tensor, decimals: int, fewest: int) -> bool:
    """Return whether enough numbers, and all of them, lie on the grid of so many decimals."""
    scaled = values.double() * 10**decimals
    # Where the grid is finer than the format, every number lies on it and none tells.
    tells = (scaled.abs() * _SPACING < 0.05) & (values != 0)
    distance = (scaled - scaled.round()).abs()[tells]
    on_grid = distance <= scaled.abs()[tells] * _SPACING
    return bool(on_grid.all()) and len(torch.unique(values[tells])) >= fewest
