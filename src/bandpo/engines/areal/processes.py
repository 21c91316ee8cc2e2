"""A method in AReaL's processes: it has no hook, so a function and two classes of it are replaced."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from typing import Any

from bandpo.engines.areal.adapter import ADAPTER, check_config, with_band

PACKAGE = "bandpo.engines.areal"
RELEASES = ("1.0.4",)
VARIABLE = "BANDPO"
ENGINES = {"FSDPPPOActor": "areal.engine.fsdp_engine", "MegatronPPOActor": "areal.engine.megatron_engine"}


def check_release(version: str | None = None) -> None:
    """Raise RuntimeError unless this release of AReaL, the installed one by default, was tested."""
    version = importlib.metadata.version("areal") if version is None else version
    if version not in RELEASES:
        raise RuntimeError(f"areal {version}: this adapter is written for {', '.join(RELEASES)} and no other")


def install(options: Mapping[str, Any] | None = None) -> None:
    """Put the method into this process's AReaL, and into the workers it starts.

    Args:
        options: method, band_delta, method_kwargs and anchor; the JSON object in the environment variable BANDPO if
            not given, which is how workers get them.

    Raises:
        RuntimeError: another release of AReaL.
        TypeError, ValueError: no options, an unknown method, one that needs what AReaL does not hand to a loss.
    """
    check_release()
    is_worker = options is None
    options = _from_environment() if options is None else dict(options)
    ADAPTER.objective_for(options)
    os.environ[VARIABLE] = json.dumps(options)
    actor: Any = importlib.import_module("areal.trainer.ppo.actor")
    stock = getattr(actor.ppo_actor_loss_fn, "__wrapped__", actor.ppo_actor_loss_fn)
    actor.ppo_actor_loss_fn = with_band(stock, options)
    if not is_worker:
        _check_engines_of(importlib.import_module("areal.trainer.rl_trainer").PPOTrainer, options)
    engine: Any = importlib.import_module("areal.engine")
    for name in ENGINES:
        vars(engine).pop(name, None)
        engine._LAZY_IMPORTS[name] = PACKAGE


def _check_engines_of(trainer: Any, options: Mapping[str, Any]) -> None:
    """Let AReaL's trainer refuse what contradicts the method, and backends whose workers would not import us."""
    stock = getattr(trainer._create_train_engine, "__wrapped__", trainer._create_train_engine)

    @functools.wraps(stock)
    def create(self: Any, actor_config: Any, alloc: Any) -> Any:
        if alloc.backend not in ("fsdp", "megatron"):
            raise ValueError(f"backend={alloc.backend!r}: expected fsdp or megatron with bandpo.engines.areal")
        check_config(options, actor_config)
        return stock(self, actor_config, alloc)

    trainer._create_train_engine = create


def _from_environment() -> dict[str, Any]:
    text = os.environ.get(VARIABLE, "")
    if not text.startswith("{"):
        raise ValueError(f"{VARIABLE}={text!r}: expected a JSON object; set it in scheduling_spec[0].env_vars")
    return json.loads(text)


@functools.cache
def engine_class(name: str) -> type:
    """Return AReaL's engine of that name, which installs the method in the process it is made in.

    Raises:
        ValueError: when made, for a configuration whose loss is another or an environment without options.
    """
    stock = getattr(importlib.import_module(ENGINES[name]), name)

    def __init__(self: Any, config: Any) -> None:
        install()
        check_config(_from_environment(), config)
        stock.__init__(self, config)

    # AReaL's controllers send this name to their workers, which import it from here.
    return type(name, (stock,), {"__init__": __init__, "__module__": PACKAGE})
