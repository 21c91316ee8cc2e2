"""What `bandpo doctor tinker` asks: of `band_loss`'s arguments, and of the cookbook's `Config` where it is given."""

from __future__ import annotations

from bandpo.engines.common.findings import Finding, known_names
from bandpo.engines.common.options import Options, count, method_options
from bandpo.engines.common.releases import installed
from bandpo.engines.common.updates import acts
from bandpo.engines.tinker.adapter import ADAPTER

TESTED = ("0.38.0",)
_REDUCTION = ("aggregation", "max_tokens", "denominator")
# What this check and the adapter read, and neighbours of similar names.
KNOWN = ("bandpo", "num_substeps", "async_config", "loss_fn", "loss_fn_config")


def check(options: Options) -> list[Finding]:
    """Return findings for `bandpo.*`, the arguments of `band_loss`, and num_substeps of the cookbook.

    >>> [finding.level for finding in check({"bandpo.method": "band-kl", "num_substeps": 4})][1:]
    ['ok', 'ok']
    """
    findings = known_names(installed("tinker", "0.38.0", TESTED), "tinker", options, KNOWN)
    arguments = method_options(options, "bandpo")
    findings.append(ADAPTER.finding({name: value for name, value in arguments.items() if name not in _REDUCTION}))
    if options.get("loss_fn_config") not in (None, {}) or any(n.startswith("loss_fn_config.") for n in options):
        text = "loss_fn_config is of tinker's own losses: the client computes this loss whatever it is asked for"
        findings.append(Finding("fail", text, "leave it out, hyperparameters go into band_loss's method_kwargs"))
    substeps = count(options, "num_substeps", 1)
    if substeps > 1 or any(name.startswith("async_config.") for name in options):
        findings.append(acts("the policy moves away from the sampler"))
    else:
        text = "num_substeps=1: sampler and policy differ by rounding alone, next to nothing is clipped"
        findings.append(Finding("warn", text, "num_substeps=4"))
    return findings
