"""A method as plain data: what `bandpo methods --json` prints and the atlas shows beside its maps."""

from __future__ import annotations

import inspect
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandpo.core.methods.method import Method

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


def by_family() -> list[Method]:
    """Return every method, family by family, in the registry's order."""
    from bandpo.core.methods.registry import methods

    return sorted(methods().values(), key=lambda method: list(FAMILIES).index(method.family))


# Options whose rule has no docstring of its own, or one that points elsewhere.
_SHARED = {
    "lower": "rule of the lower side: band, mirror or none",
    "upper": "rule of the upper side: band, mirror or none",
    "strategy": "id, did or od: when entropy may grow, by progress or by boost",
    "eps_low": "the ratio stays above 1 - eps_low",
    "eps_high": "the ratio stays below 1 + eps_high",
    "dual_clip": "largest ratio that still moves a bad token",
}


def option_words(method: Method) -> dict[str, str]:
    """Return what each option of a method does, from the Args of its rule's docstring; "" where that has none.

    >>> option_words(bandpo.get_method("sapo"))
    {'tau_pos': 'temperatures τ for A > 0 and for A <= 0', 'tau_neg': 'temperatures τ for A > 0 and for A <= 0'}
    """
    function: Any = getattr(method.rule, "func", method.rule)
    # Rules that share options have them documented once.
    function = getattr(function, "documented", function)
    summaries = _arguments(inspect.getdoc(function) or "")
    return {name: _own_or_shared(summaries.get(name, ""), name) for name in method.hyperparameters}


def _own_or_shared(words: str, name: str) -> str:
    is_complete = words and not words.startswith(("see ", '"'))
    return words if is_complete else _SHARED.get(name, words)


def _arguments(docstring: str) -> dict[str, str]:
    """Return the first clause of each argument of a docstring, by name."""
    block = docstring.partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n     +.*)*)", block, re.MULTILINE)
    return {
        name: re.split(r"[;.](?:\s|$)", " ".join(text.split()))[0]
        for names, text in entries
        for name in names.split(", ")
    }


def describe(method: Method) -> dict[str, Any]:
    """Return all that the registry says of a method, as strict JSON can hold it; infinities become "inf".

    >>> describe(bandpo.get_method("clip-higher"))["hyperparameters"]
    {'eps_low': 0.2, 'eps_high': 0.28, 'dual_clip': None}
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
    """Return a hyperparameter's value as a person writes it.

    >>> written(10000.0), written(2e-4), written(None), written(True)
    ('10000', '0.0002', 'none', 'true')
    """
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
