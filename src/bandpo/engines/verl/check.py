"""What `bandpo doctor verl` asks of a verl command line, by the names of its hydra configuration."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from typing import Any

from bandpo.engines.common.adapter import OPTIONS
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.options import Options, count, flat, number, prefixed
from bandpo.engines.common.own_settings import is_off
from bandpo.engines.common.releases import installed, release
from bandpo.engines.common.updates import acts, why_one_update
from bandpo.engines.verl import config as verl_config
from bandpo.engines.verl import trl_names
from bandpo.engines.verl.names import ACTOR, CORRECTION, POLICY, ROLLOUT, TARGET, unknown_names
from bandpo.engines.verl.options import (
    CLIP,
    NAME,
    OF_OTHER_LOSSES,
    check_actor,
    check_bypass,
    unused_dual_clip,
)

TESTED = ("0.7.1", "0.8.0", "0.9.1")
# The trainer backends that have run with this loss.
RAN = ("fsdp", "fsdp2")


def check(options: Options) -> list[Finding]:
    """Return findings for overrides such as `actor_rollout_ref.actor.ppo_epochs`; what is not given is verl's default.

    Where verl is installed, its own configuration is composed: names it lacks are failures, its defaults are read.

    >>> lines = {"actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla"}
    >>> [finding.text for finding in check(lines) if finding.level == "fail"][-1]
    "policy_loss.loss_mode='vanilla': verl trains with a loss of its own"
    """
    findings = [installed("verl", "0.7", TESTED)]
    if findings[0].level != "fail":
        findings += [_imports(), *_trl()]
    try:
        config = verl_config.composed(options)
    except ValueError as error:
        return [*findings, Finding("fail", str(error))]
    findings += unknown_names(options, config)
    if config is not None:
        options = {**flat(config), **options}
    mode = options.get(f"{POLICY}.loss_mode", "vanilla")
    if mode != NAME:
        text = f"policy_loss.loss_mode={mode!r}: verl trains with a loss of its own"
        return [*findings, Finding("fail", text, f"{POLICY}.loss_mode={NAME} {POLICY}._target_={TARGET}")]
    findings += [_reaches_workers(options), *_backend(options)]
    objective, of_objective = _objective(options)
    findings += of_objective
    if objective is not None:
        findings += [*_anchor(options, objective), *_averages(options, objective), _activity(options, objective)]
    return findings


def _imports() -> Finding:
    """Return whether the adapter can be imported, and with it every module of verl that it needs."""
    try:
        importlib.import_module("bandpo.engines.verl.adapter")
    except Exception as error:
        return Finding("fail", f"the loss is not registered: {error}", "see docs/engines/verl.md")
    return Finding("ok", f"the loss is registered as {NAME!r}")


def _trl() -> list[Finding]:
    """Return a failure where verl would die of the TRL beside it."""
    names = trl_names.lacking()
    if not names:
        return []
    text = f"verl imports {', '.join(names)} from TRL, trl {_version('trl')} has none: workers die as they start"
    return [Finding("fail", text, "pip install 'trl<1.13' beside verl, or pip uninstall trl")]


def _backend(options: Options) -> list[Finding]:
    """Return a warning for a trainer backend on which nobody has run the loss."""
    by_name = "megatron" if "megatron" in f"{options.get('config_name')} {options.get('model_engine')}" else RAN[0]
    strategy = options.get(f"{ACTOR}.strategy", by_name)
    if strategy in RAN:
        return []
    text = f"actor.strategy={strategy!r}: verl calls the loss there as it does under FSDP, but it has not run there"
    return [Finding("warn", text, "compare the first steps of method=grpo with loss_mode=vanilla")]


def _reaches_workers(options: Options) -> Finding:
    """Return by which of verl's ways the worker processes import the loss."""
    ours = [name for name in OPTIONS if any(key.startswith(f"{POLICY}.{name}") for key in options)]
    if options.get(f"{POLICY}._target_") == TARGET:
        return Finding("ok", "every worker imports the loss: policy_loss._target_ names it")
    if ours:
        text = f"policy_loss.{ours[0]} is not an option of verl's own PolicyLossConfig"
        return Finding("fail", text, f"{POLICY}._target_={TARGET}")
    modules = os.environ.get("VERL_USE_EXTERNAL_MODULES", "").split(",")
    libraries = str(options.get("actor_rollout_ref.model.external_lib", ""))
    if "bandpo.engines.verl" in [*modules, libraries]:
        return Finding("ok", "every worker imports the loss; its method is band-kl with the paper's radius")
    plugins = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    if release(_version("verl", TESTED[-1])) >= (0, 9) and (plugins == "auto" or NAME in plugins.split(",")):
        return Finding(
            "ok", "verl's plugin mechanism registers the loss; its method is band-kl with the paper's radius"
        )
    why = f"VERL_USE_EXTERNAL_PLUGINS={plugins}" if plugins != "auto" else "verl before 0.9 has no plugins"
    return Finding("fail", f"nothing makes the workers import the loss ({why})", f"{POLICY}._target_={TARGET}")


def _version(package: str, otherwise: str = "") -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return otherwise


