"""Every option of TRL's `GRPOConfig` beside a method of ours: what becomes of it. Read for TRL 1.0 to 1.16.

`BandGRPOConfig` refuses by this table, and docs/engines/trl.md shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

KINDS = {
    "acts": "TRL applies it, whatever the method",
    "limited": "TRL applies it; some values or methods are refused",
    "refused": "refused unless it has TRL's default: no loss that is left here reads it",
    "elsewhere": "of generation, models or logs, not of the loss",
}


class Field(NamedTuple):
    """What becomes of an option.

    Attributes:
        kind: a key of `KINDS`.
        note: how it acts, what is refused, or what to write in its place.
    """

    kind: str
    note: str = ""


_SAPO = "TRL reads it with loss_type='sapo' only; here method='sapo' takes method_kwargs={{{!r}: ...}}"
_VESPO = "TRL reads it with loss_type='vespo' only, and no method here is VESPO"
_ADAPTIVE = "with `use_adaptive_entropy`"
_MISMATCH = "how vLLM's mismatch is weighed, multiplied into every method's loss"

FIELDS: dict[str, Field] = {
    "loss_type": Field(
        "limited",
        "how tokens are averaged: 'grpo', 'bnpo', 'dr_grpo', 'dapo', from TRL 1.10 'luspo'; losses of their own are "
        "refused: `method='cispo'`, `method='sapo'` in their place",
    ),
    "epsilon": Field("limited", "the lower clip of `method='grpo'`; with every other, `method_kwargs`"),
    "epsilon_high": Field("limited", "the upper clip of `method='grpo'`; with every other, `method_kwargs`"),
    "delta": Field(
        "limited",
        "TRL's two-sided clip, a cap on the ratio above 1, with intervals only; the radius is `band_delta`, a cap on "
        "bad tokens alone `method_kwargs={'dual_clip': ...}`",
    ),
    "importance_sampling_level": Field("limited", "'token' only; `method='gspo'` has a ratio of whole responses"),
    "sapo_temperature_pos": Field("refused", _SAPO.format("tau_pos")),
    "sapo_temperature_neg": Field("refused", _SAPO.format("tau_neg")),
    "vespo_k_pos": Field("refused", _VESPO),
    "vespo_lambda_pos": Field("refused", _VESPO),
    "vespo_k_neg": Field("refused", _VESPO),
    "vespo_lambda_neg": Field("refused", _VESPO),
    "off_policy_mask_threshold": Field("limited", "drops whole responses; with intervals only"),
    "top_entropy_quantile": Field("acts", "the loss of the other tokens is dropped"),
    "entropy_coef": Field("limited", "TRL's entropy bonus; not beside `method='entropy'` or `'tre'`, which add one"),
    "use_adaptive_entropy": Field("limited", "as `entropy_coef`"),
    "entropy_coef_min": Field("acts", _ADAPTIVE),
    "entropy_coef_max": Field("acts", _ADAPTIVE),
    "entropy_coef_delta": Field("acts", _ADAPTIVE),
    "entropy_target": Field("acts", _ADAPTIVE),
    "beta": Field("acts", "the KL to the reference, added to every method's loss"),
    "use_bias_correction_kl": Field("acts", "the reference KL times TRL's own ratio, which no method bounds"),
    "sync_ref_model": Field("acts", "the reference"),
    "ref_model_mixup_alpha": Field("acts", "the reference"),
    "ref_model_sync_steps": Field("acts", "the reference"),
    "router_aux_loss_coef": Field("acts", "added to every method's loss"),
    "num_iterations": Field("acts", "whether the ratio leaves 1"),
    "steps_per_generation": Field("acts", "whether the ratio leaves 1"),
    "generation_batch_size": Field("acts", "whether the ratio leaves 1"),
    "temperature": Field("acts", "the log-probs are taken at it"),
    "cast_lm_head_to_fp32": Field("acts", "the log-probs"),
    "num_generations": Field("limited", "for `method='quatro'`, whole groups in every process"),
    "scale_rewards": Field("limited", "the advantages; 'none' for `method='quatro'`"),
    "reward_weights": Field("acts", "the advantages"),
    "multi_objective_aggregation": Field("acts", "the advantages"),
    "mask_truncated_completions": Field("acts", "such responses are masked"),
    "use_vllm": Field("limited", "not for `dppo-topk-tv`, `dppo-topk-kl`: TRL asks vLLM for the sampled token alone"),
    "vllm_importance_sampling_correction": Field(
        "limited", f"{_MISMATCH}; False where the method's own ratio is to the sampler"
    ),
    "vllm_importance_sampling_mode": Field("acts", _MISMATCH),
    "vllm_importance_sampling_clip_max": Field("acts", _MISMATCH),
    "vllm_importance_sampling_clip_min": Field("acts", _MISMATCH),
    "vllm_importance_sampling_cap": Field("acts", _MISMATCH),
    "use_liger_kernel": Field(
        "limited",
        "from TRL 1.14 on Liger's kernels of the model, beside any method; False before, where it is a fused loss that "
        "clips to two numbers",
    ),
}
_ELSEWHERE = """
    cache_implementation chat_template_kwargs disable_dropout ds3_gather_for_generation generation_kwargs
    log_completions log_completions_hub_repo log_multimodal log_unique_prompts max_completion_length
    max_tool_calling_iterations min_p model_init_kwargs num_completions_to_print num_generations_eval
    pad_to_multiple_of repetition_penalty shuffle_dataset top_k top_p transformers_continuous_batching_config
    trust_remote_code use_transformers_continuous_batching use_transformers_paged vllm_enable_sleep_mode
    vllm_gpu_memory_utilization vllm_group_port vllm_max_model_length vllm_mode vllm_model_impl vllm_server_base_url
    vllm_server_host vllm_server_port vllm_server_timeout vllm_structured_outputs_regex vllm_tensor_parallel_size
"""
FIELDS |= {name: Field("elsewhere") for name in _ELSEWHERE.split()}


def changed(config: Any, stock: type, base: type) -> Iterator[tuple[str, Any]]:
    """Yield the options of `stock` that `config` has changed, those of `base` left out: name and value.

    Args:
        config: an instance of a subclass of `stock`, before its `__post_init__`.
        stock: TRL's `GRPOConfig`.
        base: the class whose options are not TRL's own, `TrainingArguments`.
    """
    inherited = {field.name for field in dataclasses.fields(base)}
    for field in dataclasses.fields(stock):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if field.init and field.name not in inherited and (value := getattr(config, field.name)) != default:
            yield field.name, value


def rows() -> list[tuple[str, str, str]]:
    """Return the lines of the documentation's table: option, what becomes of it, and how."""
    return [(name, field.kind, field.note) for name, field in FIELDS.items() if field.kind != "elsewhere"]
