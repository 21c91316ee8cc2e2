"""What the adapters share: options into an objective, an objective into an engine's clip settings, metrics as means.

An engine whose loss is max(-A r, -A clamp(r, 1 - eps_low, 1 + eps_high)) is handed one of two things.
- An interval around the log-probs that the engine's ratio is divided by: its per-token eps, `Objective.epsilons`.
- Anything else: open bounds, and the advantages A' = -ℓ/r, which carry the gradient of ℓ. The engine then forms
  -A' r, whose value is ℓ and whose gradient is -(∇A' r + A' ∇r) = ∇ℓ. What it multiplies by afterwards (importance
  weights, masks, denominators) multiplies ℓ.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.objective.loss import MAX_LOG_RATIO
from bandpo.core.objective.metrics import Metrics, trust_region_metrics
from bandpo.core.regions.band import Interval
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.names import hint
from bandpo.engines.common.objective import Objective, objective

OPTIONS = ("method", "band_delta", "method_kwargs", "anchor")
_FILL = -1.0


class ClipSettings(NamedTuple):
    """What a clipping engine's loss is to be run with.

    Attributes:
        eps_low, eps_high: the engine clamps the ratio to 1 - eps_low .. 1 + eps_high; infinite where it must not.
        dual_clip: ratio at which the loss of bad tokens is capped, None for no cap.
        advantages: of the shape the engine passed.
        metrics: of `bandpo.trust_region_metrics`.
    """

    eps_low: Tensor | float
    eps_high: Tensor | float
    dual_clip: float | None
    advantages: Tensor
    metrics: Metrics


def chosen(engine: str, options: Mapping[str, Any], provided: tuple[str, ...] = ()) -> Objective:
    """The objective that `options` name, built once per process; see `bandpo.engines.common.objective.objective`.

    Args:
        engine: what errors call the engine.
        options: method, band_delta, method_kwargs and anchor; None means not given.
        provided: the inputs besides old log-probs that the engine hands to a loss.

    Raises:
        TypeError: an option by another name, or a hyperparameter the method does not take.
        ValueError: as `objective`.

    >>> chosen("slime", {"method": "band-kl", "band_delta": 0.03}).options["delta"]
    0.03
    >>> chosen("slime", {"delta": 0.03})
    Traceback (most recent call last):
    TypeError: 'delta': slime takes method, band_delta, method_kwargs, anchor, did you mean 'band_delta'?
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise TypeError(f"{unknown[0]!r}: {engine} takes {', '.join(OPTIONS)}{hint(unknown[0], OPTIONS)}")
    given = {name: value for name, value in options.items() if value is not None}
    return _chosen(engine, json.dumps(given, sort_keys=True, default=dict), provided)


@functools.lru_cache(maxsize=64)
def _chosen(engine: str, options: str, provided: tuple[str, ...]) -> Objective:
    one = objective(**json.loads(options), provided=provided, engine=engine)
    token = torch.full((1, 1), -1.0)
    try:
        one.per_token(token, token, token, torch.ones_like(token), logp_rollout=token)
    except ValueError as error:  # an input that only some hyperparameters need
        raise ValueError(f"method={one.method.name!r} in {engine}: {error}") from None
    return one


def refuse_scope(one: Objective, engine: str, handed_over: str, *scopes: str) -> None:
    """Raise ValueError where the loss of a token depends on more than the engine hands over at once.

    >>> refuse_scope(chosen("slime", {"method": "gspo"}), "slime", "single tokens", "sequence", "batch")
    Traceback (most recent call last):
    ValueError: method='gspo' needs the whole sequence, slime hands single tokens to a loss
    """
    if one.method.scope in scopes:
        raise ValueError(
            f"method={one.method.name!r} needs the whole {one.method.scope}, {engine} hands {handed_over} to a loss"
        )


def refuse_other_regions(one: Objective, engine: str) -> None:
    """Raise ValueError unless the method is an interval, for engines that do nothing but clip.

    >>> refuse_other_regions(chosen("slime", {"method": "sapo"}), "slime")
    Traceback (most recent call last):
    ValueError: method='sapo' is a gate, slime can be handed intervals only, such as 'band-kl' or 'clip-higher'
    """
    if one.method.region is None:
        kind = f"method={one.method.name!r} is a {one.method.family}"
        raise ValueError(f"{kind}, {engine} can be handed intervals only, such as 'band-kl' or 'clip-higher'")


def as_advantages(per_token: Tensor, log_ratio: Tensor, mask: Tensor) -> Tensor:
    """A' = -ℓ/r, with which -A' r is ℓ in value and gradient; 0 where masked.

    Args:
        per_token: ℓ, with gradient.
        log_ratio: log r as the engine forms it, with gradient.
        mask: bool.

    >>> log_ratio = torch.tensor([0.5], requires_grad=True)
    >>> loss = log_ratio**2
    >>> (-as_advantages(loss, log_ratio, torch.tensor([True])) * log_ratio.exp()).backward(); log_ratio.grad
    tensor([1.])
    """
    log_ratio = torch.where(mask, log_ratio, 0.0).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return -torch.where(mask, per_token, 0.0) * torch.exp(-log_ratio)


