"""What `bandpo doctor areal` asks, of AReaL's configuration by dotted names and `bandpo.*` of `install`'s options."""

from __future__ import annotations

from bandpo.engines.areal.adapter import ADAPTER
from bandpo.engines.areal.processes import RELEASES
from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options, prefixed
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts

# What this check and the adapter read, and neighbours of similar names.
_ACTOR = ("eps_clip", "eps_clip_higher", "c_clip", "use_sapo_loss", "ppo_n_minibatches", "importance_sampling_level")
_ACTOR += ("rejection_sampling", "prox_logp_method", "use_decoupled_loss", "recompute_logprob", "reward_clip")
KNOWN = ("bandpo", *(f"actor.{name}" for name in _ACTOR))


def check(options: Options) -> list[Finding]:
    """Return findings for AReaL.

    >>> [finding.level for finding in check({"bandpo.method": "band-kl"})][1:]
    ['ok', 'ok']
    """
    findings = known_names(installed("areal", RELEASES[0], RELEASES, below="1.0.5"), "AReaL", options, KNOWN)
    actor = prefixed(options, "actor")
    settings = {"eps_clip": 0.2, **{name: value for name, value in actor.items() if value is not None}}
    findings.append(ADAPTER.finding(method_options(options, "bandpo"), settings, "AReaL's proximal"))
    if actor.get("use_sapo_loss") in (True, "true"):
        findings.append(Finding("fail", "actor.use_sapo_loss=true: AReaL's own loss, not ours", "use_sapo_loss: false"))
    return [*findings, _updates(options)]


def _updates(options: Options) -> Finding:
    """Return whether a batch is used for more than one optimizer step."""
    if count(options, "actor.ppo_n_minibatches", 4) > 1:
        return acts("several mini-batches a step")
    text = "ppo_n_minibatches=1: only staleness (prox_logp_method) moves the ratio away from 1"
    return Finding("warn", text, "actor.ppo_n_minibatches=4")
