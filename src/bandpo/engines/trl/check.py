"""What `bandpo doctor trl` asks: the version, whether the options are accepted, and whether the ratio can leave 1."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from bandpo.engines.common.findings import Finding, FindingWarning, names_findings
from bandpo.engines.common.options import Options, number, prefixed
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, inactivity

if TYPE_CHECKING:
    from bandpo.engines.trl.options import BandOptions

_TESTED = ("1.0.0", "1.6.0", "1.10.0", "1.13.0", "1.16.0")


class _Kind(NamedTuple):
    """A trainer of ours: the module of its configuration, and both names."""

    module: str
    config: str
    trainer: str


TRAINERS = {
    "grpo": _Kind("config", "BandGRPOConfig", "BandGRPOTrainer"),
    "async-grpo": _Kind("async_grpo", "BandAsyncGRPOConfig", "BandAsyncGRPOTrainer"),
    "sdpo": _Kind("sdpo", "BandSDPOConfig", "BandSDPOTrainer"),
}
"""What the option `trainer`, which is the doctor's own, may be; the trainer's name is taken too."""


def check(options: Options) -> list[Finding]:
    """Return findings for the options of a configuration by their names, of `BandGRPOConfig` unless `trainer` is given.

    >>> [finding.level for finding in check({"num_iterations": 2})]
    ['ok', 'ok', 'ok', 'ok']
    >>> check({"trainer": "sdpo", "num_iterations": 2, "distillation_weight": 0.5})[1].text
    "BandSDPOTrainer applies method='band-kl' with delta=0.05, lower='band', upper='band'"
    """
    findings = [installed("trl", "1.0", _TESTED, install="pip install 'bandpo[train]'")]
    if findings[0].level == "fail":
        return findings
    given = {name: value for name, value in options.items() if name != "trainer"}
    try:
        kind = _kind(options.get("trainer", "grpo"))
        made = _config_of(kind)
    except (ImportError, ValueError) as error:
        return [*findings, Finding("fail", str(error))]
    fields = _fields(made)
    findings += _names(given, fields, kind)
    values = _values(given, fields)
    try:
        config, warned = _configuration(made, values)
    except (TypeError, ValueError) as error:
        return [*findings, Finding("fail", f"{kind.config} refuses these options: {error}")]
    return [*findings, *warned, _method(config, kind), *_log_probs(config, kind), _updates(config)]


def _kind(name: object) -> _Kind:
    """Return the trainer of that name; ValueError where there is none."""
    for short, kind in TRAINERS.items():
        if name in (short, kind.trainer):
            return kind
    raise ValueError(f"trainer={name!r}: expected one of {', '.join(TRAINERS)}")


def _config_of(kind: _Kind) -> type:
    """Return the configuration's class; ImportError where this TRL has not got the trainer."""
    return getattr(importlib.import_module(f"bandpo.engines.trl.{kind.module}"), kind.config)


def _fields(made: type) -> set[str]:
    return {field.name for field in dataclasses.fields(made) if field.init}


def _values(options: Options, fields: set[str]) -> dict[str, Any]:
    """Return the arguments of a configuration, numbers and mappings read."""
    from bandpo.engines.trl.ranges import RANGES

    values = {name: value for name, value in options.items() if name in fields}
    mappings = {name: prefixed(options, name) for name in fields if name.endswith("_kwargs")}
    values |= {name: mapping for name, mapping in mappings.items() if mapping}
    return values | {name: number(values, name) for name in RANGES if values.get(name) not in (None, "auto")}


def _configuration(made: type, options: Options) -> tuple[Any, list[Finding]]:
    """Return the configuration of these options, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # The machine that asks need not be the one that trains.
        config = made(**{"output_dir": "unused", **options, "use_cpu": True, "bf16": False, "fp16": False})
    return config, [one.message.finding for one in caught if isinstance(one.message, FindingWarning)]


def _method(config: BandOptions, kind: _Kind) -> Finding:
    """Return what the trainer applies."""
    values = {name: value for name, value in config.hyperparameters().items() if value is not None}
    hyperparameters = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "no hyperparameters"
    return Finding("ok", f"{kind.trainer} applies method={config.method!r} with {hyperparameters}")


def _updates(config: Any) -> Finding:
    """Return whether a batch is used for more than one optimizer step, or by a policy that is further than its own."""
    if hasattr(config, "max_staleness"):
        if config.max_staleness > 0:
            return acts(f"max_staleness={config.max_staleness} lets answers be older than the policy")
        text = "max_staleness=0: only the mismatch of vLLM and the trainer moves the ratio from 1"
        return Finding("warn", text, "set max_staleness above 0")
    steps = config.steps_per_generation or 1
    finding = inactivity(config.num_iterations, steps, config.gradient_accumulation_steps)
    return finding or acts("each batch is used for more than one update")


def _names(options: Options, fields: set[str], kind: _Kind) -> list[Finding]:
    """Return failures for misspelt options, and a warning that names those of another's, such as a script's own."""
    mistakes = [one for one in names_findings(kind.config, options, fields | _of_scripts()) if one.level == "fail"]
    if mistakes:
        return mistakes
    unknown = sorted(name for name in options if name.partition(".")[0] not in fields)
    if not unknown:
        return []
    text = f"not options of {kind.config}, and not looked at: {', '.join(unknown)}"
    return [Finding("warn", text, _other_trainer(unknown))]


def _other_trainer(unknown: list[str]) -> str:
    """Return which trainer has all of these options that are no script's, "" for none."""
    of_trainers = set(unknown) - _of_scripts()
    for name, kind in TRAINERS.items() if of_trainers else ():
        with contextlib.suppress(ImportError):
            if of_trainers <= _fields(_config_of(kind)):
                return f"trainer={name} looks at them, options of {kind.config}"
    return ""


def _of_scripts() -> set[str]:
    """Return the options of TRL's own scripts, of models and data sets."""
    from trl import ModelConfig, ScriptArguments  # pyright: ignore[reportPrivateImportUsage]

    return {field.name for one in (ModelConfig, ScriptArguments) for field in dataclasses.fields(one)}


def _log_probs(config: Any, kind: _Kind) -> list[Finding]:
    """Return whose log-probs divide, and what makes them others than the sampler's."""
    anchor = config.objective().anchor
    if kind is TRAINERS["async-grpo"]:
        whose = "the ratio is divided by the log-probs of the server's own tokens"
    elif anchor == "rollout" and not config.use_vllm:
        whose = "the sampler's log-probs are the old policy's own (no vLLM): both anchors are one"
    elif anchor == "rollout":
        whose = "the ratio is divided by vLLM's log-probs"
    else:
        whose = "the ratio is divided by the log-probs TRL recomputes under the old policy"
    findings = [Finding("ok", f"{whose}, at temperature {config.temperature:g}")]
    neutral = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}
    chosen = {name: getattr(config, name, off) for name, off in neutral.items()}
    changed = {name: value for name, value in chosen.items() if value not in (neutral[name], None)}
    if changed:
        settings = ", ".join(f"{name}={value}" for name, value in changed.items())
        advice = "see docs/which-log-probs.md"
        findings.append(Finding("warn", f"{settings}: sampling changes the distribution, the log-probs do not", advice))
    return findings
