"""What `bandpo doctor areal` asks, of AReaL's configuration by dotted names and `bandpo.*` of `install`'s options."""

from __future__ import annotations

from bandpo.engines.areal.adapter import PROVIDED, check_settings, choose
from bandpo.engines.areal.processes import RELEASES
from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.handover import check_choice
from bandpo.engines.common.options import Options, choice, number, prefixed
from bandpo.engines.common.releases import installed

# What this check and the adapter read, and neighbours of similar names.
_ACTOR = ("eps_clip", "eps_clip_higher", "c_clip", "use_sapo_loss", "ppo_n_minibatches", "importance_sampling_level")
_ACTOR += ("rejection_sampling", "prox_logp_method", "use_decoupled_loss", "recompute_logprob", "reward_clip")
KNOWN = ("bandpo", *(f"actor.{name}" for name in _ACTOR))


def check(options: Options) -> list[Finding]:
    """Findings for AReaL.

    >>> [finding.level for finding in check({"bandpo.method": "band-kl"})][1:]
    ['ok', 'ok']
    """
    found = known_names(installed("areal", RELEASES[0], RELEASES, below="1.0.5"), "AReaL", options, KNOWN)
    given, actor = choice(options, "bandpo"), prefixed(options, "actor")
    try:
        one = choose(given)
        check_settings(one, {"eps_clip": 0.2, **{n: v for n, v in actor.items() if v is not None}})
    except (TypeError, ValueError) as error:
        found.append(Finding("fail", f"the adapter refuses these options: {error}"))
    else:
        found.append(check_choice("AReaL", given, PROVIDED, "AReaL's proximal"))
    if actor.get("use_sapo_loss") in (True, "true"):
        found.append(Finding("fail", "actor.use_sapo_loss=true: AReaL's own loss, not ours", "use_sapo_loss: false"))
    if number(options, "actor.ppo_n_minibatches", 4) > 1:
        return [*found, Finding("ok", "several mini-batches a step: the ratio leaves 1, the region acts")]
    text = "ppo_n_minibatches=1: only staleness (prox_logp_method) moves the ratio away from 1"
    return [*found, Finding("warn", text, "actor.ppo_n_minibatches=4")]
