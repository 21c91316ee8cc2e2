"""AReaL's own `ppo_actor_loss_fn`, run with the trust region of a method."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bandpo.engines.common.handover import chosen, clip_settings, metric_floats, refuse_scope
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, refuse_clip_range

PROVIDED = ("logp_rollout",)


def choose(options: Mapping[str, Any]) -> Objective:
    """The objective that the options name.

    >>> choose({"method": "gspo"})
    Traceback (most recent call last):
    ValueError: method='gspo' needs the whole sequence, AReaL hands packed tokens to a loss
    """
    one = chosen("AReaL", options, PROVIDED)
    refuse_scope(one, "AReaL", "packed tokens", "sequence", "batch")
    return one


def with_band(stock: Any, options: Mapping[str, Any]) -> Any:
    """AReaL's `ppo_actor_loss_fn` with a method's trust region; `band/*` go to AReaL's stats tracker."""
    one = choose(options)

    @functools.wraps(stock)
    def ppo_actor_loss_fn(**given: Any) -> tuple[Tensor, dict[str, Any]]:
        cap = check_settings(one, given)
        settings = clip_settings(
            one,
            given["logprobs"],
            given["proximal_logprobs"],
            given["advantages"],
            given["loss_mask"],
            logp_rollout=given["old_logprobs"],
        )
        importlib.import_module("areal.utils.stats_tracker").scalar(**metric_floats(settings.metrics))
        changed = {
            "advantages": settings.advantages,
            "eps_clip": settings.eps_low,
            "eps_clip_higher": settings.eps_high,
        }
        return stock(**{**given, **changed, "c_clip": cap})

    return ppo_actor_loss_fn


def check_settings(one: Objective, given: Mapping[str, Any]) -> float | None:
    """The dual clip in force; ValueError at the first setting of AReaL's that contradicts the method."""
    if given.get("importance_sampling_level", "token") != "token":
        level = given["importance_sampling_level"]
        raise ValueError(f"actor.importance_sampling_level={level!r}: expected 'token'")
    if one.anchor == "rollout" and given.get("rejection_sampling") is not None:
        raise ValueError("actor.rejection_sampling with ratios to the sampler counts the mismatch twice")
    refuse_clip_range(one, {"actor.eps_clip": (given["eps_clip"], 0.2, "eps_low")})
    refuse_clip_range(one, {"actor.eps_clip_higher": (given.get("eps_clip_higher"), given["eps_clip"], "eps_high")})
    return dual_clip(one, "actor.c_clip", given.get("c_clip"))


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
        check_settings(choose(options), {name: getattr(config, name) for name in names if hasattr(config, name)})
