"""What `bandpo doctor slime` asks, of slime's or a fork's flags with underscores and `bandpo.*` of the YAML file."""

from __future__ import annotations

from types import SimpleNamespace

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, cannot_act
from bandpo.engines.slime.adapter import ADAPTER, PATH

_DEFAULTS = {"advantage_estimator": "grpo", "eps_clip": 0.2, "eps_clip_high": None, "eps_clip_c": None}
# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("loss_type", "custom_loss_function_path", "custom_megatron_init_path", "custom_config_path", "bandpo"),
    *("value_clip", "use_rollout_logprobs", *_DEFAULTS),
    *("num_steps_per_rollout", "rollout_batch_size", "n_samples_per_prompt", "n_samples_per_eval_prompt"),
    *("global_batch_size", "micro_batch_size", "kl_loss_type"),
)


def check(options: Options) -> list[Finding]:
    """Return findings for slime's flags with underscores, and `bandpo.*` from the YAML file.

    >>> lines = {"loss_type": "custom_loss", "custom_loss_function_path": "bandpo.engines.slime.loss"}
    >>> [f.level for f in check({**lines, "num_steps_per_rollout": 4, "bandpo.method": "band-kl"})][1:]
    ['ok', 'ok', 'ok']
    """
    release = installed("slime", "0.2.4", ("0.3.1",), install="slime is installed from its repository")
    return check_flags(release, ADAPTER, PATH, options)


def check_flags(release: Finding, adapter: Adapter, path: str, options: Options) -> list[Finding]:
    """Return findings for the flags of slime or of a fork of it.

    Args:
        release: the finding about what is installed.
        adapter: the engine's.
        path: dotted, of the loss that --custom-loss-function-path must name.
        options: flags with underscores, and `bandpo.*` from the YAML file.
    """
    sampler = options.get("use_rollout_logprobs") in (True, "true")
    args = SimpleNamespace(**{name: options.get(name, default) for name, default in _DEFAULTS.items()})
    args.use_rollout_logprobs, args.bandpo = sampler, method_options(options, "bandpo")
    whose = "the sampler's" if sampler else "the trainer's recomputed"
    return [
        *known_names(release, adapter.engine, options, KNOWN),
        _loss(adapter.engine, path, options),
        adapter.finding(args.bandpo, args, whose),
        _updates(options, sampler),
    ]


def _loss(engine: str, path: str, options: Options) -> Finding:
    """Return whether the engine loads our loss."""
    kind, given = options.get("loss_type"), options.get("custom_loss_function_path")
    if (kind, given) == ("custom_loss", path):
        return Finding("ok", f"{engine} loads our loss in every training worker")
    text = f"--loss-type {kind} --custom-loss-function-path {given}: another loss"
    return Finding("fail", text, f"--loss-type custom_loss --custom-loss-function-path {path}")


def _updates(options: Options, sampler: bool) -> Finding:
    """Return whether a rollout is used for more than one optimizer step."""
    steps, batch = count(options, "num_steps_per_rollout"), count(options, "global_batch_size")
    prompts, answers = count(options, "rollout_batch_size"), count(options, "n_samples_per_prompt", 1)
    if steps is None:
        steps = 0 if prompts is None or batch is None else prompts * answers / batch
    if steps > 1:
        return acts(f"{steps:g} updates a rollout")
    if sampler:
        return Finding("warn", "one update a rollout: sampler and trainer differ by rounding and staleness alone")
    return cannot_act("no more than one update a rollout", "--num-steps-per-rollout 4")
