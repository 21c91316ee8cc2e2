"""A method as an engine's user names it: the loss of every token, or its bounds, for an engine.

The engine averages: it alone knows how many tokens the other ranks and micro-batches hold. What an adapter asks of a
method, it asks here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import ANCHORS, IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.inputs import FILL, ROUNDED
from bandpo.core.objective.loss import policy_loss
from bandpo.core.objective.metrics import Metrics, trust_region_metrics
from bandpo.core.objective.one_pass import counted_in_one_pass
from bandpo.core.regions.interval import Interval
from bandpo.core.tokens import Tokens


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

    @property
    def is_interval(self) -> bool:
        """Tell whether the method is an interval of the ratio, which an engine that clips can apply."""
        return isinstance(self.method, IntervalMethod)

    @property
    def dual_clip(self) -> float | None:
        """Return the ratio at which the loss of bad tokens is capped, None for no cap."""
        return self.options.get("dual_clip")

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
        """Return the loss of every token, 0 where masked, and the metrics of `policy_loss`.

        Args:
            logp, logp_old, mask, logp_rollout, metrics, check: as for `policy_loss`, (B, T).
            advantages: (B,) or (B, T).
            **inputs: what else the method needs, by name.

        >>> band = objective("band-kl", band_delta=0.05)
        >>> logp = torch.tensor([[-1.0, -2.0]])
        >>> band.per_token(logp, logp, torch.ones(1, 2), torch.ones(1, 2), metrics=False)
        (tensor([[-1., -1.]]), {})
        """
        # Of 16 bits an engine's user is told with the share of the band that their rounding fills, see `first_use`.
        widened = logp_old.float() if logp_old.dtype in ROUNDED else logp_old
        out = policy_loss(
            logp,
            widened,
            advantages,
            mask,
            method=self.method,
            anchor=self.anchor,
            logp_rollout=logp_rollout,
            metrics=metrics,
            check=check,
            **self.options,
            **inputs,
        )
        return out.per_token, out.metrics

    def interval(self, logp_anchor: Tensor, toward: Tensor | None = None, **inputs: Any) -> Interval:
        """Return the log-ratio bounds of every token of an interval method; nothing is inspected.

        Args:
            logp_anchor: log-probs the ratio is divided by, any shape.
            toward: advantages of the same shape; a side that their sign cannot reach may then be open.
            **inputs: what else the method needs, by name.

        Raises:
            ValueError: the method is not an interval.
        """
        return self.method.interval(logp_anchor, toward=toward, check=False, **inputs, **self.options)

    def ratio_bounds(self, interval: Interval) -> tuple[float | Tensor, float | Tensor]:
        """Return the ratio's bounds: numbers where they are the same for every token, exactly as they are written.

        >>> clip = objective("clip-higher")
        >>> clip.ratio_bounds(clip.interval(torch.tensor([-1.0])))
        (0.8, 1.28)
        """
        if self.method.per_token:
            return interval.ratio()
        return 1 - self.options.get("eps_low", math.inf), 1 + self.options.get("eps_high", math.inf)

    def epsilons(self, logp_anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Return eps_low and eps_high of every token, for engines that clamp ratios to 1 - eps_low .. 1 + eps_high.

        Args:
            logp_anchor: log-probs the engine's ratio is divided by, any shape; masked positions may hold anything
                and get a finite interval.

        Raises:
            ValueError: the method is not an interval.

        >>> objective("band-kl").epsilons(torch.tensor([0.5, 0.01]).log())
        (tensor([0.3085, 0.9975]), tensor([0.3085, 6.8098]))
        """
        anchored = logp_anchor.detach()
        inside = torch.isfinite(anchored) & (anchored <= 0)
        interval = self.interval(torch.where(inside, anchored, FILL).float())
        return -torch.expm1(interval.low), torch.expm1(interval.high)

    def interval_metrics(self, tokens: Tokens, interval: Interval) -> Metrics:
        """Return what the bounds did to these tokens, as `trust_region_metrics` counts it."""
        cap = None if self.dual_clip is None else math.log(self.dual_clip)
        return trust_region_metrics(
            tokens.log_ratio, tokens.logp_anchor, tokens.advantages, tokens.mask, interval, log_dual_clip=cap
        )

    def counts_by_kernel(self, logp: Tensor, logp_anchor: Tensor, advantages: Tensor, mask: Tensor) -> Metrics | None:
        """Return `interval_metrics` from one launch, of log-ratios held within e^±20; None where no kernel serves.

        Args:
            logp, logp_anchor: (B, T) whose difference is the log-ratio; masked positions may hold anything.
            advantages: (B, 1) or (B, T).
            mask: (B, T) bool.
        """
        return counted_in_one_pass(self.method, self.options, (logp, logp_anchor, advantages, mask))


def detached_tokens(logp: Tensor, logp_anchor: Tensor, advantages: Tensor, mask: Tensor) -> Tokens:
    """Return the tokens as the core counts them, fp32 and finite where masked, without gradient.

    The log-ratio is the engine's own, not held within e^±20.

    >>> detached_tokens(torch.tensor([-1.0]), torch.tensor([-2.0]), torch.ones(1), torch.tensor([True])).log_ratio
    tensor([1.])
    """
    new, anchor = (torch.where(mask, x.detach(), FILL).float() for x in (logp, logp_anchor))
    return Tokens(new - anchor, new, anchor, torch.where(mask, advantages, 0.0).float(), mask)


def objective(
    method: str = "band-kl",
    *,
    band_delta: float | None = None,
    method_kwargs: Mapping[str, Any] | None = None,
    anchor: str | None = None,
    provided: tuple[str, ...] = (),
    engine: str = "this engine",
) -> Objective:
    """Return the objective that options name, built once a process; every contradiction in them is refused.

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
    hyperparameters = dict(method_kwargs or {})
    if band_delta is not None:
        if "delta" in hyperparameters:
            raise ValueError("band_delta and method_kwargs['delta'] are the same radius: give one")
        hyperparameters["delta"] = band_delta
    try:
        hash(tuple(hyperparameters.values()))
    except TypeError:  # no hyperparameter is a list: the method says so
        return _objective.__wrapped__(method, anchor, provided, engine, **hyperparameters)
    return _objective(method, anchor, provided, engine, **hyperparameters)


@functools.lru_cache(maxsize=64, typed=True)
def _objective(
    name: str, anchor: str | None, provided: tuple[str, ...], engine: str, /, **hyperparameters: Any
) -> Objective:
    method = get_method(name)
    options = method.resolve(hyperparameters)
    method.validate(options)
    anchor = method.anchor if anchor is None else anchor
    if anchor not in ANCHORS:
        raise ValueError(f"anchor={anchor!r}: expected {' or '.join(map(repr, ANCHORS))}")
    needed = [name for name, one in method.inputs.items() if not one.optional]
    needed += ["logp_rollout"] if anchor == "rollout" else []
    lacking = [input_name for input_name in needed if input_name not in provided]
    if lacking:
        raise ValueError(f"method={name!r} needs {lacking[0]}, which {engine} does not hand to a loss")
    built = Objective(method, options, anchor)
    if method.inputs.keys() - set(provided):
        _try(built, name, engine)
    return built


def _try(objective: Objective, name: str, engine: str) -> None:
    """Raise ValueError where these hyperparameters need one of the inputs that the method can do without."""
    token = torch.full((1, 1), FILL)
    try:
        objective.per_token(token, token, token, token < 0, logp_rollout=token, metrics=False)
    except ValueError as error:
        raise ValueError(f"method={name!r} in {engine}: {error}") from None
