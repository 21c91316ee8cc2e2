"""prime-rl's custom loss: any method that reads log-probs and advantages."""

from __future__ import annotations

from typing import Any

import torch

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.handover import metric_tensors

IMPORT_PATH = "bandpo.engines.prime_rl.loss"
ADAPTER = Adapter(
    "prime-rl",
    provided=("logp_rollout",),
    hands_over="one sequence at a time",
    too_wide=("batch",),
    only_anchor="rollout",
)


def loss(
    inputs: Any,
    *,
    method: str = "band-kl",
    band_delta: float | None = None,
    method_kwargs: dict[str, Any] | None = None,
    anchor: str = "rollout",
) -> Any:
    """Return prime-rl's loss of one sequence, a masked sum, with metrics `band/*`.

    Args:
        inputs: prime-rl's `LossInputs`; positions outside `loss_mask` may hold anything.
        method, band_delta, method_kwargs: as everywhere in bandpo.
        anchor: "rollout", the only policy there is.

    Returns:
        prime-rl's `LossOutputs`.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs more than a sequence and its log-probs, or anchor="old".
    """
    from prime_rl.trainer.rl.loss import LossOutputs  # pyright: ignore[reportMissingImports]

    objective = ADAPTER.objective_for(
        {"method": method, "band_delta": band_delta, "method_kwargs": method_kwargs, "anchor": anchor}
    )
    mask, sampler = inputs.loss_mask[None], inputs.inference_logprobs[None]
    per_token, metrics = objective.per_token(
        inputs.trainer_logprobs[None], sampler, inputs.advantages[None], mask, logp_rollout=sampler
    )
    metrics.pop("rollout_kl", None)  # of the sampler to itself
    metrics |= first_use_metrics("prime-rl", objective, inputs.trainer_logprobs[None], sampler, mask)
    if getattr(inputs, "loss_weights", None) is not None:
        per_token = per_token * torch.where(mask, inputs.loss_weights[None], 0.0)
    return LossOutputs(loss=per_token.sum(), metrics=metric_tensors(metrics))
