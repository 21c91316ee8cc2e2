"""Every method by name: those of the literature, ours, `band-NAME` for each divergence, and those users register."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bandpo.core.checks import suggestion
from bandpo.core.divergences.registry import divergences, get_divergence
from bandpo.core.methods.band_family import BandOf, band_method
from bandpo.core.methods.declaration import Rule, declared
from bandpo.core.methods.method import Method

METHODS: dict[str, Method] = {}
ALIASES = {"spo": "cfpo"}


def register(method: Method) -> Method:
    """Add a method to the registry and return it.

    Raises:
        ValueError: its name is taken, or means the band of a divergence.
    """
    divergence = method.name.removeprefix("band-")
    is_band = divergence != method.name and (divergence in divergences() or divergence.startswith("alpha"))
    if method.name in METHODS or method.name in ALIASES or (is_band and not isinstance(method.rule, BandOf)):
        raise ValueError(f"method name {method.name!r} is taken: expected another")
    METHODS[method.name] = method
    return method


def register_method(name: str, *, family: str, formula: str, citation: str, **facts: Any) -> Callable[[Rule], Rule]:
    """Declare the function below as a method that `policy_loss` and engines take by name in this process.

    Its keyword-only parameters and their defaults are the method's hyperparameters, its docstring's first line is the
    summary. An interval's function returns a region, any other takes `Tokens` first and returns a `Surrogate`, the loss
    of every token with its gradient in closed form; `bandpo.testing.check_method` runs the conformance suite on it.

    Args:
        name: lower-case letters, digits and hyphens, not yet taken.
        family: "interval", "mask", "gate", "sequence" or "bonus".
        formula: loss, bounds or weight of a token, as one line of text.
        citation: paper and equation.
        **facts: anchor, scope, ours, experimental, scales_with_advantage: see `Method`; presets: see `declared`.

    Raises:
        TypeError, ValueError: see `declared`; the name is taken.

    >>> @bandpo.register_method("plain-gradient", family="gate", formula="-A r", citation="an example")
    ... def plain_gradient(tokens, *, factor: float = 1.0):
    ...     \"\"\"Let every token learn, scaled by a factor.\"\"\"
    ...     loss = -factor * tokens.advantages * tokens.log_ratio.exp()
    ...     return bandpo.Surrogate(loss, loss.detach())
    >>> bandpo.get_method("plain-gradient").hyperparameters
    {'factor': 1.0}
    """

    def declare(rule: Rule) -> Rule:
        register(declared(name, rule, family, formula=formula, citation=citation, **facts))
        return rule

    return declare


def methods() -> dict[str, Method]:
    """Return every method by name.

    >>> sorted(bandpo.methods())[:4]
    ['atr-grpo', 'band-chi2', 'band-hellinger', 'band-jeffreys']
    """
    bands = (band_method(divergence) for name, divergence in divergences().items() if f"band-{name}" not in METHODS)
    return {**METHODS, **{band.name: band for band in bands}}


def get_method(method: str | Method) -> Method:
    """Return the method of that name; `band-alpha=1.5` is the band of α = 1.5, `spo` is `cfpo`. A Method stays itself.

    Raises:
        ValueError: no method has that name.

    >>> bandpo.get_method("clip-higher").hyperparameters["eps_high"]
    0.28
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, str):
        if (known := METHODS.get(ALIASES.get(method, method))) is not None:
            return known
        divergence = method.removeprefix("band-")
        if divergence != method and (divergence in divergences() or divergence.startswith("alpha=")):
            return band_method(get_divergence(divergence))
    near = suggestion(method, [*methods(), *ALIASES])
    raise ValueError(f"method={method!r}: expected one of {', '.join(methods())} or band-alpha=NUMBER{near}")
