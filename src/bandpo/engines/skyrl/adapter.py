"""SkyRL's policy loss `bandpo`, and the entrypoint that registers it."""

from __future__ import annotations

import sys
from dataclasses import field, make_dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.handover import metric_floats
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import refuse_clip_range, refuse_correction

NAME = "bandpo"
CLIP_SETTINGS = (
    ("eps_clip_low", 0.2, "eps_low"),
    ("eps_clip_high", 0.2, "eps_high"),
    ("clip_ratio_c", 3.0, "dual_clip"),
)


def loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    config: Any,
    loss_mask: Tensor | None = None,
    rollout_logprobs: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Return SkyRL's policy loss, a masked sum, and its metrics; `config.bandpo` names the method.

    Raises:
        TypeError, ValueError: a method or hyperparameters that cannot be honoured here, see `objective_for`.
    """
    from skyrl.backends.skyrl_train.utils.off_policy_correction_utils import (  # pyright: ignore[reportMissingImports]
        apply_off_policy_correction,
    )
    from skyrl.backends.skyrl_train.utils.ppo_utils import reduce_loss  # pyright: ignore[reportMissingImports]

    mask = torch.ones_like(log_probs, dtype=torch.bool) if loss_mask is None else loss_mask != 0
    objective = objective_for(config)
    per_token, metrics = objective.per_token(log_probs, old_log_probs, advantages, mask, logp_rollout=rollout_logprobs)
    metrics |= first_use_metrics("SkyRL", objective, log_probs, old_log_probs, mask, rollout_logprobs)
    old = torch.where(mask, old_log_probs, 0.0).float()
    rollout = None if rollout_logprobs is None else torch.where(mask, rollout_logprobs, 0.0).float()
    per_token, loss_mask, correction_metrics = apply_off_policy_correction(
        per_token, old, rollout, loss_mask, config.off_policy_correction
    )
    means = metric_floats(metrics)
    return reduce_loss(per_token, loss_mask), {"clip_ratio": means["band/clip"], **means, **correction_metrics}


def objective_for(config: Any) -> Objective:
    """Return the objective that SkyRL's algorithm configuration names.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs what SkyRL does not hand to a loss, or settings that contradict
            it.
    """
    options = getattr(config, "bandpo", None)
    if options is None:
        raise ValueError("no trainer.algorithm.bandpo: expected trainer.override_entrypoint=bandpo.engines.skyrl")
    return ADAPTER.objective_for(options, config)


def _refuse(objective: Objective, config: Any) -> None:
    if not objective.method.scales_with_advantage:
        name = objective.method.name
        raise ValueError(f"method={name!r}: SkyRL divides advantages by token counts before the loss")
    if (correction := config.off_policy_correction.tis_ratio_type) is not None:
        refuse_correction(objective, f"off_policy_correction.tis_ratio_type={correction!r}")
    for name, default, hyperparameter in CLIP_SETTINGS:
        value = getattr(config, name, None)
        refuse_clip_range(objective, {f"trainer.algorithm.{name}": (value, default, hyperparameter)})


ADAPTER = Adapter("SkyRL", provided=("logp_rollout",), refuse=_refuse)


def algorithm_config() -> type:
    """Return SkyRL's `AlgorithmConfig` with `bandpo`, a dict of method, band_delta, method_kwargs and anchor, in it."""
    from skyrl.train.config import AlgorithmConfig  # pyright: ignore[reportMissingImports]

    added = [("policy_loss_type", str, NAME), ("bandpo", dict, field(default_factory=dict))]
    return make_dataclass("BandAlgorithmConfig", added, bases=(AlgorithmConfig,))


def register() -> None:
    """Put the loss into SkyRL's registry, for entrypoints of your own; workers get it from there."""
    from skyrl.backends.skyrl_train.utils.ppo_utils import PolicyLossRegistry  # pyright: ignore[reportMissingImports]

    if NAME not in PolicyLossRegistry.list_available():
        PolicyLossRegistry.register(NAME, loss)


def configure(arguments: list[str]) -> Any:
    """Return SkyRL's training configuration from command-line arguments; registers the loss, checks the method."""
    from skyrl.train.config import make_config  # pyright: ignore[reportMissingImports]

    own = [argument for argument in arguments if not argument.startswith("trainer.override_entrypoint=")]
    cfg = make_config(algorithm_cls=algorithm_config()).from_cli_overrides(own)
    check_config(cfg)
    register()
    return cfg


def check_config(cfg: Any) -> None:
    """Raise ValueError at what contradicts the method in a whole configuration of SkyRL's.

    Args:
        cfg: SkyRL's training configuration, with `bandpo` under trainer.algorithm.
    """
    algorithm = cfg.trainer.algorithm
    if algorithm.policy_loss_type != NAME:
        if algorithm.bandpo:
            name = algorithm.policy_loss_type
            raise ValueError(f"trainer.algorithm.policy_loss_type={name!r} beside trainer.algorithm.bandpo: give one")
        return
    objective = objective_for(algorithm)
    is_async = getattr(getattr(cfg.trainer, "fully_async", None), "enabled", False)
    if is_async and objective.anchor == "old":
        raise ValueError(
            "trainer.fully_async.enabled=True keeps no old policy: expected trainer.algorithm.bandpo.anchor=rollout"
        )
    sampling = getattr(getattr(cfg, "generator", None), "sampling_params", None)
    if objective.anchor == "rollout" and sampling is not None and sampling.logprobs is None:
        raise ValueError("generator.sampling_params.logprobs=None with ratios to the sampler: expected 1")


def main() -> None:
    """Run SkyRL's own `main`, which `trainer.override_entrypoint` calls, with our configuration."""
    import ray  # pyright: ignore[reportMissingImports]
    from skyrl.train.entrypoints.main_base import skyrl_entrypoint  # pyright: ignore[reportMissingImports]
    from skyrl.train.utils import initialize_ray, validate_cfg  # pyright: ignore[reportMissingImports]

    cfg = configure(sys.argv[1:])
    validate_cfg(cfg)
    initialize_ray(cfg)
    ray.get(skyrl_entrypoint.remote(cfg))
