"""What `bandpo doctor skyrl` asks, of SkyRL's options by their dotted names."""

from __future__ import annotations

from types import SimpleNamespace

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, cannot_act
from bandpo.engines.skyrl.adapter import ADAPTER, CLIP_SETTINGS, NAME, objective_for

ENTRYPOINT = "bandpo.engines.skyrl"
# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("trainer.override_entrypoint", "trainer.fully_async", "generator.sampling_params", "trainer.algorithm.bandpo"),
    *("trainer.algorithm.policy_loss_type", "trainer.algorithm.off_policy_correction", "trainer.algorithm.temperature"),
    *(f"trainer.algorithm.{name}" for name, *_ in CLIP_SETTINGS),
    *("trainer.update_epochs_per_batch", "trainer.train_batch_size", "trainer.eval_batch_size"),
    *("trainer.policy_mini_batch_size", "trainer.critic_mini_batch_size"),
)


def check(options: Options) -> list[Finding]:
    """Return findings for SkyRL's command-line options.

    >>> lines = {"trainer.override_entrypoint": "bandpo.engines.skyrl", "trainer.algorithm.bandpo.band_delta": 0.05}
    >>> [finding.level for finding in check(lines)][1:]
    ['ok', 'ok', 'ok']
    """
    findings = known_names(installed("skyrl", "0.3.0", ("0.3.0", "0.4.0")), "SkyRL", options, KNOWN)
    entrypoint = options.get("trainer.override_entrypoint")
    if entrypoint == ENTRYPOINT:
        findings.append(Finding("ok", "SkyRL's main hands over to bandpo.engines.skyrl"))
    else:
        text = f"trainer.override_entrypoint={entrypoint!r}: SkyRL's own main knows no {NAME}"
        findings.append(Finding("fail", text, f"trainer.override_entrypoint={ENTRYPOINT}"))
    name = options.get("trainer.algorithm.policy_loss_type", NAME)
    if name != NAME:
        findings.append(Finding("fail", f"trainer.algorithm.policy_loss_type={name!r}: another loss", "leave it out"))
    return [*findings, _objective(options), _updates(options)]


def _objective(options: Options) -> Finding:
    """Return whether the loss takes the method, and the rest of the configuration goes with it."""
    tis = options.get("trainer.algorithm.off_policy_correction.tis_ratio_type")
    clip = {name: options.get(f"trainer.algorithm.{name}") for name, *_ in CLIP_SETTINGS}
    named = method_options(options, "trainer.algorithm.bandpo")
    config = SimpleNamespace(bandpo=named, off_policy_correction=SimpleNamespace(tis_ratio_type=tis), **clip)
    finding = ADAPTER.finding(named, config, "SkyRL's recomputed")
    if finding.level != "ok":
        return finding
    anchor = objective_for(config).anchor
    if options.get("trainer.fully_async.enabled") in (True, "true") and anchor == "old":
        text = "fully asynchronous training keeps no old policy: the ratio is always 1, no trust region acts"
        return Finding("fail", text, "trainer.algorithm.bandpo.anchor=rollout")
    if anchor == "rollout" and options.get("generator.sampling_params.logprobs", 1) in (None, "null"):
        return Finding("fail", "ratios to the sampler need its log-probs", "generator.sampling_params.logprobs=1")
    return finding


def _updates(options: Options) -> Finding:
    """Return whether a batch is used for more than one optimizer step; the numbers not given are SkyRL's."""
    epochs = count(options, "trainer.update_epochs_per_batch", 1)
    batch = count(options, "trainer.train_batch_size", 1024)
    mini_batch = count(options, "trainer.policy_mini_batch_size", 256)
    if options.get("trainer.fully_async.enabled") in (True, "true"):
        return Finding("ok", "the sampler lags behind the trainer: ratios to it leave 1")
    if epochs * batch > mini_batch:
        return acts(f"{epochs * batch / mini_batch:g} updates a batch")
    advice = "trainer.policy_mini_batch_size below trainer.train_batch_size, or more epochs"
    return cannot_act("each batch is used for one update", advice)
