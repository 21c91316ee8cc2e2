"""What `bandpo doctor openrlhf` asks, of OpenRLHF's flags by their dotted names and `bandpo.*` of the JSON object."""

from __future__ import annotations

from types import SimpleNamespace

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options, number
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, cannot_act
from bandpo.engines.openrlhf.adapter import ADAPTER, RELEASES

# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    "bandpo",
    *(f"actor.{name}" for name in ("policy_loss_type", "eps_clip", "eps_clip_low_high", "dual_clip", "loss_agg_mode")),
    *(
        "train.max_epochs",
        "train.batch_size",
        "train.micro_batch_size",
        "rollout.batch_size",
        "rollout.micro_batch_size",
    ),
    "rollout.n_samples_per_prompt",
)


def check(options: Options) -> list[Finding]:
    """Return findings for OpenRLHF.

    >>> [finding.level for finding in check({"bandpo.method": "band-kl", "train.max_epochs": 2})][1:]
    ['ok', 'ok']
    """
    release = installed("openrlhf", RELEASES[0], RELEASES, below="0.11.3")
    sides = options.get("actor.eps_clip_low_high") or [options.get("actor.eps_clip", 0.2)] * 2
    if not isinstance(sides, (list, tuple)) or len(sides) != 2:
        raise ValueError(f"actor.eps_clip_low_high={sides!r}: expected two numbers")
    stock = SimpleNamespace(
        policy_loss_type=options.get("actor.policy_loss_type", "ppo"),
        clip_eps_low=sides[0],
        clip_eps_high=sides[1],
        dual_clip=number(options, "actor.dual_clip"),
    )
    return [
        *known_names(release, "OpenRLHF", options, KNOWN),
        ADAPTER.finding(method_options(options, "bandpo"), stock, "the actor's recomputed"),
        _updates(options),
    ]


def _updates(options: Options) -> Finding:
    """Return whether a rollout is used for more than one optimizer step."""
    epochs = count(options, "train.max_epochs", 1)
    rollouts = count(options, "rollout.batch_size", 1024) * count(options, "rollout.n_samples_per_prompt", 1)
    updates = epochs * rollouts / count(options, "train.batch_size", 128)
    if updates > 1:
        return acts(f"{updates:g} updates a rollout")
    return cannot_act("each rollout is used for one update", "--train.max_epochs 2")
