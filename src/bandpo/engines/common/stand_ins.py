"""Stand-ins for what an engine's loss reads: they answer the one expression the engine should form, and count it.

An engine that writes `clamp(ratio, 1 - eps_low, 1 + eps_high)` gets per-token bounds without its loss being copied.
One that uses the setting in any other way gets a TypeError, one that does not use it leaves `uses` at 0.
`LateAdvantages` does the same for a method without bounds: an engine whose loss is -advantage · ratio gets another
loss by the advantages it is handed, `LateTensor` where the engine selects them before it has the new log-probs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


class Epsilon:
    """A stand-in for eps_low (`1 - it` is the bound) or eps_high (`1 + it` is the bound).

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
    """A stand-in for a scalar cap c in `torch.clamp(ratio, max=c)`, which becomes the clamp by a tensor.

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


class LateAdvantages(dict):
    """An engine's loss inputs, whose "advantages" are worked out when the loss asks for them.

    By then the engine has computed the new log-probs. Where it reads the advantages earlier, `advantages` raises.

    Args:
        inputs: what the engine would have passed.
        advantages: called without arguments at every look-up of "advantages".

    >>> inputs = LateAdvantages({"mask": 1, "advantages": 0}, advantages=lambda: 2)
    >>> inputs["mask"], inputs["advantages"], inputs.get("advantages"), inputs.uses
    (1, 2, 2, 2)
    """

    def __init__(self, inputs: Mapping[str, Any], advantages: Callable[[], Any]):
        super().__init__(inputs)
        self.advantages, self.uses = advantages, 0

    def __getitem__(self, name: str) -> Any:
        if name != "advantages":
            return super().__getitem__(name)
        self.uses += 1
        return self.advantages()

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self.keys() else default


class LateTensor:
    """A stand-in for a tensor that is worked out when an engine computes with it, not when it looks it up or selects.

    Args:
        value: called without arguments at the first operation of PyTorch's, or comparison.

    >>> late = LateTensor(lambda: torch.tensor([1.0, 2.0]))[torch.tensor([False, True])]
    >>> torch.tensor([3.0]) * late, late > 0
    (tensor([6.]), tensor([True]))
    """

    def __init__(self, value: Callable[[], Tensor]):
        self._value, self._now = value, None

    def now(self) -> Tensor:
        """Return the tensor."""
        if self._now is None:
            self._now = self._value()
        return self._now

    def __getitem__(self, index: Any) -> LateTensor:
        return LateTensor(lambda: self.now()[index])

    def __lt__(self, other: Any) -> Tensor:
        return self.now() < other

    def __gt__(self, other: Any) -> Tensor:
        return self.now() > other

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        now = [x.now() if isinstance(x, cls) else x for x in args]
        return func(*now, **{name: x.now() if isinstance(x, cls) else x for name, x in (kwargs or {}).items()})
