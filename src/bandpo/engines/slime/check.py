"""What `bandpo doctor slime` asks, of slime's flags with underscores and `bandpo.*` of the YAML file."""

from __future__ import annotations

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.handover import check_choice
from bandpo.engines.common.options import Options, choice, number
from bandpo.engines.common.releases import installed
from bandpo.engines.slime.adapter import PATH, choose

# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("loss_type", "custom_loss_function_path", "custom_megatron_init_path", "custom_config_path", "bandpo"),
    *("advantage_estimator", "eps_clip", "eps_clip_high", "eps_clip_c", "value_clip", "use_rollout_logprobs"),
    *("num_steps_per_rollout", "rollout_batch_size", "n_samples_per_prompt", "n_samples_per_eval_prompt"),
    *("global_batch_size", "micro_batch_size", "kl_loss_type"),
)


def check(options: Options) -> list[Finding]:
    """Findings for slime's flags with underscores, and `bandpo.*` from the YAML file.

    >>> given = {"loss_type": "custom_loss", "custom_loss_function_path": "bandpo.engines.slime.loss"}
    >>> [f.level for f in check({**given, "num_steps_per_rollout": 4, "bandpo.method": "band-kl"})][1:]
    ['ok', 'ok', 'ok']
    """
    found = known_names(
        installed("slime", "0.2.4", ("0.3.1",), install="slime is installed from its repository"),
        "slime",
        options,
        KNOWN,
    )
    kind, path = options.get("loss_type"), options.get("custom_loss_function_path")
    if (kind, path) == ("custom_loss", PATH):
        found.append(Finding("ok", "slime loads our loss in every Megatron worker"))
    else:
        text = f"--loss-type {kind} --custom-loss-function-path {path}: another loss"
        found.append(Finding("fail", text, f"--loss-type custom_loss --custom-loss-function-path {PATH}"))
    given, sampler = choice(options, "bandpo"), options.get("use_rollout_logprobs") in (True, "true")
    names = {"advantage_estimator": "grpo", "eps_clip": 0.2, "eps_clip_high": None, "eps_clip_c": None}
    settings = {name: options.get(name, default) for name, default in names.items()}
    try:
        choose(type("Arguments", (), {**settings, "use_rollout_logprobs": sampler, "bandpo": given}))
    except (TypeError, ValueError) as error:
        found.append(Finding("fail", f"the adapter refuses these options: {error}"))
    else:
        whose = "the sampler's" if sampler else "Megatron's recomputed"
        found.append(check_choice("slime", {**given, "anchor": None}, whose=whose))
    steps = number(options, "num_steps_per_rollout")
    if steps is None:
        steps = number(options, "rollout_batch_size", 0) * number(options, "n_samples_per_prompt", 1)
        steps /= number(options, "global_batch_size", 0) or float("inf")
    if steps > 1:
        found.append(Finding("ok", f"{steps:g} updates a rollout: the ratio leaves 1, the region acts"))
    elif sampler:
        found.append(
            Finding("warn", "one update a rollout: sampler and trainer differ by rounding and staleness alone")
        )
    else:
        text = "no more than one update a rollout: the ratio is always 1, every method trains like every other"
        found.append(Finding("fail", text, "--num-steps-per-rollout 4"))
    return found
