"""What every engine's adapter is: which inputs it hands to a loss, and which of its own settings contradict a method.

An engine is a folder with an `ADAPTER` in its `adapter.py`, and in its `check.py` a `check(options) -> list[Finding]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bandpo.engines.common.findings import Finding
from bandpo.engines.common.names import hint
from bandpo.engines.common.objective import Objective, objective

OPTIONS = ("method", "band_delta", "method_kwargs", "anchor")


def _nothing(_: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Adapter:
    """The way from an engine's options to an objective.

    Attributes:
        engine: what messages call the engine.
        provided: the inputs besides old log-probs that it hands to a loss.
        hands_over: what it hands to a loss at once, as messages say it.
        too_wide: the scopes of methods that need more than that at once, "sequence" or "batch".
        clips_only: whether nothing but clip settings can be handed to the engine.
        only_anchor: the one policy whose log-probs it has, None where it has both.
        clip_range: (the engine's own settings) -> the hyperparameters that "grpo" takes from them.
        refuse: (objective, the engine's own settings) raises ValueError at the first setting that contradicts.

    >>> slime = Adapter("slime", clips_only=True)
    >>> slime.objective_for({"method": "band-kl", "band_delta": 0.03}).options["delta"]
    0.03
    >>> slime.objective_for({"delta": 0.03})
    Traceback (most recent call last):
    TypeError: 'delta': slime takes method, band_delta, method_kwargs, anchor, did you mean 'band_delta'?
    >>> slime.objective_for({"method": "sapo"})
    Traceback (most recent call last):
    ValueError: method='sapo' is a gate, slime can be handed intervals only, such as 'band-kl' or 'clip-higher'
    """

    engine: str
    provided: tuple[str, ...] = ()
    hands_over: str = ""
    too_wide: tuple[str, ...] = ()
    clips_only: bool = False
    only_anchor: str | None = None
    clip_range: Callable[[Any], Mapping[str, Any]] = _nothing
    refuse: Callable[[Objective, Any], None] | None = None

    def objective_for(self, options: Mapping[str, Any], own: Any = None) -> Objective:
        """Return the objective that the options name under the engine's own settings.

        Args:
            options: method, band_delta, method_kwargs and anchor; None means not given.
            own: the engine's own settings, whatever they are there; None where they are not known yet.

        Raises:
            TypeError: an option by another name, or a hyperparameter the method does not take.
            ValueError: as `objective`, a method that the engine cannot be handed, a setting that contradicts it.
        """
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise TypeError(f"{unknown[0]!r}: {self.engine} takes {', '.join(OPTIONS)}{hint(unknown[0], OPTIONS)}")
        named = {name: value for name, value in options.items() if value is not None}
        if self.only_anchor is not None and named.setdefault("anchor", self.only_anchor) != self.only_anchor:
            whose = {"old": "the old policy's", "rollout": "the sampler's"}[self.only_anchor]
            raise ValueError(
                f"anchor={named['anchor']!r}: {self.engine} hands over {whose} log-probs only, "
                f"expected {self.only_anchor!r}"
            )
        hyperparameters = named.get("method_kwargs", {})
        if not isinstance(hyperparameters, Mapping):
            raise TypeError(f"method_kwargs={hyperparameters!r}: expected names and values")
        if named.get("method") == "grpo" and own is not None:
            named["method_kwargs"] = {**self.clip_range(own), **hyperparameters}
        found = objective(**named, provided=self.provided, engine=self.engine)
        self._refuse_method(found)
        if self.refuse is not None and own is not None:
            self.refuse(found, own)
        return found

    def _refuse_method(self, objective: Objective) -> None:
        """Raise ValueError where the method needs more at once than the engine hands over, or another place."""
        name, scope = objective.method.name, objective.method.scope
        if scope in self.too_wide:
            raise ValueError(
                f"method={name!r} needs the whole {scope}, {self.engine} hands {self.hands_over} to a loss"
            )
        if self.clips_only and not objective.is_interval:
            raise ValueError(
                f"method={name!r} is a {objective.method.family}, {self.engine} can be handed intervals only, such as "
                "'band-kl' or 'clip-higher'"
            )

    def finding(self, options: Mapping[str, Any], own: Any = None, whose: str = "") -> Finding:
        """Return whether the options name an objective that the engine applies.

        Args:
            options, own: as for `objective_for`.
            whose: what the anchor "old" means in this engine.

        >>> Adapter("slime").finding({"band_delta": 0.03}, whose="Megatron's").text
        "method='band-kl' with delta=0.03, ratio and bounds from Megatron's log-probs"
        """
        try:
            objective = self.objective_for(options, own)
        except (TypeError, ValueError) as error:
            return Finding("fail", f"the adapter refuses these options: {error}")
        defaults = objective.method.hyperparameters
        changed = [f"{n}={v!r}" for n, v in objective.options.items() if _is_worth_saying(n, v, defaults)]
        anchored = "the sampler's" if objective.anchor == "rollout" else whose
        hyperparameters = f" with {', '.join(changed)}" if changed else ""
        return Finding(
            "ok", f"method={objective.method.name!r}{hyperparameters}, ratio and bounds from {anchored} log-probs"
        )


def _is_worth_saying(name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Return whether a hyperparameter is the radius, or another than the authors'."""
    return value is not None and (name == "delta" or value != defaults[name])
