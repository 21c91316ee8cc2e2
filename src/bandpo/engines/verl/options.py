"""verl's options into an objective: what contradicts the chosen method is refused or warned about. Needs no verl."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

from bandpo.engines.common.adapter import OPTIONS, Adapter
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import is_off

NAME = "bandpo"
# The actor's clip settings, what the core calls them, and verl's defaults: another value, somebody has set.
CLIP = {"clip_ratio_low": ("eps_low", 0.2), "clip_ratio_high": ("eps_high", 0.2), "clip_ratio_c": ("dual_clip", 3.0)}
# What only verl's own losses read: verl's default, the loss that reads it, and what the core calls it there.
OF_OTHER_LOSSES = {
    "clip_ratio": (0.2, "vanilla", None),
    "tau_pos": (1.0, "sapo", ("sapo", "tau_pos")),
    "tau_neg": (1.05, "sapo", ("sapo", "tau_neg")),
    "policy_loss.clip_cov_ratio": (0.0002, "clip_cov", ("clip-cov", "fraction")),
    "policy_loss.clip_cov_lb": (1.0, "clip_cov", ("clip-cov", "cov_low")),
    "policy_loss.clip_cov_ub": (5.0, "clip_cov", ("clip-cov", "cov_high")),
    "policy_loss.kl_cov_ratio": (0.0002, "kl_cov", ("kl-cov", "fraction")),
    "policy_loss.ppo_kl_coef": (0.1, "kl_cov", ("kl-cov", "coef")),
    "policy_loss.dro_beta": (None, "dro", None),
}
BYPASS = (
    "verl's old_log_probs are the sampler's only with algorithm.rollout_correction.bypass_mode=True, and a loss knows "
    "by '+actor_rollout_ref.actor.policy_loss.rollout_correction=${algorithm.rollout_correction}': give both, or "
    "policy_loss.anchor=old to divide by the log-probs that verl recomputes"
)


def objective_for(policy: Mapping[str, Any], clip: Mapping[str, Any] | None = None) -> Objective:
    """Return the objective that `policy_loss` names.

    Args:
        policy: method, band_delta, method_kwargs, anchor and rollout_correction.
        clip: the actor's settings by the names in `CLIP`; None where they are not known yet.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, a value out of range, an input verl does not hand over, a clip setting that
            would have no effect, a rollout-anchored method outside bypass mode.

    >>> objective_for({"method": "grpo"}, {"clip_ratio_high": 0.28}).options
    {'eps_low': 0.2, 'eps_high': 0.28, 'dual_clip': None}
    >>> objective_for({"method": "band-kl"}, {"clip_ratio_high": 0.28})
    Traceback (most recent call last):
    ValueError: actor.clip_ratio_high=0.28 has no effect with method='band-kl': use method_kwargs.eps_high, leave 0.2
    """
    correction = policy.get("rollout_correction") or {}
    bypass = bool(correction.get("bypass_mode", False))
    if bypass:
        check_bypass(correction)
    options = {name: policy.get(name) for name in OPTIONS}
    objective = ADAPTER.objective_for({**options, "method_kwargs": options["method_kwargs"] or None}, clip)
    if objective.anchor == "rollout" and not bypass:
        raise ValueError(f"method={objective.method.name!r} with anchor='rollout': {BYPASS}")
    return objective


def announced_objective(policy: Mapping[str, Any], clip: Mapping[str, Any]) -> Objective:
    """Return `objective_for`, and warn once a process of a dual clip of verl's that does not act under it."""
    objective = objective_for(policy, clip)
    finding = unused_dual_clip(objective, policy.get("method_kwargs") or {}, clip)
    if finding is not None:
        warn_once(str(finding))
    return objective


@functools.lru_cache
def warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def check_bypass(correction: Mapping[str, Any]) -> None:
    """Raise ValueError at what verl does in bypass mode within its own loss only.

    >>> check_bypass({"bypass_mode": True, "loss_type": "reinforce"})
    Traceback (most recent call last):
    ValueError: rollout_correction.loss_type='reinforce' is of verl's own bypass loss: expected 'ppo_clip' ...
    """
    for name, neutral in (("rollout_rs", None), ("loss_type", "ppo_clip")):
        if (value := correction.get(name, neutral)) != neutral:
            raise ValueError(
                f"rollout_correction.{name}={value!r} is of verl's own bypass loss: expected {neutral!r} with "
                f"loss_mode={NAME}, or bypass_mode=False"
            )


