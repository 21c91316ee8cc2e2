"""What a `BandGRPOConfig` refuses: options of TRL's that contradict the method, or that nothing reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import trl
from packaging.version import Version
from transformers import GenerationConfig, TrainingArguments
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.core.checks import suggestion
from bandpo.core.methods.registry import methods
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.names import did_you_mean
from bandpo.engines.common.objective import Objective
from bandpo.engines.trl.fields import FIELDS, changed

if TYPE_CHECKING:
    from bandpo.engines.trl.config import BandGRPOConfig
    from bandpo.engines.trl.options import BandOptions

# The losses that bound single tokens; before 1.10 TRL's luspo counts padding tokens too.
CLIPPED_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo")
if Version(trl.__version__) >= Version("1.10"):
    CLIPPED_LOSSES += ("luspo",)
# What `generation_kwargs` would set behind the back of the option that the log-probs and the doctor go by.
_OF_SAMPLING = {"max_new_tokens": "max_completion_length", "num_return_sequences": "num_generations"}
_OF_SAMPLING |= {name: name for name in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
# How TRL averages a loss of its own whose rule is a method here.
AVERAGED_AS = {"cispo": "dapo", "sapo": "grpo"}


def refuse_options(config: BandGRPOConfig) -> None:
    """Raise ValueError at the first option that would have no effect, or that leaves nothing to bound."""
    refuse_loss_type(config, CLIPPED_LOSSES)
    refuse_importance_sampling_level(config)
    if config.use_liger_kernel and hasattr(GRPOTrainer, "compute_liger_loss"):
        raise ValueError(
            f"use_liger_kernel=True: the fused loss of TRL {trl.__version__} clips every token to the two numbers it "
            "was made with, and takes no bounds of tokens: expected False, or TRL 1.14 or newer, where the option "
            "leaves the loss alone"
        )
    for name, value in changed(config, GRPOConfig, TrainingArguments):
        if name in FIELDS and FIELDS[name].kind == "refused":
            raise ValueError(f"{name}={value!r} has no effect with method={config.method!r}: {FIELDS[name].note}")
    refuse_clip_range(config)
    _refuse_delta(config)
    _refuse_generation_kwargs(config)


def refuse_importance_sampling_level(config: Any) -> None:
    """Raise ValueError at ratios of whole responses, which bounds of tokens do not fit."""
    if (level := config.importance_sampling_level) != "token":
        instead = "" if config.method == "gspo" else ", or method='gspo' for ratios of whole responses"
        raise ValueError(f"importance_sampling_level={level!r}: expected 'token'{instead}")


def refuse_loss_type(config: Any, clipped: tuple[str, ...]) -> None:
    """Raise ValueError at a loss of TRL's that is none of `clipped`, with what to write in its place."""
    loss_type = config.loss_type
    if loss_type in clipped:
        return
    name = str(loss_type).replace("_", "-")
    if loss_type == "luspo":
        instead = "; it counts padding tokens before TRL 1.10" if clipped == CLIPPED_LOSSES else ""
    elif name in methods():
        instead = f"; use method={name!r} with loss_type={AVERAGED_AS.get(name, 'dapo')!r}"
        if name == "cispo" and config.epsilon_high is not None:
            instead += f" and method_kwargs={{'max_ratio': {config.epsilon_high!r}}}"
    else:
        meant = did_you_mean(str(loss_type), clipped, 0.8)
        instead = f"; did you mean {meant!r}?" if meant else ""
    raise ValueError(
        f"loss_type={loss_type!r} does not bound single tokens in TRL {trl.__version__}: "
        f"expected one of {', '.join(clipped)}{instead}"
    )


def _refuse_generation_kwargs(config: BandGRPOConfig) -> None:
    """Refuse what is an option of its own, and names that transformers would keep and never read."""
    known = vars(GenerationConfig())
    options: Any = config.generation_kwargs or {}
    for name, value in options.items():
        if name in _OF_SAMPLING:
            raise ValueError(f"generation_kwargs={{{name!r}: {value!r}}}: expected the option {_OF_SAMPLING[name]}")
        if name not in known and not config.use_vllm:
            near = suggestion(name, known)
            raise ValueError(f"generation_kwargs={{{name!r}: {value!r}}}: no option of generation{near}")


def notices(config: BandGRPOConfig) -> list[Finding]:
    """Return what the method's user may not expect, before the configuration's own `__post_init__`."""
    findings = [
        Finding(
            "warn",
            f"{name}={value!r}: bandpo does not know this option of TRL {trl.__version__}, nor whether it changes the "
            f"loss of method={config.method!r}",
        )
        for name, value in changed(config, GRPOConfig, TrainingArguments)
        if name not in FIELDS
    ]
    delta = config.delta
    if delta is not None and delta < _highest_ratio(config.objective()):
        text = f"delta={delta!r} also caps the ratio of good tokens, which method={config.method!r} lets rise further"
        advice = f"method_kwargs={{'dual_clip': {delta!r}}} caps bad tokens alone"
        findings.append(Finding("warn", text, advice))
    return findings


