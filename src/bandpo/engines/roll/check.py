"""What `bandpo doctor roll` asks, of ROLL's configuration by dotted names."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options, number
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts
from bandpo.engines.roll.adapter import ADAPTER, VARIABLE, objective_for

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
    """Return findings for an RLVR configuration of ROLL.

    >>> lines = {"actor_train.worker_cls": WORKER, "actor_train.system_envs.BANDPO": '{"method": "band-kl"}'}
    >>> [finding.level for finding in check({**lines, "ppo_epochs": 2})][1:]
    ['ok', 'ok', 'ok']
    """
    release = installed("roll", "0.2.0", ("0.3.0",), below="0.4", install="ROLL is installed from its repository")
    return [*known_names(release, "ROLL", options, KNOWN), _worker(options), _objective(options), _updates(options)]


def _worker(options: Options) -> Finding:
    """Return whether ROLL trains with our worker class."""
    worker = options.get("actor_train.worker_cls")
    if worker == WORKER:
        return Finding("ok", "ROLL builds its actor from our class")
    return Finding("fail", f"actor_train.worker_cls={worker!r}: another loss", f"worker_cls: {WORKER}")


def _objective(options: Options) -> Finding:
    """Return whether the worker takes the method and ROLL's settings."""
    config = SimpleNamespace(**{name: options.get(name, default) for name, default in _DEFAULTS.items()})
    is_weight = options.get("train_infer_correction.is_weight.enabled") in (True, "true")
    config.train_infer_correction = SimpleNamespace(is_weight=SimpleNamespace(enabled=is_weight))
    # `bandpo doctor` may have read the JSON object already, into options of dotted names.
    read = method_options(options, f"actor_train.system_envs.{VARIABLE}")
    text = json.dumps(read) if read else str(options.get(f"actor_train.system_envs.{VARIABLE}", ""))
    try:
        objective_for(config, {VARIABLE: text})
    except (TypeError, ValueError) as error:
        return Finding("fail", f"the adapter refuses these options: {error}")
    return ADAPTER.finding(json.loads(text), config, "ROLL's old")


def _updates(options: Options) -> Finding:
    """Return whether a batch is used for more than one optimizer step, as far as two settings tell."""
    if count(options, "ppo_epochs", 1) > 1:
        return acts("several passes over a batch")
    ahead = number(options, "async_generation_ratio", 0)
    if not 0 <= ahead < math.inf:
        raise ValueError(f"async_generation_ratio={ahead!r}: expected a finite number of at least 0")
    if ahead > 0:
        return acts("generation runs ahead of training")
    text = "ppo_epochs=1: the ratio leaves 1 only where a rollout batch is split into several optimizer steps"
    return Finding("warn", text, "compare actor/ratio_max in the logs with 1")
