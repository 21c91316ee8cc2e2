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

    return bounded_loss(ADAPTER, policy_loss_function, args, batch, logits, sum_of_sample_mean)


def bounded_loss(
    adapter: Adapter, stock: Any, args: Any, batch: Any, logits: Tensor, sum_of_sample_mean: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a stock loss of slime's or of a fork of it, run with the bounds of a method, and its metrics with ours.

    Args:
        adapter: the engine's.
        stock: `policy_loss_function`, which clamps the ratio to 1 - args.eps_clip .. 1 + args.eps_clip_high.
        args, batch, logits, sum_of_sample_mean: what a custom loss is called with; the batch holds lists of 1-D
            tensors, one a sample.

    Raises:
        TypeError, ValueError: what cannot be honoured here, see `objective_for`; no old log-probs in the batch, a dual
            clip that the stock loss does not read.
    """
    objective = adapter.objective_for(options_of(args), args)
    name = "rollout_log_probs" if args.use_rollout_logprobs else "log_probs"
    if not batch.get(name):
        raise ValueError(f"the batch has no {name}: there are no log-probs to compute bounds from")
    settings = copy.copy(args)
    old = torch.cat(batch[name], dim=0)
    first_calls(adapter.engine, objective).look_at_rounding(old, _counted(batch, old))
    low, high = objective.epsilons(old)
    settings.eps_clip, settings.eps_clip_high = low, high
    settings.eps_clip_c = dual_clip(objective, "--eps-clip-c", args.eps_clip_c)
    if settings.eps_clip_c is not None and not _reads(stock, "eps_clip_c"):
        raise ValueError(f"dual_clip={settings.eps_clip_c!r}: this release's loss takes no dual clip, newer ones do")
    total, metrics = stock(settings, batch, logits, sum_of_sample_mean)
    metrics["band/bound_low"] = sum_of_sample_mean(1 - low)
    metrics["band/log_bound_high"] = sum_of_sample_mean(torch.log1p(high).nan_to_num(posinf=0.0))
    return total, metrics


def _counted(batch: Any, old: Tensor) -> Tensor:
    """Return which tokens count; under context parallelism all, because there masks are those of whole responses."""
    mask = torch.cat(batch["loss_masks"], dim=0)
    return mask if mask.shape == old.shape else torch.ones_like(old)


def _reads(function: Any, name: str) -> bool:
    """Return whether a function names an attribute, as `args.name` or in `getattr(args, "name", ...)`."""
    return name in (*function.__code__.co_names, *function.__code__.co_consts)


def objective_for(args: Any) -> Objective:
    """Return the objective that `args.bandpo` names.

    As --custom-megatron-init-path it refuses when Megatron starts in a worker, before the first rollout; the loss
    itself refuses at the first update.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that is no interval, or settings of slime that contradict it.
    """
    return ADAPTER.objective_for(options_of(args), args)


def options_of(args: Any) -> dict[str, Any]:
    """Return the mapping `bandpo` that --custom-config-path put into the flags; ValueError if there is none."""
    options = getattr(args, "bandpo", None)
    if not isinstance(options, dict):
        raise ValueError(f"bandpo={options!r}: expected --custom-config-path to a YAML file with a mapping 'bandpo'")
    return options


def refuse(objective: Objective, args: Any) -> None:
    """Raise ValueError at the first flag, of slime or of a fork of it, that contradicts the method."""
    if args.advantage_estimator in ("gspo", "cispo"):
        raise ValueError(f"--advantage-estimator {args.advantage_estimator} brings a loss of its own: expected another")
    wanted, divides = args.bandpo.get("anchor"), "rollout" if args.use_rollout_logprobs else "old"
    if wanted not in (None, divides):
        flag = "with" if args.use_rollout_logprobs else "without"
        raise ValueError(f"anchor={wanted!r} {flag} --use-rollout-logprobs, which decides for ratio and bounds")
    refuse_clip_range(objective, {"--eps-clip": (args.eps_clip, 0.2, "eps_low")})
    refuse_clip_range(objective, {"--eps-clip-high": (args.eps_clip_high, args.eps_clip, "eps_high")})
    dual_clip(objective, "--eps-clip-c", args.eps_clip_c)


ADAPTER = Adapter("slime", provided=("logp_rollout",), clips_only=True, refuse=refuse)
