"""What `bandpo doctor nemo_rl` asks, of NeMo-RL's configuration by dotted names."""

from __future__ import annotations

from types import SimpleNamespace

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options, prefixed
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, cannot_act
from bandpo.engines.nemo_rl.adapter import ADAPTER, OTHER_LOSSES

_DEFAULTS = {
    "ratio_clip_min": 0.2,
    "ratio_clip_max": 0.2,
    "ratio_clip_c": None,
    "use_importance_sampling_correction": False,
}
# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *(f"loss_fn.{name}" for name in ("bandpo", *_DEFAULTS, *OTHER_LOSSES, "token_level_loss")),
    *("loss_fn.truncated_importance_sampling_ratio", "loss_fn.truncated_importance_sampling_ratio_min"),
    *("grpo.num_prompts_per_step", "grpo.num_generations_per_prompt", "grpo.val_num_generations_per_prompt"),
    *("policy.train_global_batch_size", "policy.train_micro_batch_size"),
)


def check(options: Options) -> list[Finding]:
    """Return findings for a GRPO configuration of NeMo-RL.

    >>> [finding.level for finding in check({"loss_fn.bandpo.method": "band-kl"})][1:]
    ['ok', 'warn']
    """
    release = installed("nemo-rl", "0.6.0", ("0.6.0", "0.7.0"), install="NeMo-RL is installed from its repository")
    findings = known_names(release, "NeMo-RL", options, KNOWN)
    objective_options = method_options(options, "loss_fn.bandpo")
    if not objective_options:
        advice = "python -m bandpo.engines.nemo_rl SCRIPT +loss_fn.bandpo.method=band-kl"
        return [*findings, Finding("fail", "no loss_fn.bandpo: NeMo-RL's own loss", advice)]
    stock = SimpleNamespace(**{**_DEFAULTS, **prefixed(options, "loss_fn")})
    return [*findings, ADAPTER.finding(objective_options, stock, "the trainer's previous"), _updates(options)]


def _updates(options: Options) -> Finding:
    """Return whether a batch is used for more than one optimizer step."""
    names = ("grpo.num_prompts_per_step", "grpo.num_generations_per_prompt", "policy.train_global_batch_size")
    prompts, answers, batch = (count(options, name) for name in names)
    if None in (prompts, answers, batch):
        return Finding("warn", f"whether the ratio leaves 1 depends on {', '.join(names)}", "give all three")
    if prompts * answers > batch:
        return acts(f"{prompts * answers / batch:g} updates a step")
    return cannot_act("each step is one update", "policy.train_global_batch_size below prompts times generations")
