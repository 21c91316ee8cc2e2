"""Axolotl's YAML as TRL's options, and what of it contradicts a method; it needs TRL, not Axolotl."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trl import GRPOConfig  # pyright: ignore[reportPrivateImportUsage]

from bandpo.engines.common.names import hint
from bandpo.engines.trl.config import BandGRPOConfig, BandGRPOOptions

TRAINER = "bandpo.engines.axolotl.BandAxolotlGRPOTrainer"
OPTIONS = tuple(field.name for field in dataclasses.fields(BandGRPOOptions))
_TRLS = {field.name for field in dataclasses.fields(GRPOConfig)}
# Axolotl's name -> TRL's, where they differ.
_RENAMED = {"use_liger_loss": "use_liger_kernel", "vllm_guided_decoding_regex": "vllm_structured_outputs_regex"}
_BATCH = {
    "micro_batch_size": "per_device_train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
}
_OTHER_TRAINERS = ("async_prefetch", "use_data_producer")


def trl_options(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration of Axolotl's says of `BandGRPOConfig`'s options.

    >>> cfg = {"micro_batch_size": 8, "trl": {"num_iterations": 2, "top_p": None}, "bandpo": {"band_delta": 0.03}}
    >>> trl_options(cfg)
    {'num_iterations': 2, 'per_device_train_batch_size': 8, 'band_delta': 0.03}
    """
    own = {_RENAMED.get(name, name): value for name, value in (cfg.get("trl") or {}).items() if value is not None}
    options = {name: value for name, value in own.items() if name in _TRLS}
    if options.get("beta") is None and cfg.get("rl_beta") is not None:
        options["beta"] = cfg["rl_beta"]
    options |= {theirs: cfg[name] for name, theirs in _BATCH.items() if cfg.get(name) is not None}
    return options | dict(cfg.get("bandpo") or {})


def check_config(cfg: Mapping[str, Any]) -> None:
    """Raise unless a configuration of Axolotl's trains GRPO with the method that its block `bandpo` names.

    Args:
        cfg: as the YAML has it.

    Raises:
        TypeError: a name in `bandpo` that is no option, or a hyperparameter the method does not take.
        ValueError: a value out of range, an unknown method, a setting of Axolotl's that contradicts it.

    >>> check_config({"rl": "dpo"})
    Traceback (most recent call last):
    ValueError: rl='dpo': a trust region is for 'grpo' and 'gdpo'
    >>> check_config({"rl": "grpo", "bandpo": {"delta": 0.03}})
    Traceback (most recent call last):
    TypeError: bandpo.delta: expected one of method, band_delta, ..., did you mean 'band_delta'?
    """
    check_trainer(cfg)
    block = cfg.get("bandpo") or {}
    for name in block:
        if name not in OPTIONS:
            raise TypeError(f"bandpo.{name}: expected one of {', '.join(OPTIONS)}{hint(name, OPTIONS)}")
    BandGRPOConfig.check(trl_options(cfg))


def check_trainer(cfg: Mapping[str, Any]) -> None:
    """Raise ValueError where Axolotl would train with another trainer than ours."""
    rl, trainer = cfg.get("rl"), cfg.get("trainer_cls")
    if rl not in ("grpo", "gdpo"):
        raise ValueError(f"rl={rl!r}: a trust region is for 'grpo' and 'gdpo'")
    if trainer not in (None, TRAINER):
        raise ValueError(f"trainer_cls={trainer!r}: BandPlugin names the trainer, expected none")
    for name in _OTHER_TRAINERS:
        if (cfg.get("trl") or {}).get(name):
            raise ValueError(f"trl.{name}=True: Axolotl's asynchronous trainer has a loss of its own, expected False")
    parts = cfg.get("context_parallel_size") or 1
    if parts != 1:
        raise ValueError(f"context_parallel_size={parts!r}: expected 1, whole responses in every process")
