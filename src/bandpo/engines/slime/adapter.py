"""slime's own loss, run with the bounds of a method."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_calls
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, refuse_clip_range

PATH = "bandpo.engines.slime.loss"


def loss(args: Any, batch: Any, logits: Tensor, sum_of_sample_mean: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Return slime's policy loss with the method's bounds, and its metrics with the means of ours.

    Raises:
        TypeError, ValueError: what cannot be honoured here, see `objective_for`; no old log-probs in the batch.
    """
    from slime.backends.megatron_utils.loss import policy_loss_function  # pyright: ignore[reportMissingImports]

    objective = objective_for(args)
    name = "rollout_log_probs" if args.use_rollout_logprobs else "log_probs"
    if not batch.get(name):
        raise ValueError(f"slime handed over no {name}: there are no log-probs to compute bounds from")
    settings = copy.copy(args)
    old = torch.cat(batch[name], dim=0)
    first_calls("slime", objective).look_at_rounding(old, torch.cat(batch["loss_masks"], dim=0))
    low, high = objective.epsilons(old)
    settings.eps_clip, settings.eps_clip_high = low, high
    settings.eps_clip_c = dual_clip(objective, "--eps-clip-c", args.eps_clip_c)
    if settings.eps_clip_c is not None and "eps_clip_c" not in policy_loss_function.__code__.co_names:
        raise ValueError(f"dual_clip={settings.eps_clip_c!r}: this slime's loss takes no dual clip, newer ones do")
    total, metrics = policy_loss_function(settings, batch, logits, sum_of_sample_mean)
    metrics["band/bound_low"] = sum_of_sample_mean(1 - low)
    metrics["band/log_bound_high"] = sum_of_sample_mean(torch.log1p(high).nan_to_num(posinf=0.0))
    return total, metrics


def objective_for(args: Any) -> Objective:
    """Return the objective that `args.bandpo` names.

    As --custom-megatron-init-path it refuses when Megatron starts in a worker, before the first rollout; the loss
    itself refuses at the first update.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that is no interval, or settings of slime that contradict it.
    """
    options = getattr(args, "bandpo", None)
    if not isinstance(options, dict):
        raise ValueError(f"bandpo={options!r}: expected --custom-config-path to a YAML file with a mapping 'bandpo'")
    return ADAPTER.objective_for(options, args)


def _refuse(objective: Objective, args: Any) -> None:
    if args.advantage_estimator in ("gspo", "cispo"):
        raise ValueError(f"--advantage-estimator {args.advantage_estimator} brings a loss of its own: expected another")
    wanted, divides = args.bandpo.get("anchor"), "rollout" if args.use_rollout_logprobs else "old"
    if wanted not in (None, divides):
        flag = "with" if args.use_rollout_logprobs else "without"
        raise ValueError(f"anchor={wanted!r} {flag} --use-rollout-logprobs, which decides for ratio and bounds")
    refuse_clip_range(objective, {"--eps-clip": (args.eps_clip, 0.2, "eps_low")})
    refuse_clip_range(objective, {"--eps-clip-high": (args.eps_clip_high, args.eps_clip, "eps_high")})
    dual_clip(objective, "--eps-clip-c", args.eps_clip_c)


ADAPTER = Adapter("slime", provided=("logp_rollout",), clips_only=True, refuse=_refuse)