def clip_settings(
    one: Objective,
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    logp_rollout: Tensor | None = None,
) -> ClipSettings:
    """The settings under which a clipping engine's loss is this objective's.

    Args:
        one: the objective.
        logp, logp_old: whose difference is the log of the engine's ratio, (T,) or (B, T).
        advantages: same shape, or (B, 1) where they are the same for all tokens of a row.
        mask: same shape, true for the tokens that count; elsewhere everything may hold anything finite.
        logp_rollout: same shape, the sampler's.

    >>> logp_old = torch.tensor([[0.5, 0.01]]).log()
    >>> settings = clip_settings(chosen("doc", {}), logp_old, logp_old, torch.ones(1, 2), torch.ones(1, 2))
    >>> settings.eps_high
    tensor([[0.3085, 6.8098]])
    """
    mask, advantages = mask != 0, advantages.expand_as(logp)
    if one.method.region is not None and one.anchor == "old":
        eps_low, eps_high = one.epsilons(torch.where(mask, logp_old, _FILL))
        metrics = _interval_metrics(one, logp, logp_old, advantages, mask, (eps_low, eps_high))
        return ClipSettings(eps_low, eps_high, one.options.get("dual_clip"), advantages, metrics)
    rows = [None if x is None else torch.atleast_2d(x) for x in (logp, logp_old, advantages, mask, logp_rollout)]
    new, old, advantage, inside, rollout = rows
    assert new is not None and old is not None and advantage is not None and inside is not None
    loss, metrics = one.per_token(new, old, advantage, inside, logp_rollout=rollout)
    replaced = as_advantages(loss.view_as(logp), logp.float() - logp_old.detach().float(), mask)
    return ClipSettings(math.inf, math.inf, None, replaced, metrics)


def _interval_metrics(
    one: Objective, logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, eps: tuple[Tensor, Tensor]
) -> Metrics:
    new, old = (torch.where(mask, x.detach(), _FILL).float() for x in (logp, logp_old))
    advantages = torch.where(mask, advantages, 0.0).float()
    interval = Interval(torch.log1p(-eps[0]), torch.log1p(eps[1]))
    cap = one.options.get("dual_clip")
    log_cap = None if cap is None else math.log(cap)
    return trust_region_metrics(new - old, old, advantages, mask, interval, log_dual_clip=log_cap)


def metric_tensors(metrics: Metrics, prefix: str = "band/") -> dict[str, Tensor]:
    """Means as 0-d tensors under one set of names whatever the batch held, without waiting for the device.

    The buckets by probability are left out: an engine averages these means over micro-batches, and most hold no token
    of a bucket. A mean over no tokens is 0.

    >>> metric_tensors({"clip": (torch.tensor(1.0), torch.tensor(4.0)), "clip_high/p<0.01": (torch.tensor(0.0),) * 2})
    {'band/clip': tensor(0.2500)}
    """
    return {prefix + n: total / count.clamp_min(1e-8) for n, (total, count) in metrics.items() if "/" not in n}


def metric_floats(metrics: Metrics, prefix: str = "band/") -> dict[str, float]:
    """`metric_tensors` as floats, in one transfer from the device.

    >>> metric_floats({"clip": (torch.tensor(1.0), torch.tensor(4.0))})
    {'band/clip': 0.25}
    """
    means = metric_tensors(metrics, prefix)
    return dict(zip(means, torch.stack(list(means.values())).tolist(), strict=True)) if means else {}


def check_choice(engine: str, options: Mapping[str, Any], provided: tuple[str, ...] = (), whose: str = "") -> Finding:
    """Whether the options name an objective that the adapter applies, as a finding of `bandpo doctor`.

    Args:
        engine, options, provided: as for `chosen`.
        whose: what the anchor "old" means in this engine.

    >>> check_choice("slime", {"band_delta": 0.03}, whose="Megatron's").text
    "method='band-kl' with delta=0.03, ratio and bounds from Megatron's log-probs"
    """
    try:
        one = chosen(engine, options, provided)
    except (TypeError, ValueError) as error:
        return Finding("fail", f"the adapter refuses these options: {error}")
    defaults = one.method.hyperparameters
    shown = [f"{n}={v!r}" for n, v in one.options.items() if v is not None and (n == "delta" or v != defaults[n])]
    anchored = "the sampler's" if one.anchor == "rollout" else whose
    given = f" with {', '.join(shown)}" if shown else ""
    return Finding("ok", f"method={one.method.name!r}{given}, ratio and bounds from {anchored} log-probs")
