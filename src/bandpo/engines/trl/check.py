"""What `bandpo doctor trl` asks: the version, whether the options are accepted, and whether the ratio can leave 1."""

from __future__ import annotations

import dataclasses
import warnings

from bandpo.engines.common.findings import Finding, cut, names_findings
from bandpo.engines.common.options import Options
from bandpo.engines.common.releases import installed

_TESTED = ("1.0.0", "1.6.0", "1.10.0", "1.13.0", "1.16.0")


def check(options: Options) -> list[Finding]:
    """Findings for `BandGRPOConfig` options by their names.

    >>> [finding.level for finding in check({"num_iterations": 2})]
    ['ok', 'ok', 'ok', 'ok']
    """
    found = [installed("trl", "1.0", _TESTED, install="pip install 'bandpo[train]'")]
    if found[0].level == "fail":
        return found
    from bandpo.engines.trl import BandGRPOConfig, why_inactive

    fields = {field.name for field in dataclasses.fields(BandGRPOConfig) if field.init}
    found += _names(options, fields)
    given = {name: value for name, value in options.items() if name in fields}
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", UserWarning)
            # The machine that asks need not be the one that trains.
            config = BandGRPOConfig(**{"output_dir": "unused", **given, "use_cpu": True, "bf16": False, "fp16": False})
    except (TypeError, ValueError) as error:
        return [*found, Finding("fail", f"BandGRPOConfig refuses these options: {error}")]
    ours = [str(one.message) for one in warned if "method=" in str(one.message)]
    found += [Finding("warn", *cut(text)) for text in ours]
    found.append(Finding("ok", f"BandGRPOTrainer applies method={config.method!r} with {_shown(config)}"))
    found += _log_probs(config)
    sentence = why_inactive(config.num_iterations, config.steps_per_generation or 1, config.gradient_accumulation_steps)
    if sentence is not None:
        found.append(Finding("fail", *cut(sentence)))
    else:
        found.append(Finding("ok", "each batch is used for more than one update: the ratio leaves 1, the region acts"))
    return found


def _names(options: Options, fields: set[str]) -> list[Finding]:
    """Failures for misspelt options, and a warning that names those of another's, such as a script's own."""
    mistakes = [one for one in names_findings("BandGRPOConfig", options, fields | _of_scripts()) if one.level == "fail"]
    if mistakes:
        return mistakes
    unknown = sorted(options.keys() - fields)
    text = f"not options of BandGRPOConfig, and not looked at: {', '.join(unknown)}"
    return [Finding("warn", text)] if unknown else []


def _of_scripts() -> set[str]:
    """Options of TRL's own scripts, of models and data sets."""
    from trl import ModelConfig, ScriptArguments  # pyright: ignore[reportPrivateImportUsage]

    return {field.name for one in (ModelConfig, ScriptArguments) for field in dataclasses.fields(one)}


def _shown(config) -> str:
    given = {name: value for name, value in config.hyperparameters().items() if value is not None}
    return ", ".join(f"{name}={value!r}" for name, value in given.items()) or "no hyperparameters"


def _log_probs(config) -> list[Finding]:
    from bandpo.core.methods.registry import get_method

    anchor = get_method(config.method).anchor
    if anchor == "rollout" and not config.use_vllm:
        whose = "the sampler's log-probs are the old policy's own (no vLLM): both anchors are one"
    elif anchor == "rollout":
        whose = "the ratio is divided by vLLM's log-probs"
    else:
        whose = "the ratio is divided by the log-probs TRL recomputes under the old policy"
    found = [Finding("ok", f"{whose}, at temperature {config.temperature:g}")]
    cuts = {"top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}
    cut = {name: getattr(config, name) for name, off in cuts.items() if getattr(config, name) not in (off, None)}
    if cut:
        shown = ", ".join(f"{name}={value}" for name, value in cut.items())
        advice = "see docs/which-log-probs.md"
        found.append(Finding("warn", f"{shown}: sampling changes the distribution, the log-probs do not", advice))
    return found