def refuse_clip_range(config: BandOptions) -> None:
    """Raise ValueError at a clip range of TRL's beside a method that has bounds of its own."""
    objective = config.objective()
    for option, name in (("epsilon", "eps_low"), ("epsilon_high", "eps_high")):
        value = getattr(config, option)
        if value == getattr(type(config), option):
            continue
        if config.method != "grpo":
            instead = _in_method_kwargs(objective, option, name, value)
            raise ValueError(f"{option}={value!r} has no effect with method={config.method!r}: {instead}")
        if objective.options[name] != value:
            raise ValueError(f"{option}={value!r} and method_kwargs[{name!r}]={objective.options[name]!r}: give one")


def _in_method_kwargs(objective: Objective, option: str, name: str, value: Any) -> str:
    """Return what to write in place of TRL's clip range."""
    # TRL's CISPO takes epsilon_high for the cap itself.
    is_cap = (objective.method.name, option) == ("cispo", "epsilon_high")
    for hyperparameter in ("max_ratio",) if is_cap else (name, "eps"):
        if hyperparameter in objective.options:
            return f"use method_kwargs={{{hyperparameter!r}: {value!r}}}"
    return f"leave it out, method_kwargs takes {', '.join(objective.options)}"


def _refuse_delta(config: BandGRPOConfig) -> None:
    """Refuse a two-sided clip that is no cap above 1, or one beside another."""
    delta, objective = config.delta, config.objective()
    if delta is None:
        return
    if not isinstance(delta, (int, float)) or not 1 < delta < math.inf:
        meant = "did you mean band_delta?" if "delta" in objective.options else "expected above 1"
        raise ValueError(f"delta={delta!r} is TRL's two-sided clip, a cap on the ratio above 1: {meant}")
    if objective.dual_clip is not None:
        raise ValueError(f"delta={delta!r} and dual_clip={objective.dual_clip!r}: give one")


def _highest_ratio(objective: Objective) -> float:
    """Return the highest ratio the method lets a good token reach, 0 where that takes more than its old log-prob."""
    if not objective.is_interval or objective.method.inputs:
        return 0.0
    logp = torch.tensor([-20.0, -10.0, -5.0, -2.0, -1.0, -0.1])
    return objective.interval(logp).high.exp().max().item()


def refuse_for_method(config: BandGRPOConfig) -> None:
    """Raise ValueError at the first setting under which the method's loss would be another."""
    objective, here = config.objective(), f"with method={config.method!r}"
    method = objective.method
    if not config.band_top_k >= 1:
        raise ValueError(f"band_top_k={config.band_top_k!r}: expected at least 1")
    if config.band_top_k != 20 and "topk_logp" not in method.inputs:
        raise ValueError(f"band_top_k={config.band_top_k!r} has no effect {here}")
    for option in ("entropy_coef", "use_adaptive_entropy"):
        if method.family == "bonus" and (value := getattr(config, option, None)):
            raise ValueError(f"{option}={value!r} {here} adds two bonuses: give one")
    if objective.is_interval:
        return
    for option in ("delta", "off_policy_mask_threshold"):
        if (value := getattr(config, option)) is not None:
            raise ValueError(f"{option}={value!r} {here}, which clips no ratio of TRL's: expected None")
    if method.anchor == "rollout" and config.use_vllm and config.vllm_importance_sampling_correction:
        raise ValueError(
            f"vllm_importance_sampling_correction=True {here}: its ratio is already new/sampler, the correction "
            "would count the mismatch twice; expected False"
        )
    if "topk_logp" in method.inputs and config.use_vllm:
        raise ValueError(f"use_vllm=True {here}: TRL asks vLLM for the sampled token alone; expected False")
    if "group_rewards" in method.inputs:
        _refuse_split_groups(config, here)


def _refuse_split_groups(config: BandGRPOConfig, here: str) -> None:
    """Raise ValueError unless every process has whole groups, with rewards that nothing has rescaled."""
    if config.scale_rewards != "none":
        raise ValueError(f"scale_rewards={config.scale_rewards!r} {here}: expected 'none', rewards as they are")
    answers = config.per_device_train_batch_size * (config.steps_per_generation or 1)
    group = config.num_generations or 1
    if answers % group:
        raise ValueError(f"num_generations={group} {here}: expected a divisor of the {answers} answers a process makes")
