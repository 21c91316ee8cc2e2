"""What is caught of the model while TRL runs it: in a loss the policy's pass, in a generation its likeliest tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.inputs import top_k_of
from bandpo.engines.trl.logits import check_logits

Use = Callable[[Tensor], Any]


class LossCapture:
    """The policy's pass over one micro-batch.

    Attributes:
        logps, entropies: TRL's own, (B, T) with gradients; None until it has run the policy, or where it has none.
        logits: (b, T, V) of every part of the pass, where they are needed.
    """

    def __init__(self, needs_logits: bool):
        self.needs_logits = needs_logits
        self.logps: Tensor | None = None
        self.entropies: Tensor | None = None
        self.logits: list[Tensor] = []

    def begin(self, is_policy: bool) -> Use | None:
        """Return what is to receive the logits of the pass that begins, None for nothing."""
        self.logits = []
        return self.logits.append if self.needs_logits else None

    def keep(self, outputs: tuple[Any, ...]) -> None:
        """Take what TRL made of the pass."""
        self.logps, self.entropies = outputs[0], outputs[1]

    def logits_of(self, batch: MicroBatch) -> Tensor:
        """Return (B, T, V), after a look at whether they give the log-probs TRL computed."""
        assert self.logps is not None
        logits = torch.cat(self.logits)
        check_logits(logits, batch.inputs["completion_ids"], self.logps, batch.mask)
        return logits


class TopKCapture:
    """The k likeliest tokens of the first pass of the policy over a generated batch, as (ids, log-probs)."""

    def __init__(self, k: int):
        self.k = k
        self.lists: list[tuple[Tensor, Tensor]] = []

    def begin(self, is_policy: bool) -> Use | None:
        """Return what is to receive the logits of the pass that begins, None for nothing."""
        return self._add if is_policy and not self.lists else None

    def keep(self, outputs: tuple[Any, ...]) -> None:
        """Take nothing else of the pass."""

    def _add(self, logits: Tensor) -> None:
        self.lists.append(top_k_of(logits, self.k))
