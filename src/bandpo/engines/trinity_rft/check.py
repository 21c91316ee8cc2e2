"""What `bandpo doctor trinity_rft` asks, of Trinity-RFT's configuration by dotted names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options, number
from bandpo.engines.common.releases import installed, is_installed
from bandpo.engines.common.updates import acts, cannot_act
from bandpo.engines.trinity_rft.adapter import ADAPTER, PATH

# Algorithms of Trinity-RFT's whose data has no advantages, or holds what an expert wrote beside what was sampled.
OTHER_DATA = ("cpt", "sft", "dpo", "raft", "mix", "mix_chord")
_EPOCHS = ("trainer.trainer_config.actor.ppo_epochs", "trainer.trainer_config.actor_rollout_ref.actor.ppo_epochs")
_INTERVALS = ("sync_interval", "explorer_sync_interval", "trainer_sync_interval")
# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *(f"algorithm.{name}" for name in ("policy_loss_fn", "policy_loss_fn_args", "loss_agg_mode", "algorithm_type")),
    *(f"algorithm.{name}_fn{args}" for name in ("kl_loss", "entropy_loss", "advantage") for args in ("", "_args")),
    "algorithm.bypass_old_logprobs",
    *(f"synchronizer.{name}" for name in (*_INTERVALS, "sync_offset", "sync_style", "sync_method")),
    *("trainer.trainer_type", *_EPOCHS),
)


def check(options: Options) -> list[Finding]:
    """Return findings for a configuration of Trinity-RFT.

    >>> args = {"algorithm.policy_loss_fn_args.loss_agg_mode": "token-mean"}
    >>> lines = {"algorithm.policy_loss_fn": PATH, **args, "synchronizer.sync_interval": 4}
    >>> [finding.level for finding in check(lines)][1:]
    ['ok', 'ok', 'ok']
    """
    release = installed("trinity-rft", "0.6.0", ("0.6.0",), below="0.7")
    findings = [*known_names(release, "Trinity-RFT", options, KNOWN), *_trainer(options)]
    return [*findings, _loss(options), _objective(options), _updates(options)]


def _trainer(options: Options) -> list[Finding]:
    """Return a failure where the installed verl is one that Trinity-RFT's trainer does not start with."""
    if options.get("trainer.trainer_type", "verl") != "verl" or not is_installed("verl"):
        return []
    found = installed("verl", "0.7.1", below="0.9")
    return [found] if found.level == "fail" else []


def _loss(options: Options) -> Finding:
    """Return whether Trinity-RFT builds our loss, and for an algorithm that has what it reads."""
    path, algorithm = options.get("algorithm.policy_loss_fn"), options.get("algorithm.algorithm_type", "ppo")
    if path != PATH:
        return Finding("fail", f"algorithm.policy_loss_fn={path!r}: another loss", f"algorithm.policy_loss_fn={PATH}")
    if algorithm in OTHER_DATA:
        text = f"algorithm.algorithm_type={algorithm!r} trains on data that was not sampled, or has no advantages"
        return Finding("fail", text, "grpo, ppo or another that does")
    return Finding("ok", "Trinity-RFT builds our loss in every worker")


def _objective(options: Options) -> Finding:
    """Return whether the loss takes its arguments."""
    named = method_options(options, "algorithm.policy_loss_fn_args")
    if not named and "algorithm.policy_loss_fn_args" not in options:  # its default_args
        named = {"loss_agg_mode": "token-mean"}
    own = SimpleNamespace(loss_agg_mode=named.pop("loss_agg_mode", None))
    return ADAPTER.finding(named, own, "the sampler's" if _is_bypassed(options) else "the trainer's recomputed")


def _is_bypassed(options: Options) -> bool:
    """Return whether the sampler's log-probs stand for the old policy's."""
    return options.get("algorithm.bypass_old_logprobs", True) not in (False, "false")


def _updates(options: Options) -> Finding:
    """Return whether weights change between a generation and the last update from it."""
    epochs = max(count(options, name, 1) for name in _EPOCHS)
    if epochs > 1:
        return acts(f"{epochs} passes over a batch")
    if not _is_bypassed(options):
        advice = "algorithm.bypass_old_logprobs=true"
        return cannot_act("old log-probs are recomputed for each batch, which is used for one update", advice)
    interval: Any = max(count(options, f"synchronizer.{name}", 1) for name in _INTERVALS)
    offset = number(options, "synchronizer.sync_offset", 0)
    if interval > 1 or offset > 0:
        return acts(f"weights are synchronized every {interval} steps, {offset:g} apart")
    text = "one update after each synchronization: sampler and trainer differ by rounding and staleness alone"
    return Finding("warn", text, "synchronizer.sync_interval above 1, or sync_offset")