def _objective(options: Options) -> tuple[Objective | None, list[Finding]]:
    """Return what the options name, with what was refused or warned about on the way."""
    policy: dict[str, Any] = {name: options[f"{POLICY}.{name}"] for name in OPTIONS if f"{POLICY}.{name}" in options}
    if kwargs := prefixed(options, f"{POLICY}.method_kwargs"):
        policy["method_kwargs"] = kwargs
    # Only what reaches the workers under policy_loss tells the loss of bypass mode.
    interpolated = str(options.get(f"{POLICY}.rollout_correction", "")) == f"${{{CORRECTION}}}"
    policy["rollout_correction"] = prefixed(options, CORRECTION if interpolated else f"{POLICY}.rollout_correction")
    try:
        if "band_delta" in policy:
            policy["band_delta"] = number(policy, "band_delta")
        clip = {name: number(options, f"{ACTOR}.{name}", default) for name, (_, default) in CLIP.items()}
        others = {n: number(options, f"{ACTOR}.{n}", default) for n, (default, *_) in OF_OTHER_LOSSES.items()}
        policy |= {"loss_mode": NAME, **prefixed(others, "policy_loss")}
        objective = check_actor({**others, **clip, "policy_loss": policy})
    except (TypeError, ValueError) as error:
        return None, [Finding("fail", str(error))]
    assert objective is not None
    settings = ", ".join(f"{name}={value!r}" for name, value in objective.options.items() if value is not None)
    applied = Finding("ok", f"method={objective.method.name!r}" + (f" with {settings}" if settings else ""))
    unused, cap = unused_dual_clip(objective, kwargs, clip), clip["clip_ratio_c"]
    if unused is not None:
        return objective, [applied, unused]
    if is_off(cap, objective.dual_clip) and objective.dual_clip != cap:
        return objective, [applied, Finding("ok", f"actor.clip_ratio_c={cap:g} counts as off")]
    return objective, [applied]


def _anchor(options: Options, objective: Objective) -> list[Finding]:
    """Return whose log-probs divide, and what makes them others than they seem."""
    bypass = options.get(f"{CORRECTION}.bypass_mode") in (True, "True", "true")
    temperature = number(options, f"{ROLLOUT}.temperature", 1.0)
    if bypass and options.get(f"{ROLLOUT}.calculate_log_probs") in (False, "False", "false"):
        return [Finding("fail", "bypass mode without the sampler's log-probs", f"{ROLLOUT}.calculate_log_probs=True")]
    try:
        check_bypass(prefixed(options, CORRECTION) if bypass else {})
    except ValueError as error:
        return [Finding("fail", str(error))]
    if bypass:
        findings = [
            Finding("ok", "bypass mode: verl's old_log_probs are the sampler's, and the ratio is divided by them")
        ]
        if objective.anchor == "old":
            text = "the method is published with recomputed log-probs, bypass mode puts the sampler's in their place"
            findings.append(Finding("warn", text, f"{CORRECTION}.bypass_mode=False recomputes them"))
        text = (
            "main_ppo_v0 and verl before 0.9 write loss_mode=bypass_mode into their own copy of the configuration; "
            "workers keep theirs"
        )
        findings.append(Finding("warn", text, "actor/band_* in the logs says that this loss runs"))
    elif objective.anchor == "rollout":
        text = f"policy_loss.rollout_correction says bypass mode, {CORRECTION} does not: old_log_probs are recomputed"
        return [Finding("fail", text, f"{CORRECTION}.bypass_mode=True")]
    else:
        text = f"the ratio is divided by old_log_probs, which verl recomputes at temperature {temperature:g}"
        findings = [Finding("ok", text)]
    cuts = {"top_p": (1, 1.0), "top_k": (-1, 0)}
    cut_off = {name: options.get(f"{ROLLOUT}.{name}", off[0]) for name, off in cuts.items()}
    shown = ", ".join(f"{name}={value}" for name, value in cut_off.items() if value not in cuts[name])
    if shown:
        text = f"rollout.{shown}: sampling cuts the vocabulary, recomputed log-probs do not"
        findings.append(Finding("warn", text, "see docs/which-log-probs.md"))
    return findings


def _averages(options: Options, objective: Objective) -> list[Finding]:
    mode = options.get(f"{ACTOR}.loss_agg_mode", "token-mean")
    if objective.method.scope != "sequence" or mode == "seq-mean-token-mean":
        return []
    text = (
        f"method={objective.method.name!r} is published with a mean over each response, loss_agg_mode={mode!r} is not"
    )
    return [Finding("warn", text, f"{ACTOR}.loss_agg_mode=seq-mean-token-mean")]


def _activity(options: Options, objective: Objective) -> Finding:
    """Return whether the ratio can leave 1."""
    names = {"data.train_batch_size": 1024, f"{ACTOR}.ppo_mini_batch_size": 256, f"{ACTOR}.ppo_epochs": 1}
    batch, mini_batch, epochs = (count(options, name, default) for name, default in names.items())
    inactive = why_one_update(batch, mini_batch, epochs)
    if inactive is None:
        return acts(f"each batch is used for {epochs * max(batch // mini_batch, 1)} updates")
    if objective.anchor == "rollout":
        text = "one update per batch: only the sampler's numerics move the ratio from 1"
        return Finding("warn", text, inactive.advice)
    return inactive
