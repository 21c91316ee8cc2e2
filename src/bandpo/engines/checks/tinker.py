"""What `bandpo doctor tinker` asks: of `band_loss`'s arguments, and of the cookbook's `Config` where it is given."""

from __future__ import annotations

from bandpo.engines._handover import check_choice, choice
from bandpo.engines.doctor import Finding, Options, installed, number
from bandpo.engines.tinker import PROVIDED

TESTED = ("0.38.0",)
_REDUCTION = ("aggregation", "max_tokens", "denominator")


def check(options: Options) -> list[Finding]:
    """Findings for `bandpo.*`, the arguments of `band_loss`, and num_substeps of the cookbook.

    >>> [finding.level for finding in check({"bandpo.method": "band-kl", "num_substeps": 4})][1:]
    ['ok', 'ok']
    """
    found = [installed("tinker", "0.38.0", TESTED)]
    given = {name: value for name, value in choice(options, "bandpo").items() if name not in _REDUCTION}
    found.append(check_choice("tinker", {**given, "anchor": "rollout"}, PROVIDED))
    substeps = number(options, "num_substeps", 1)
    if substeps > 1 or any(name.startswith("async_config.") for name in options):
        found.append(Finding("ok", "the policy moves away from the sampler: the ratio leaves 1, the region acts"))
    else:
        text = "num_substeps=1: sampler and policy differ by rounding alone, next to nothing is clipped"
        found.append(Finding("warn", text, "num_substeps=4"))
    return found
