"""A clock that every engine has: the steps that optimizers of this process have taken."""

from __future__ import annotations

import functools
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook


class _Clock:
    """Counts the steps of every optimizer of torch's kind; those of Megatron and DeepSpeed end in one."""

    def __init__(self) -> None:
        self.steps = 0
        register_optimizer_step_post_hook(self._tick)

    def _tick(self, *_: Any) -> None:
        self.steps += 1


@functools.cache
def _clock() -> _Clock:
    return _Clock()


def optimizer_steps() -> int:
    """Return how many steps the optimizers of this process have taken since this was first asked.

    A step that a gradient scaler skips does not count: the weights have not moved.

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> before, optimizer = optimizer_steps(), torch.optim.SGD([weight], lr=0.1)
    >>> weight.sum().backward(); optimizer.step(); optimizer_steps() - before
    1
    """
    return _clock().steps
