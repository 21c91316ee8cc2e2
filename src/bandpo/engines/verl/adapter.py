"""verl's policy loss `bandpo`: what of it needs verl."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics
from bandpo.core.tokens import hold
from bandpo.engines.common.call_recording import call_recording
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.handover import metric_floats
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.releases import release
from bandpo.engines.verl.options import BYPASS, NAME, announced_objective, check_actor, clip_settings, objective_for
from bandpo.engines.verl.phases import known_tokens, watch_workers

try:
    import verl  # pyright: ignore[reportMissingImports]
    from verl.trainer.ppo import core_algos  # pyright: ignore[reportMissingImports]
    from verl.workers import config as verl_config  # pyright: ignore[reportMissingImports]
    from verl.workers.config import PolicyLossConfig  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError(f"bandpo.engines.verl needs verl, see docs/engines/verl.md: {error}") from error

if release(verl.__version__) < (0, 7):
    raise ImportError(
        f"bandpo.engines.verl needs verl 0.7 or newer, this is {verl.__version__}: its losses return more"
    )


@dataclass
class BandPolicyLossConfig(PolicyLossConfig):
    """verl's `PolicyLossConfig` and the choice of a trust region.

    Args:
        method: a name from `bandpo.methods()`. "grpo" is verl's vanilla loss, clipped by actor.clip_ratio_low,
            clip_ratio_high and clip_ratio_c; with every other method these three are left alone.
        band_delta: radius of the band, the method's own if not given.
        method_kwargs: the method's other hyperparameters.
        anchor: "old" or "rollout", the method's own if not given. "rollout" needs bypass mode.
        record_every: write what the loss saw to `record_folder`, for `bandpo inspect`, every so many micro-batches of
            each process; 0 for never.
        record_folder: where to, on the processes' machines: a shared disk, or one folder a machine.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, a value out of range, an input verl does not hand over, another loss_mode.

    >>> BandPolicyLossConfig(method="band-kl", band_delta=0.03, method_kwargs={"max_ratio": 10.0})  # doctest: +SKIP
    """

    loss_mode: str = NAME
    method: str = "band-kl"
    band_delta: float | None = None
    method_kwargs: dict[str, Any] = field(default_factory=dict)
    anchor: str | None = None
    record_every: int = 0
    record_folder: str = "bandpo_batches"

    def __post_init__(self):
        if not isinstance(self.record_every, int) or self.record_every < 0:
            raise ValueError(f"policy_loss.record_every={self.record_every!r}: expected a number of calls, 0 for none")
        if self.loss_mode != NAME:
            raise ValueError(f"policy_loss.loss_mode={self.loss_mode!r}: expected {NAME!r} with BandPolicyLossConfig")
        objective_for(self)  # pyright: ignore[reportArgumentType]


def bandpo_loss(
    old_log_prob: Tensor,
    log_prob: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, dict[str, float]]:
    """Return verl's loss, a scalar, and metrics under actor/.

    Args:
        old_log_prob, log_prob, advantages, response_mask, rollout_is_weights: (B, T); where response_mask is 0, any.
        loss_agg_mode: how verl's `agg_loss` averages.
        config: the actor's.

    Raises:
        ValueError: as `BandPolicyLossConfig`, a clip setting without effect, importance weights in bypass mode, a
            log-prob or advantage inside the mask that is none.
    """
    objective = announced_objective(config.policy_loss, clip_settings(config))
    mask = response_mask.bool()
    sampler = old_log_prob if objective.anchor == "rollout" else None
    if sampler is not None and rollout_is_weights is not None:
        raise ValueError("anchor='rollout' with rollout_is_weights: verl recomputed old_log_probs; " + BYPASS)
    per_token, metrics = objective.per_token(log_prob, old_log_prob, advantages, mask, logp_rollout=sampler)
    metrics.pop("rollout_kl", None)  # old and sampler are one tensor here
    first_use = first_use_metrics("verl", objective, log_prob, old_log_prob, mask, known=known_tokens)
    _record(config.policy_loss, objective, log_prob, old_log_prob, advantages, mask)
    if rollout_is_weights is not None:
        per_token = per_token * torch.where(mask, rollout_is_weights, 0.0)
    loss = core_algos.agg_loss(
        loss_mat=per_token, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **config.global_batch_info
    )
    log_ratio = torch.where(mask, log_prob.detach() - old_log_prob, 0.0).float()
    approx = -hold(log_ratio).sum(), mask.sum()
    return loss, _reported({**metrics, "ppo_kl": approx}) | metric_floats(first_use, "actor/band/")


def _record(policy: Any, objective: Objective, new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor) -> None:
    """Keep what the loss saw, where the settings ask for it."""
    every = policy.get("record_every") or 0
    if not every:
        return
    options = tuple((name, value) for name, value in objective.options.items() if isinstance(value, (int, float, str)))
    recording = call_recording(str(policy.get("record_folder")), every, objective.method.name, options)
    recording.add(new, old, advantages, mask, old if objective.anchor == "rollout" else None)


def _reported(metrics: Metrics) -> dict[str, float]:
    """Return means and, for what is clipped, shares of all tokens; the same names on every rank and micro-batch.

    verl gathers metrics by name and refuses ranks that lack one.
    """
    sums = torch.stack([torch.stack([total, count.to(total)]) for total, count in metrics.values()]).tolist()
    table = dict(zip(metrics, sums, strict=True))
    tokens = max(table["clip"][1], 1.0)
    values = {}
    for name, (total, count) in table.items():
        nothing = 1.0 if name == "weight" else 0.0
        of_all = name.startswith(("clip", "dual_clip"))
        values[f"actor/band_{name}"] = total / tokens if of_all else total / count if count else nothing
    values["actor/ppo_kl"] = values.pop("actor/band_ppo_kl")
    values["actor/pg_clipfrac"] = values["actor/band_clip_high"] + values["actor/band_clip_low"]
    values["actor/pg_clipfrac_lower"] = values.get("actor/band_dual_clip", 0.0)
    return values


def register() -> None:
    """Put the loss into verl's registry; RuntimeError where another package has taken its name."""
    taken = core_algos.POLICY_LOSS_REGISTRY.get(NAME, bandpo_loss)
    if taken.__module__ != __name__:
        raise RuntimeError(f"verl has a loss {NAME!r} from {taken.__module__}: two packages cannot share the name")
    core_algos.register_policy_loss(NAME)(bandpo_loss)


def refuse_early() -> None:
    """Let every `ActorConfig` that chooses this loss refuse what contradicts its method when it is made.

    In a verl that has no such class the loss refuses at its first update.
    """
    actor_config = getattr(verl_config, "ActorConfig", None)
    stock = getattr(actor_config, "__post_init__", None)
    if actor_config is None or stock is None or hasattr(stock, "refuses_for_bandpo"):
        return

    @functools.wraps(stock)
    def __post_init__(self: Any) -> None:
        stock(self)
        if check_actor(self) is not None:
            watch_workers()

    __post_init__.refuses_for_bandpo = True  # pyright: ignore[reportAttributeAccessIssue]
    actor_config.__post_init__ = __post_init__


register()
refuse_early()
