"""What the tests have to know of a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

Change = tuple[str, Any, Mapping[str, Any]]


class Case(NamedTuple):
    """A batch in TRL's terms, (B, T) or (B, T, ...): `new` with gradient, `sampler` the log-probs of who sampled."""

    new: torch.Tensor
    old: torch.Tensor
    sampler: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor
    logits: torch.Tensor
    entropy: torch.Tensor
    group_rewards: torch.Tensor
    topk_sampler: torch.Tensor
    topk_new: torch.Tensor

    def ratio(self) -> torch.Tensor:
        return torch.exp(self.new - self.old)


class InTRL(NamedTuple):
    """The loss that TRL's trainer must find.

    Attributes:
        loss: from a `Case` and the hyperparameters to the loss of every token.
        hyperparameters: of both.
        options: hyperparameters of the method alone, where the formula takes them for granted.
        arguments: of TRL's configuration, without which the method refuses.
        of_response: whether the formula is that of a whole response, which the method's tokens add up to under the
            token mean alone.
    """

    loss: Callable[..., torch.Tensor]
    hyperparameters: Mapping[str, Any]
    options: Mapping[str, Any] = {}
    arguments: Mapping[str, Any] = {}
    of_response: bool = False


@dataclass(frozen=True)
class Entry:
    """A method in the paper's terms: ratio space, by hand, no code of this library.

    Attributes:
        name: of the method.
        tight: hyperparameters under which it acts on many tokens of a small batch, every kind of its decisions.
        values: rows p, r, then loss and ∂loss/∂logp for A = 2 and for A = -2, at the authors' hyperparameters, see
            `test_truth_table`; a method of the whole batch has `four_tokens` instead.
        value_inputs: from p and q = r p to what the method is given besides for that row.
        four_tokens: (options, losses, gradients) of the four tokens in `test_truth_table`.
        stops: from a `View` and all hyperparameters to where a token with an advantage has no gradient.
        stopped: how many tokens it stops at the authors' hyperparameters, at least, of a few hundred.
        acts: (option, value, what else is set both times) for every option; OPTION_before among the last is what the
            value is compared with where that is not the authors'.
        needs: what it cannot do without besides log-probs of the old policy, advantages and mask.
        moves_without_advantage: whether tokens of A = 0 have a gradient.
        in_trl: its loss in TRL's trainer, unless it is an interval, which TRL itself clips to.
    """

    name: str
    tight: Mapping[str, Any] = field(default_factory=dict)
    values: str = ""
    value_inputs: Callable[[float, float], dict[str, Any]] = lambda p, q: {}
    four_tokens: Sequence[tuple[Mapping[str, Any], list[float], list[float]]] = ()
    stops: Callable[..., np.ndarray] | None = None
    stopped: int = 3
    acts: Sequence[Change] = ()
    needs: tuple[str, ...] = ()
    moves_without_advantage: bool = False
    in_trl: InTRL | None = None

    @property
    def anchor(self) -> str:
        """The log-probs that the ratio is divided by."""
        return "logp_rollout" if "logp_rollout" in self.needs else "logp_old"
