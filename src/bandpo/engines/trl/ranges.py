"""The range of every option of the trainer that is a number, looked at before anything is built from the options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """From `low` to `high`, `low` itself excluded where `is_open`."""

    low: float
    high: float = math.inf
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the value is a finite number of the range.

        >>> Range(0, 1).holds(1), Range(0, 1, is_open=True).holds(0), Range(0).holds(math.inf)
        (True, False, False)
        """
        return math.isfinite(value) and (value > self.low if self.is_open else value >= self.low) and value <= self.high

    def __str__(self) -> str:
        below = f"above {self.low:,.15g}" if self.is_open else f"at least {self.low:,.15g}"
        return f"a finite number, {below}" if self.high == math.inf else f"{below}, at most {self.high:,.15g}"


_COUNT = Range(1, 10**9)
_SIZE = Range(1, 10**6)
_POSITIVE = Range(0, is_open=True)
_NOT_NEGATIVE = Range(0)
_SHARE = Range(0, 1)
_DECAY = Range(0, 1 - 1e-9)
_STEPS = Range(0, 10**9, is_open=True)
_SEED = Range(0, 2**32 - 1)
RANGES = {
    "learning_rate": Range(0, 1000),
    "weight_decay": Range(0, 1000),
    "warmup_steps": Range(0, 10**9),
    "warmup_ratio": _SHARE,
    "max_grad_norm": _NOT_NEGATIVE,
    "adam_beta1": _DECAY,
    "adam_beta2": _DECAY,
    "adam_epsilon": _NOT_NEGATIVE,
    "label_smoothing_factor": _SHARE,
    "neftune_noise_alpha": _NOT_NEGATIVE,
    "beta": _NOT_NEGATIVE,
    "temperature": Range(0.001, 1000),
    "top_p": Range(0, 1, is_open=True),
    "top_k": Range(0, 10**9),
    "min_p": _SHARE,
    "repetition_penalty": _POSITIVE,
    "entropy_coef": Range(-1000, 1000),
    "entropy_coef_min": Range(-1000, 1000),
    "entropy_coef_max": Range(-1000, 1000),
    "entropy_coef_delta": _NOT_NEGATIVE,
    "entropy_target": _NOT_NEGATIVE,
    "top_entropy_quantile": Range(0, 1, is_open=True),
    "off_policy_mask_threshold": _NOT_NEGATIVE,
    "router_aux_loss_coef": _NOT_NEGATIVE,
    "ref_model_mixup_alpha": _SHARE,
    "ref_model_sync_steps": _COUNT,
    "num_train_epochs": Range(0, 10**9, is_open=True),
    "max_steps": Range(-1, 10**9),
    "per_device_train_batch_size": _SIZE,
    "per_device_eval_batch_size": _SIZE,
    "gradient_accumulation_steps": _SIZE,
    "steps_per_generation": _SIZE,
    "generation_batch_size": _COUNT,
    "num_iterations": _SIZE,
    "num_generations": Range(2, 10**6),
    "num_generations_eval": _SIZE,
    "max_completion_length": Range(1, 10**7),
    "max_tool_calling_iterations": _COUNT,
    "num_completions_to_print": _COUNT,
    "pad_to_multiple_of": _SIZE,
    "logging_steps": _STEPS,
    "save_steps": _STEPS,
    "eval_steps": _STEPS,
    "record_every": Range(0, 10**9),
    "record_tokens": _COUNT,
    "eval_delay": _NOT_NEGATIVE,
    "eval_accumulation_steps": _SIZE,
    "torch_empty_cache_steps": _COUNT,
    "save_total_limit": _COUNT,
    "dataloader_num_workers": Range(0, 4096),
    "dataloader_prefetch_factor": _SIZE,
    "ddp_bucket_cap_mb": _SIZE,
    "ddp_timeout": _COUNT,
    "seed": _SEED,
    "data_seed": _SEED,
    "vllm_server_port": Range(1, 65535),
    "vllm_group_port": Range(1, 65535),
    "vllm_server_timeout": _NOT_NEGATIVE,
    "vllm_gpu_memory_utilization": Range(0, 1, is_open=True),
    "vllm_max_model_length": _COUNT,
    "vllm_tensor_parallel_size": _SIZE,
    "vllm_importance_sampling_cap": _POSITIVE,
    "vllm_importance_sampling_clip_max": _POSITIVE,
    "vllm_importance_sampling_clip_min": _NOT_NEGATIVE,
}


# What TRL looks at only when it has the first rewards.
CHOICES = {
    "scale_rewards": ("group", "batch", "none", True, False),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
}


def check_ranges(options: Mapping[str, Any]) -> None:
    """Raise ValueError at the first option whose number is out of its range, or which is none of its words.

    Args:
        options: values by name.

    Raises:
        TypeError: a text where a number is expected.

    >>> check_ranges({"temperature": 1.0, "top_p": None})
    """
    if options.get("max_steps") == 0:
        raise ValueError("max_steps=0: expected at least 1, or -1 for as many as num_train_epochs takes")
    for name, allowed in RANGES.items():
        value = options.get(name)
        if isinstance(value, str) and (name, value) != ("pad_to_multiple_of", "auto"):
            raise TypeError(f"{name}={value!r}: expected a number")
        if isinstance(value, (int, float)) and not allowed.holds(value):
            raise ValueError(f"{name}={value!r}: expected {allowed}")
    for name, words in CHOICES.items():
        if name in options and options[name] not in words:
            expected = ", ".join(map(repr, words[:3]))
            raise ValueError(f"{name}={options[name]!r}: expected one of {expected}")
    weights = options.get("reward_weights")
    if isinstance(weights, list) and not all(map(math.isfinite, weights)):
        raise ValueError(f"reward_weights={weights!r}: expected finite numbers")
