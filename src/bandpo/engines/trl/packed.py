"""A micro-batch of TRL's `AsyncGRPOTrainer`: the trained tokens of many completions end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.objective.inputs import FILL
from bandpo.engines.common.stand_ins import LateTensor
from bandpo.engines.trl.batch import MicroBatch


@dataclass(frozen=True)
class PackedBatch(MicroBatch):
    """The N trained tokens of B completions, as rows of at most T.

    Attributes:
        selected: (1, M) bool, where TRL's inputs hold a trained token; the rest fills the row up.
        row, column: (N,) the completion of each token, and its place in it.
    """

    selected: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> PackedBatch:
        """Return the micro-batch of TRL's loss inputs.

        >>> inputs = {"token_index": torch.tensor([[5, 6, 9, -1]]), "segment_id": torch.tensor([[0, 0, 1, 0]])}
        >>> inputs |= {name: torch.tensor([[-0.5, -0.6, -0.7, 0.0]]) for name in ("advantages", "old_log_probs")}
        >>> PackedBatch.of(inputs).advantages
        tensor([[-0.5000, -0.6000],
                [-0.7000,  0.0000]])
        """
        selected = inputs["token_index"] >= 0
        row = inputs["segment_id"][selected]
        lengths = torch.bincount(row)
        column = torch.arange(len(row), device=row.device) - (lengths.cumsum(0) - lengths)[row]
        mask = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.bool, device=row.device)
        mask[row, column] = True
        advantages, old = (
            torch.full(mask.shape, fill, dtype=inputs[name].dtype, device=row.device).index_put(
                (row, column), inputs[name][selected]
            )
            for name, fill in (("advantages", 0.0), ("old_log_probs", FILL))
        )
        return cls(inputs, advantages, mask, old, selected, row, column)

    def as_rows(self, values: Tensor, fill: float) -> Tensor:
        """Return one value a token, (N,), as (B, T)."""
        rows = torch.full(self.mask.shape, fill, dtype=values.dtype, device=values.device)
        return rows.index_put((self.row, self.column), values)

    def loss_inputs(self) -> Mapping[str, Any]:
        return self.inputs

    def as_given(self, values: Tensor) -> Tensor:
        return values.expand_as(self.mask)[self.row, self.column]

    def with_late_advantages(self, advantages: Callable[[], Tensor]) -> Mapping[str, Any]:
        def packed() -> Tensor:
            values = self.as_given(advantages())
            return torch.zeros(self.selected.shape, dtype=values.dtype, device=values.device).index_put(
                (self.selected,), values
            )

        return {**self.inputs, "advantages": LateTensor(packed)}
