"""A method as an engine's user names it, and the per-token loss that its adapter hands to the engine.

The engine averages: it alone knows how many tokens the other ranks and micro-batches hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.loss import policy_loss
from bandpo.core.objective.metrics import Metrics


@dataclass(frozen=True)
class Objective:
    """A method with its hyperparameters, validated.

    Attributes:
        method: the registered method.
        options: all of its hyperparameters.
        anchor: whose log-probs the ratio is divided by, "old" or "rollout".
    """

    method: Method
    options: Mapping[str, Any]
    anchor: str

    def per_token(
        self,
        logp: Tensor,
        logp_old: Tensor,
        advantages: Tensor,
        mask: Tensor,
        *,
        logp_rollout: Tensor | None = None,
        metrics: bool = True,
        check: bool = True,
        **inputs: Any,
    ) -> tuple[Tensor, Metrics]:
        """Loss of every token, 0 where masked, and the metrics of `policy_loss`.

        Args:
            logp, logp_old, mask, logp_rollout, metrics, check: as for `policy_loss`, (B, T).
            advantages: (B,) or (B, T).
            **inputs: what else the method needs, by name.

        >>> band = objective("band-kl", band_delta=0.05)
        >>> logp = torch.tensor([[-1.0, -2.0]])
        >>> band.per_token(logp, logp, torch.ones(1, 2), torch.ones(1, 2), metrics=False)
        (tensor([[-1., -1.]]), {})
        """
        out = policy_loss(
            logp,
            logp_old,
            advantages,
            mask,
            method=self.method.name,
            anchor=self.anchor,
            logp_rollout=logp_rollout,
            metrics=metrics,
            check=check,
            **self.options,
            **inputs,
        )
        return out.per_token, out.metrics

    def epsilons(self, logp_anchor: Tensor) -> tuple[Tensor, Tensor]:
        """eps_low and eps_high of every token, for engines that clamp the ratio to 1 - eps_low .. 1 + eps_high.

        Args:
            logp_anchor: log-probs the engine's ratio is divided by, any shape; masked positions may hold anything
                and get a finite interval.

        Raises:
            ValueError: the method is not an interval.

        >>> objective("band-kl").epsilons(torch.tensor([0.5, 0.01]).log())
        (tensor([0.3085, 0.9975]), tensor([0.3085, 6.8098]))
        """
        options = {name: value for name, value in self.options.items() if name != "dual_clip"}
        anchored = logp_anchor.detach()
        inside = torch.isfinite(anchored) & (anchored <= 0)
        anchored = torch.where(inside, anchored, -1.0).float()
        interval = self.method.interval(anchored, check=False, **options)
        return -torch.expm1(interval.low), torch.expm1(interval.high)


def objective(
    method: str = "band-kl",
    *,
    band_delta: float | None = None,
    method_kwargs: Mapping[str, Any] | None = None,
    anchor: str | None = None,
    provided: Collection[str] = (),
    engine: str = "this engine",
) -> Objective:
    """The objective that an engine's options name; every contradiction is refused here.

    Args:
        method: a name from `bandpo.methods()`.
        band_delta: radius, the method's own if not given.
        method_kwargs: its other hyperparameters.
        anchor: "old" or "rollout", the method's own if not given.
        provided: the further inputs that the engine hands to a loss, "logp_rollout" among them.
        engine: what errors call the engine.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, a value out of range, a radius given twice, an input the engine has not.

    >>> objective("dppo-topk-kl", engine="verl")
    Traceback (most recent call last):
    ValueError: method='dppo-topk-kl' needs topk_logp, which verl does not hand to a loss
    """
    chosen, given = get_method(method), dict(method_kwargs or {})
    if band_delta is not None:
        if "delta" in given:
            raise ValueError("band_delta and method_kwargs['delta'] are the same radius: give one")
        given["delta"] = band_delta
    options = chosen.resolve(given)
    chosen.validate(options)
    anchor = chosen.anchor if anchor is None else anchor
    if anchor not in ("old", "rollout"):
        raise ValueError(f"anchor={anchor!r}: expected 'old' or 'rollout'")
    needed = [name for name, one in chosen.inputs.items() if not one.optional]
    needed += ["logp_rollout"] if anchor == "rollout" else []
    lacking = [name for name in needed if name not in provided]
    if lacking:
        raise ValueError(f"method={method!r} needs {lacking[0]}, which {engine} does not hand to a loss")
    return Objective(chosen, options, anchor)
