"""What `bandpo doctor roll` asks, of ROLL's configuration by dotted names."""

from __future__ import annotations

import json
from types import SimpleNamespace

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.handover import check_choice
from bandpo.engines.common.options import Options, choice, number
from bandpo.engines.common.releases import installed
from bandpo.engines.roll.adapter import PROVIDED, VARIABLE, choose

WORKER = "bandpo.engines.roll.BandActorWorker"
_DEFAULTS = {
    "importance_sampling": "token",
    "use_pg_clip_range": False,
    "pg_clip": 0.2,
    "pg_clip_low": 0.2,
    "pg_clip_high": 0.2,
    "dual_clip_loss": False,
}
# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("actor_train.worker_cls", f"actor_train.system_envs.{VARIABLE}", "ppo_epochs", "async_generation_ratio"),
    *("train_infer_correction", "loss_agg_mode", *_DEFAULTS),
)


def check(options: Options) -> list[Finding]:
    """Findings for an RLVR configuration of ROLL.

    >>> given = {"actor_train.worker_cls": WORKER, "actor_train.system_envs.BANDPO": '{"method": "band-kl"}'}
    >>> [finding.level for finding in check({**given, "ppo_epochs": 2})][1:]
    ['ok', 'ok', 'ok']
    """
    found = known_names(
        installed("roll", "0.2.0", ("0.3.0",), below="0.4", install="ROLL is installed from its repository"),
        "ROLL",
        options,
        KNOWN,
    )
    worker = options.get("actor_train.worker_cls")
    if worker == WORKER:
        found.append(Finding("ok", "ROLL builds its actor from our class"))
    else:
        found.append(Finding("fail", f"actor_train.worker_cls={worker!r}: another loss", f"worker_cls: {WORKER}"))
    config = SimpleNamespace(**{name: options.get(name, default) for name, default in _DEFAULTS.items()})
    is_weight = options.get("train_infer_correction.is_weight.enabled") in (True, "true")
    config.train_infer_correction = SimpleNamespace(is_weight=SimpleNamespace(enabled=is_weight))
    # `bandpo doctor` may have read the JSON object already, into options of dotted names.
    given = choice(options, f"actor_train.system_envs.{VARIABLE}")
    text = json.dumps(given) if given else str(options.get(f"actor_train.system_envs.{VARIABLE}", ""))
    try:
        choose(config, {VARIABLE: text})
    except (TypeError, ValueError) as error:
        found.append(Finding("fail", f"the adapter refuses these options: {error}"))
    else:
        found.append(check_choice("ROLL", json.loads(text), PROVIDED, "ROLL's old"))
    return [*found, _updates(options)]


def _updates(options: Options) -> Finding:
    """Whether a batch is used for more than one optimizer step, as far as two settings tell."""
    if number(options, "ppo_epochs", 1) > 1:
        return Finding("ok", "several passes over a batch: the ratio leaves 1, the region acts")
    if number(options, "async_generation_ratio", 0) > 0:
        return Finding("ok", "generation runs ahead of training: the ratio leaves 1, the region acts")
    text = "ppo_epochs=1: the ratio leaves 1 only where a rollout batch is split into several optimizer steps"
    return Finding("warn", text, "compare actor/ratio_max in the logs with 1")
