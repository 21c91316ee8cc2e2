"""miles' own loss, run with the bounds of a method."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.objective import Objective
from bandpo.engines.slime.adapter import bounded_loss, options_of, refuse

PATH = "bandpo.engines.miles.loss"


def loss(args: Any, batch: Any, logits: Tensor, sum_of_sample_mean: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Return miles' policy loss with the method's bounds, and its metrics with the means of ours.

    Raises:
        TypeError, ValueError: what cannot be honoured here, see `objective_for`; no old log-probs in the batch.
    """
    from miles.backends.training_utils.loss_hub.losses import (  # pyright: ignore[reportMissingImports]
        policy_loss_function,
    )

    return bounded_loss(ADAPTER, policy_loss_function, args, batch, logits, sum_of_sample_mean)


def objective_for(args: Any) -> Objective:
    """Return the objective that `args.bandpo` names.

    As --custom-megatron-init-path it refuses when Megatron starts in a worker, before the first rollout; the loss
    itself refuses at the first update.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that is no interval, or settings of miles that contradict it.
    """
    return ADAPTER.objective_for(options_of(args), args)


ADAPTER = Adapter("miles", provided=("logp_rollout",), clips_only=True, refuse=refuse)
