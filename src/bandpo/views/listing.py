"""A method as plain data: what `bandpo methods --json` prints and the atlas shows beside its maps."""

from __future__ import annotations

import math
from typing import Any

from bandpo.core.method import Method

FAMILIES = {
    "interval": "intervals: bounds of the ratio",
    "mask": "masks: tokens dropped by a rule",
    "gate": "gates and penalties: gradients that fade or turn",
    "sequence": "sequence level: one ratio for a whole response",
    "bonus": "bonuses on the logits",
}
ANCHORS = {
    "old": "the old policy, recomputed by the trainer (logp_old)",
    "rollout": "the sampler's own log-probs (logp_rollout)",
}
SCOPES = {
    "token": "the token alone",
    "sequence": "all tokens of its response",
    "batch": "all tokens of the batch",
}


def describe(method: Method) -> dict[str, Any]:
    """Everything the registry says of a method, as strict JSON can hold it; infinities become "inf".

    >>> describe(bandpo.get_method("clip-higher"))["hyperparameters"]
    {'dual_clip': None, 'eps_low': 0.2, 'eps_high': 0.28}
    """
    return {
        "name": method.name,
        "family": method.family,
        "summary": method.summary,
        "formula": method.formula,
        "citation": method.citation,
        "hyperparameters": {name: _plain(value) for name, value in method.hyperparameters.items()},
        "anchor": method.anchor,
        "scope": method.scope,
        "inputs": {
            name: {"shape": needed.shape, "summary": needed.summary, "optional": needed.optional}
            for name, needed in method.inputs.items()
        },
        "ours": method.ours,
        "experimental": method.experimental,
        "per_token": method.per_token,
    }


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def written(value: Any) -> str:
    """A hyperparameter's value as a person writes it.

    >>> written(10000.0), written(2e-4), written(None), written(True)
    ('10000', '0.0002', 'none', 'true')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
