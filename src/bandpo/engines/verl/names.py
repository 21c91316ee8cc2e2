"""Names of verl's options: where ours are, and those that neither verl nor the loss reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandpo.engines.common.adapter import OPTIONS
from bandpo.engines.common.findings import Finding, names_findings
from bandpo.engines.common.options import Options, WrittenOptions, prefixed
from bandpo.engines.verl.config import unknown_findings
from bandpo.engines.verl.options import CLIP, OF_OTHER_LOSSES

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
POLICY, CORRECTION = f"{ACTOR}.policy_loss", "algorithm.rollout_correction"
TARGET = "bandpo.engines.verl.BandPolicyLossConfig"
# What this check reads, and its neighbours of similar names: where verl is not installed, all that names are held to.
RECORDING = ("record_every", "record_folder")
_GIVEN = ("_target_", "loss_mode", *OPTIONS, *RECORDING, "rollout_correction")
POLICY_FIELDS = (*_GIVEN, *prefixed(OF_OTHER_LOSSES, "policy_loss"))
KNOWN = (
    *(f"{POLICY}.{name}" for name in POLICY_FIELDS),
    *(f"{ACTOR}.{name}" for name in (*CLIP, *OF_OTHER_LOSSES) if "." not in name),
    *(f"{ACTOR}.{name}" for name in ("strategy", "ppo_epochs", "loss_agg_mode", "loss_scale_factor")),
    *(f"{ACTOR}.ppo_{name}" for name in ("mini_batch_size", "micro_batch_size", "micro_batch_size_per_gpu")),
    *(f"{ROLLOUT}.{name}" for name in ("temperature", "top_p", "top_k", "n", "calculate_log_probs")),
    *(f"{CORRECTION}.{name}" for name in ("bypass_mode", "loss_type", "rollout_is", "rollout_is_threshold")),
    *(f"{CORRECTION}.{name}" for name in ("rollout_rs", "rollout_rs_threshold", "rollout_is_batch_normalize")),
    *("data.train_batch_size", "data.val_batch_size", "data.gen_batch_size"),
    "actor_rollout_ref.model.external_lib",
)


def unknown_names(options: Options, config: Mapping[str, Any] | None) -> list[Finding]:
    """Return failures for names that neither verl nor the loss reads.

    Args:
        options: names and values.
        config: verl's own configuration, None where verl is not installed. Options under `policy_loss` are then held
            against the fields of `BandPolicyLossConfig`, all others only against what is close to a known name.

    >>> [finding.advice for finding in unknown_names({f"{POLICY}.band_detla": 0.05}, None)]
    ['did you mean actor_rollout_ref.actor.policy_loss.band_delta?']
    """
    if config is not None:
        if options.get(f"{POLICY}._target_") != TARGET:  # the check of the target line says what is wrong then
            others = {name: value for name, value in options.items() if not _is_ours(name)}
            options = WrittenOptions(others, getattr(options, "added", ()))
        return unknown_findings(options, config)
    policy = {name: value for name, value in options.items() if name.startswith(f"{POLICY}.")}
    rest = {name: value for name, value in options.items() if name not in policy}
    ours = [f"{POLICY}.{name}" for name in POLICY_FIELDS]
    values = [name for name in rest if any(one.startswith(f"{name}.") for one in KNOWN) and rest[name] is not None]
    return [
        *(Finding("fail", f"{name}={rest[name]!r}: a group of verl's, expected options below it") for name in values),
        *names_findings("BandPolicyLossConfig", policy, ours, is_complete=True),
        *names_findings("verl", rest, KNOWN),
    ]


def _is_ours(name: str) -> bool:
    return any(name == f"{POLICY}.{one}" or name.startswith(f"{POLICY}.{one}.") for one in OPTIONS)
