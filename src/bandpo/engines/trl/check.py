"""What `bandpo doctor trl` asks: the version, whether the options are accepted, and whether the ratio can leave 1."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING

from bandpo.engines.common.findings import Finding, FindingWarning, names_findings
from bandpo.engines.common.options import Options, number, prefixed
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts, inactivity

if TYPE_CHECKING:
    from bandpo.engines.trl.config import BandGRPOConfig

_TESTED = ("1.0.0", "1.6.0", "1.10.0", "1.13.0", "1.16.0")


def check(options: Options) -> list[Finding]:
    """Return findings for `BandGRPOConfig` options by their names.

    >>> [finding.level for finding in check({"num_iterations": 2})]
    ['ok', 'ok', 'ok', 'ok']
    """
    findings = [installed("trl", "1.0", _TESTED, install="pip install 'bandpo[train]'")]
    if findings[0].level == "fail":
        return findings
    from bandpo.engines.trl.config import BandGRPOConfig
    from bandpo.engines.trl.ranges import RANGES

    fields = {field.name for field in dataclasses.fields(BandGRPOConfig) if field.init}
    findings += _names(options, fields)
    values = {name: value for name, value in options.items() if name in fields}
    mappings = {name: prefixed(options, name) for name in fields if name.endswith("_kwargs")}
    values |= {name: mapping for name, mapping in mappings.items() if mapping}
    values |= {name: number(values, name) for name in RANGES if values.get(name) not in (None, "auto")}
    try:
        config, warned = _configuration(values)
    except (TypeError, ValueError) as error:
        return [*findings, Finding("fail", f"BandGRPOConfig refuses these options: {error}")]
    return [*findings, *warned, _method(config), *_log_probs(config), _updates(config)]


def _configuration(options: Options) -> tuple[BandGRPOConfig, list[Finding]]:
    """Return the configuration of these options, and what it warns of."""
    from bandpo.engines.trl.config import BandGRPOConfig

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # The machine that asks need not be the one that trains.
        config = BandGRPOConfig(**{"output_dir": "unused", **options, "use_cpu": True, "bf16": False, "fp16": False})
    return config, [one.message.finding for one in caught if isinstance(one.message, FindingWarning)]


def _method(config: BandGRPOConfig) -> Finding:
    """Return what the trainer applies."""
    values = {name: value for name, value in config.hyperparameters().items() if value is not None}
    hyperparameters = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "no hyperparameters"
    return Finding("ok", f"BandGRPOTrainer applies method={config.method!r} with {hyperparameters}")


def _updates(config: BandGRPOConfig) -> Finding:
    """Return whether a batch is used for more than one optimizer step."""
    steps = config.steps_per_generation or 1
    finding = inactivity(config.num_iterations, steps, config.gradient_accumulation_steps)
    return finding or acts("each batch is used for more than one update")


def _names(options: Options, fields: set[str]) -> list[Finding]:
    """Return failures for misspelt options, and a warning that names those of another's, such as a script's own."""
    mistakes = [one for one in names_findings("BandGRPOConfig", options, fields | _of_scripts()) if one.level == "fail"]
    if mistakes:
        return mistakes
    unknown = sorted(name for name in options if name.partition(".")[0] not in fields)
    text = f"not options of BandGRPOConfig, and not looked at: {', '.join(unknown)}"
    return [Finding("warn", text)] if unknown else []


def _of_scripts() -> set[str]:
    """Return the options of TRL's own scripts, of models and data sets."""
    from trl import ModelConfig, ScriptArguments  # pyright: ignore[reportPrivateImportUsage]

    return {field.name for one in (ModelConfig, ScriptArguments) for field in dataclasses.fields(one)}


def _log_probs(config: BandGRPOConfig) -> list[Finding]:
    """Return whose log-probs divide, and what makes them others than the sampler's."""
    anchor = config.objective().anchor
    if anchor == "rollout" and not config.use_vllm:
        whose = "the sampler's log-probs are the old policy's own (no vLLM): both anchors are one"
    elif anchor == "rollout":
        whose = "the ratio is divided by vLLM's log-probs"
    else:
        whose = "the ratio is divided by the log-probs TRL recomputes under the old policy"
    findings = [Finding("ok", f"{whose}, at temperature {config.temperature:g}")]
    neutral = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}
    changed = {name: getattr(config, name) for name, off in neutral.items() if getattr(config, name) not in (off, None)}
    if changed:
        settings = ", ".join(f"{name}={value}" for name, value in changed.items())
        advice = "see docs/which-log-probs.md"
        findings.append(Finding("warn", f"{settings}: sampling changes the distribution, the log-probs do not", advice))
    return findings
