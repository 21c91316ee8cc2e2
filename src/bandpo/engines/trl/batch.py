"""A micro-batch of TRL's as a method sees it: one mask, advantages per token, masked old log-probs made harmless."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.objective.inputs import FILL
from bandpo.core.tokens import Tokens, hold
from bandpo.engines.common.objective import detached_tokens
from bandpo.engines.common.stand_ins import LateAdvantages


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch of T completion tokens a row.

    Attributes:
        inputs: what TRL hands to its loss.
        advantages: (B, 1) or (B, T).
        mask: (B, T) bool, true for the tokens that count.
        old: (B, T) log-probs under the old policy, None where TRL leaves them out because the ratio is always 1.
    """

    inputs: Mapping[str, Any]
    advantages: Tensor
    mask: Tensor
    old: Tensor | None

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> MicroBatch:
        """Return the micro-batch of TRL's loss inputs."""
        old, advantages, mask = inputs.get("old_per_token_logps"), inputs["advantages"], inputs["completion_mask"] != 0
        if "tool_mask" in inputs:
            mask = mask & (inputs["tool_mask"] != 0)
        if advantages.dim() == 1:
            advantages = advantages.unsqueeze(1)
        return cls(inputs, advantages, mask, None if old is None else torch.where(mask, old, FILL))

    def old_or(self, new: Tensor) -> Tensor:
        """Return the log-probs that TRL's ratio is divided by, (B, T)."""
        return new.detach() if self.old is None else self.old

    def rollout(self, new: Tensor) -> Tensor:
        """Return the sampler's log-probs, (B, T); the old policy's where the sampler is the policy itself."""
        old, sampler = self.old_or(new), self.inputs.get("sampling_per_token_logps")
        # vLLM gives no number for a token it could not score.
        return old if sampler is None else torch.where(torch.isnan(sampler), old, sampler)

    def anchored(self, new: Tensor, anchor: str) -> Tensor:
        """Return the log-probs that the method's ratio is divided by, (B, T)."""
        return self.rollout(new) if anchor == "rollout" else self.old_or(new)

    def tokens(self, new: Tensor, anchor: str) -> Tokens:
        """Return the tokens without gradient, with ratios to the `anchor` held as the core holds them."""
        tokens = detached_tokens(new, self.anchored(new, anchor), self.advantages, self.mask)
        return tokens._replace(log_ratio=hold(tokens.log_ratio))

    def loss_inputs(self) -> Mapping[str, Any]:
        """Return what TRL's loss is to get: its inputs, with masked old log-probs harmless."""
        return self.inputs if self.old is None else {**self.inputs, "old_per_token_logps": self.old}

    def as_given(self, values: Tensor) -> Tensor:
        """Return what is (B, T) here in the shape that TRL's loss has its tokens in."""
        return values

    def with_late_advantages(self, advantages: Callable[[], Tensor]) -> Mapping[str, Any]:
        """Return `loss_inputs` with advantages, (B, T), that are worked out when TRL's loss needs them."""
        return LateAdvantages(self.loss_inputs(), advantages)
