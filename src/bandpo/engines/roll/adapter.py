"""ROLL's own `loss_func`, run with the trust region of a method, and the worker class that runs it so."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import torch

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics, sampled_tokens
from bandpo.engines.common.handover import clip_settings, metric_floats
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, is_off, refuse_clip_range, refuse_correction

VARIABLE = "BANDPO"
PACKAGE = "bandpo.engines.roll"


def loss_func(
    stock: Any, worker: Any, objective: Objective, data: Any, output_tensor: Any
) -> tuple[Any, dict[str, float]]:
    """Return `stock`, the loss_func of ROLL's ActorWorker, run for this worker with the objective's trust region.

    The worker, its configuration and the batch are copied shallowly for the call; nothing of ROLL's is changed.
    """
    mask = data.batch["response_mask"][:, 1:] != 0
    new = worker.strategy.op_compute_log_probs(
        logits=output_tensor, input_ids=data.batch["input_ids"], attention_mask=data.batch["response_mask"]
    )
    old = worker.get_old_log_probs_with_cache(data, new)
    rollout = data.batch.get("infer_logprobs", None) if objective.anchor == "rollout" else None
    settings = clip_settings(objective, new, old, data.batch["advantages"], mask, logp_rollout=rollout)

    known = lambda: sampled_tokens(data.batch["input_ids"], data.batch["response_mask"])  # noqa: E731
    settings.metrics.update(first_use_metrics("ROLL", objective, new, old, mask, rollout, known))

    own = copy.copy(worker)
    own.strategy = _WithLogProbs(worker.strategy, new)
    own.get_old_log_probs_with_cache = lambda *_: old
    own.pipeline_config = config = copy.copy(worker.pipeline_config)
    config.use_pg_clip_range, config.pg_clip_low, config.pg_clip_high = True, settings.eps_low, settings.eps_high
    if not objective.is_interval:
        config.dual_clip_loss = False
    if settings.dual_clip is not None:  # ROLL caps at 1 + 2 pg_clip
        config.dual_clip_loss, config.pg_clip = True, (settings.dual_clip - 1) / 2
    handed = copy.copy(data)
    handed.batch = data.batch.copy()
    # ROLL's token-mean sums masked positions too.
    handed.batch["advantages"] = torch.where(mask, settings.advantages, 0.0)
    loss, metrics = stock(own, handed, output_tensor)
    return loss, {**metrics, **{f"actor/{n}@mean": value for n, value in metric_floats(settings.metrics).items()}}


class _WithLogProbs:
    """ROLL's strategy, whose log-probs are those it has already computed."""

    def __init__(self, strategy: Any, log_probs: Any):
        self._strategy, self._log_probs = strategy, log_probs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def op_compute_log_probs(self, **_: Any) -> Any:
        return self._log_probs


def objective_for(config: Any, environment: Mapping[str, str]) -> Objective:
    """Return the objective that the JSON object in `actor_train.system_envs.BANDPO` names.

    Args:
        config: ROLL's pipeline configuration.
        environment: `actor_train.system_envs`.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: no JSON object, an unknown method, one that needs what ROLL does not hand to a loss, or settings
            that contradict it.
    """
    text = environment.get(VARIABLE)
    try:
        options = read_object(f"actor_train.system_envs.{VARIABLE}", text or "")
    except ValueError as error:
        raise ValueError(f"{error}; expected a JSON object with a method") from None
    return ADAPTER.objective_for(options, config)


def _refuse(objective: Objective, config: Any) -> None:
    if config.importance_sampling != "token":
        raise ValueError(f"importance_sampling={config.importance_sampling!r}: expected 'token', the method decides")
    if config.train_infer_correction.is_weight.enabled:
        refuse_correction(objective, "train_infer_correction.is_weight")
    if config.use_pg_clip_range:
        refuse_clip_range(objective, {"pg_clip_low": (config.pg_clip_low, 0.2, "eps_low")})
        refuse_clip_range(objective, {"pg_clip_high": (config.pg_clip_high, 0.2, "eps_high")})
    elif not config.dual_clip_loss:
        refuse_clip_range(objective, {"pg_clip": (config.pg_clip, 0.2, "eps_high")})
    if config.dual_clip_loss:
        cap = 1 + 2 * config.pg_clip
        if not objective.is_interval and not is_off(cap):
            raise ValueError(f"dual_clip_loss=True with method={objective.method.name!r}, which clips no ratio")
        dual_clip(objective, "1 + 2 pg_clip of dual_clip_loss", cap)


ADAPTER = Adapter(
    "ROLL", provided=("logp_rollout",), hands_over="micro-batches of any size", too_wide=("batch",), refuse=_refuse
)


@functools.cache
def _worker_class() -> type:
    from roll.pipeline.rlvr.actor_worker import ActorWorker  # pyright: ignore[reportMissingImports]

    class BandActorWorker(ActorWorker):
        """ROLL's RLVR actor with the loss of `bandpo.engines.roll`."""

        @functools.wraps(ActorWorker.initialize)  # with what ROLL notes on it for its dispatch
        def initialize(self, pipeline_config: Any) -> Any:
            objective_for(pipeline_config, self.worker_config.system_envs)
            return super().initialize(pipeline_config)

        @functools.cached_property
        def objective(self) -> Objective:
            return objective_for(self.pipeline_config, self.worker_config.system_envs)

        def loss_func(self, data: Any, output_tensor: Any) -> tuple[Any, dict[str, float]]:
            return loss_func(ActorWorker.loss_func, self, self.objective, data, output_tensor)

    BandActorWorker.__module__, BandActorWorker.__qualname__ = PACKAGE, "BandActorWorker"
    return BandActorWorker


def __getattr__(name: str) -> Any:
    if name == "BandActorWorker":
        return _worker_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