def _refuse(objective: Objective, clip: Mapping[str, Any]) -> None:
    """Refuse verl's clip settings where they would have no effect."""
    method, options = objective.method.name, objective.options
    for name, (option, default) in CLIP.items():
        value = clip.get(name, default)
        cannot_act = option == "dual_clip" and is_off(value, options.get(option))
        if value not in (default, options.get(option)) and not cannot_act:
            instead = f"use method_kwargs.{option}" if option in options else "the method has nothing like it"
            raise ValueError(f"actor.{name}={value!r} has no effect with method={method!r}: {instead}, leave {default}")


def _clip_range(clip: Mapping[str, Any]) -> dict[str, Any]:
    return {CLIP[name][0]: value for name, value in clip.items()}


ADAPTER = Adapter("verl", provided=("logp_rollout",), clip_range=_clip_range, refuse=_refuse)


def unused_dual_clip(
    objective: Objective, hyperparameters: Mapping[str, Any], clip: Mapping[str, Any]
) -> Finding | None:
    """Return that verl's dual clip does not act, None where it does or `hyperparameters` have decided.

    >>> unused_dual_clip(objective_for({}), {}, {"clip_ratio_c": 3.0}).text
    "verl's dual clip, actor.clip_ratio_c=3.0, does not act with method='band-kl'"
    >>> unused_dual_clip(objective_for({}), {"dual_clip": None}, {"clip_ratio_c": 3.0})
    """
    acts = objective.options.get("dual_clip", 0) is not None
    if acts or "dual_clip" in hyperparameters or is_off(clip.get("clip_ratio_c")):
        return None
    return Finding(
        "warn",
        f"verl's dual clip, actor.clip_ratio_c={clip['clip_ratio_c']}, does not act with "
        f"method={objective.method.name!r}",
        "method_kwargs.dual_clip=3.0 turns it on, method_kwargs.dual_clip=null keeps it off without this warning",
    )


def check_actor(actor: Mapping[str, Any]) -> Objective | None:
    """Return the objective of an actor's configuration, None where another loss than ours is chosen; warn of nothing.

    Args:
        actor: verl's `ActorConfig`, or a mapping like it, with `policy_loss` in it.

    Raises:
        TypeError, ValueError: as `objective_for`, and a setting that only a loss of verl's own reads.

    >>> check_actor({"policy_loss": {"loss_mode": "bandpo", "method": "sapo"}, "tau_pos": 2.0})
    Traceback (most recent call last):
    ValueError: actor.tau_pos=2.0 is read by verl's own loss 'sapo' only: use method_kwargs.tau_pos, leave 1.0
    """
    policy = actor.get("policy_loss") or {}
    if policy.get("loss_mode") != NAME:
        return None
    for name, (default, loss, ours) in OF_OTHER_LOSSES.items():
        group, _, last = name.rpartition(".")
        value = (policy if group else actor).get(last, default)
        if value != default and not (name == "clip_ratio" and policy.get("method") == "grpo"):
            instead = f"{_instead(ours, policy)}, leave {default}"
            raise ValueError(f"actor.{name}={value!r} is read by verl's own loss {loss!r} only: {instead}")
    return objective_for(policy, clip_settings(actor))


def _instead(ours: tuple[str, str] | None, policy: Mapping[str, Any]) -> str:
    """Return what to write in place of a setting of another loss."""
    if ours is None:
        return "it has no effect here"
    method, hyperparameter = ours
    here = policy.get("method") == method
    return f"use method_kwargs.{hyperparameter}" + ("" if here else f" with method={method!r}")


def clip_settings(actor: Mapping[str, Any]) -> dict[str, Any]:
    """Return the actor's clip settings by the names in `CLIP`, as verl's vanilla loss reads them.

    >>> clip_settings({"clip_ratio": 0.1, "clip_ratio_low": None, "clip_ratio_high": 0.28, "clip_ratio_c": 3.0})
    {'clip_ratio_low': 0.1, 'clip_ratio_high': 0.28, 'clip_ratio_c': 3.0}
    """
    settings = {name: actor.get(name) for name in CLIP}
    return {name: actor.get("clip_ratio") if value is None else value for name, value in settings.items()}
