"""AReaL, experimental: any method of single tokens, by replacing the loss function of its actor module.

    from bandpo.engines import areal

    areal.install({"method": "band-kl", "band_delta": 0.05})  # before PPOTrainer(...)

AReaL has no place for another loss: every release but those of `RELEASES` is refused.

- Argument order: logprobs, proximal_logprobs, old_logprobs, advantages, ..., by name; packed (T,) or padded (B, T).
- Old log-probs: proximal_logprobs, which AReaL divides by: recomputed, approximated or the sampler's, as
  `actor.prox_logp_method` says. Methods anchored on the sampler take old_logprobs.
- Normalisation: AReaL's, by the mask's count of the micro-batch, weighted over micro-batches. Its `ppo_actor_loss_fn`
  does everything: rejection sampling, dual clip, statistics. It is handed per-token clip settings or, for a method that
  is no interval, open ones and the advantages under which -A r is that method's loss, see `_handover`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bandpo.engines._areal_processes import ENGINES, RELEASES, check_release, engine_class, install
from bandpo.engines._handover import chosen, clip_settings, metric_floats, refuse_scope
from bandpo.engines._own_settings import dual_clip, refuse_clip_range
from bandpo.engines.objective import Objective

__all__ = ["RELEASES", "check_config", "check_release", "check_settings", "choose", "install", "with_band"]
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


def __getattr__(name: str) -> Any:
    if name in ENGINES:  # AReaL's workers import their engine from here
        return engine_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
