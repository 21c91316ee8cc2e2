"""Stand-ins for an engine's clip settings: they answer the one expression the engine should form, and count it.

An engine that writes `clamp(ratio, 1 - eps_low, 1 + eps_high)` gets per-token bounds without its loss being copied.
One that uses the setting in any other way gets a TypeError, one that does not use it leaves `uses` at 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Epsilon:
    """Stands for eps_low (`1 - it` is the bound) or eps_high (`1 + it` is the bound).

    Args:
        bound: ratio bound, a number or a tensor that broadcasts to the ratio.
        sign: -1 for eps_low, +1 for eps_high.

    >>> 1 - Epsilon(torch.tensor([0.5, 0.9]), -1)
    tensor([0.5000, 0.9000])
    """

    def __init__(self, bound: float | Tensor, sign: int):
        self.bound, self.sign, self.uses = bound, sign, 0

    def _answer(self, one: object, sign: int):
        if sign != self.sign or one != 1:
            return NotImplemented
        self.uses += 1
        return self.bound

    def __rsub__(self, one):
        return self._answer(one, -1)

    def __radd__(self, one):
        return self._answer(one, 1)


class Cap:
    """Stands for a scalar cap c in `torch.clamp(ratio, max=c)`, which becomes the clamp by a tensor.

    >>> torch.clamp(torch.tensor([5.0, 5.0]), max=Cap(torch.tensor([3.0, 9.0])))
    tensor([3., 5.])
    """

    def __init__(self, cap: Tensor):
        self.cap, self.uses = cap, 0

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cap = (kwargs or {}).get("max")
        if func is not torch.clamp or not isinstance(cap, cls) or len(args) != 1:
            return NotImplemented
        cap.uses += 1
        return torch.clamp(args[0], max=cap.cap)
