"""What `bandpo doctor axolotl` asks, of Axolotl's YAML by dotted names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, method_options, prefixed
from bandpo.engines.common.releases import installed
from bandpo.engines.trl.check import check as check_trl

PLUGIN = "bandpo.engines.axolotl.BandPlugin"
# What this check and the plugin read, and neighbours of similar names.
_TOP = ("plugins", "rl", "rl_beta", "bandpo", "trl", "trainer_cls", "context_parallel_size", "micro_batch_size")
_TOP += ("gradient_accumulation_steps", "learning_rate", "batch_size")
# Options of TRL's that Axolotl has no place for: it leaves them out without a word.
_LOST = ("delta", "steps_per_generation", "top_entropy_quantile", "generation_kwargs", "cast_lm_head_to_fp32")


def check(options: Options) -> list[Finding]:
    """Return findings for Axolotl.

    >>> [finding.level for finding in check({"rl": "grpo"})][1:]
    ['fail']
    """
    release = installed("axolotl", "0.21", ("0.21.0",), install="pip install axolotl")
    findings = known_names(release, "Axolotl", options, _TOP)
    findings += [
        Finding("fail", f"trl.{name}={options[f'trl.{name}']!r}: Axolotl does not hand it to TRL", "leave it out")
        for name in _LOST
        if options.get(f"trl.{name}") is not None
    ]
    if PLUGIN not in _names(options.get("plugins")):
        return [*findings, Finding("fail", "the plugin is not loaded", f"plugins: [{PLUGIN}]")]
    cfg = nested(options)
    from_trl = check_trl({})
    if from_trl[0].level == "fail":
        return [*findings, from_trl[0]]
    from bandpo.engines.axolotl.settings import check_config, trl_options

    try:
        check_config(cfg)
    except (TypeError, ValueError) as error:
        return [*findings, Finding("fail", f"BandPlugin refuses this configuration: {error}")]
    findings.append(Finding("ok", "Axolotl trains with our trainer, its own with our loss in TRL's"))
    return [*findings, *check_trl(trl_options(cfg))]


def nested(options: Options) -> dict[str, Any]:
    """Return the options as Axolotl's YAML nests them.

    >>> nested({"rl": "grpo", "trl.epsilon": 0.3, "bandpo.method_kwargs.max_ratio": 3})
    {'rl': 'grpo', 'trl': {'epsilon': 0.3}, 'bandpo': {'method_kwargs': {'max_ratio': 3}}}
    """
    cfg: dict[str, Any] = {name: value for name, value in options.items() if "." not in name}
    groups = {"trl": prefixed(options, "trl"), "bandpo": method_options(options, "bandpo")}
    return cfg | {name: group for name, group in groups.items() if group}


def _names(plugins: Any) -> list[str]:
    """Return the plugins of a YAML list, or of one written as a text on the command line."""
    if isinstance(plugins, str):
        return [name.strip(" '\"") for name in plugins.strip("[]").split(",")]
    return [] if plugins is None or isinstance(plugins, Mapping) else list(plugins)
