"""AReaL's own `ppo_actor_loss_fn`, run with the trust region of a method."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.handover import clip_settings, metric_floats
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, refuse_clip_range, refuse_correction


def with_band(stock: Any, options: Mapping[str, Any]) -> Any:
    """Return AReaL's `ppo_actor_loss_fn` with a method's trust region; `band/*` go to AReaL's stats tracker."""
    objective = ADAPTER.objective_for(options)

    @functools.wraps(stock)
    def ppo_actor_loss_fn(**arguments: Any) -> tuple[Tensor, dict[str, Any]]:
        _refuse(objective, arguments)
        new, old, sampler, mask = (arguments[n] for n in ("logprobs", "proximal_logprobs", "old_logprobs", "loss_mask"))
        settings = clip_settings(objective, new, old, arguments["advantages"], mask, logp_rollout=sampler)
        first_use = first_use_metrics("AReaL", objective, new, old, mask, sampler)
        tracker = importlib.import_module("areal.utils.stats_tracker")
        tracker.scalar(**metric_floats(settings.metrics | first_use))
        changed = {
            "advantages": settings.advantages,
            "eps_clip": settings.eps_low,
            "eps_clip_higher": settings.eps_high,
            "c_clip": dual_clip(objective, "actor.c_clip", arguments.get("c_clip")),
        }
        return stock(**{**arguments, **changed})

    return ppo_actor_loss_fn


def _refuse(objective: Objective, settings: Mapping[str, Any]) -> None:
    """Raise ValueError at the first of AReaL's settings, by the names of its loss function, that contradicts."""
    if (level := settings.get("importance_sampling_level", "token")) != "token":
        raise ValueError(f"actor.importance_sampling_level={level!r}: expected 'token'")
    if settings.get("rejection_sampling") is not None:
        refuse_correction(objective, "actor.rejection_sampling")
    low, high = settings["eps_clip"], settings.get("eps_clip_higher")
    refuse_clip_range(objective, {"actor.eps_clip": (low, 0.2, "eps_low")})
    refuse_clip_range(objective, {"actor.eps_clip_higher": (high, low, "eps_high")})
    dual_clip(objective, "actor.c_clip", settings.get("c_clip"))


ADAPTER = Adapter(
    "AReaL",
    provided=("logp_rollout",),
    hands_over="packed tokens",
    too_wide=("sequence", "batch"),
    refuse=_refuse,
)


def check_config(options: Mapping[str, Any], config: Any) -> None:
    """Raise ValueError at a setting of AReaL's `PPOActorConfig` that contradicts the method, before it trains.

    A configuration without AReaL's clip range, such as a reference model's, has nothing to contradict.

    >>> from types import SimpleNamespace
    >>> check_config({"method": "band-kl"}, SimpleNamespace(eps_clip=0.3))
    Traceback (most recent call last):
    ValueError: actor.eps_clip=0.3 has no effect with method='band-kl': ...
    """
    if getattr(config, "use_sapo_loss", False):
        raise ValueError("actor.use_sapo_loss=True is a loss of its own: expected False, or method 'sapo'")
    if getattr(config, "eps_clip", None) is not None:
        names = ("eps_clip", "eps_clip_higher", "c_clip", "importance_sampling_level", "rejection_sampling")
        ADAPTER.objective_for(options, {name: getattr(config, name) for name in names if hasattr(config, name)})
