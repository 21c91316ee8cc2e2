"""What the adapters share around an objective: the clip settings of an engine's own loss, and metrics as means.

An engine whose loss is max(-A r, -A clamp(r, 1 - eps_low, 1 + eps_high)) is handed one of two things.
- An interval around the log-probs that the engine's ratio is divided by: its per-token eps, `Objective.epsilons`.
- Anything else: open bounds, and the advantages A' = -ℓ/r, which carry the gradient of ℓ. The engine then forms
  -A' r, whose value is ℓ and whose gradient is -(∇A' r + A' ∇r) = ∇ℓ. What it multiplies by afterwards (importance
  weights, masks, denominators) multiplies ℓ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.objective.inputs import FILL
from bandpo.core.objective.metrics import Metrics
from bandpo.core.regions.interval import Interval
from bandpo.core.tokens import hold
from bandpo.engines.common.objective import Objective, detached_tokens


class ClipSettings(NamedTuple):
    """The settings under which a clipping engine's loss is to be run.

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


def as_advantages(per_token: Tensor, ratio: Tensor, mask: Tensor) -> Tensor:
    """Return A' = -ℓ/r, with which -A' r is ℓ in value and gradient; 0 where masked, or where r is 0 or infinite.

    Args:
        per_token: ℓ, with gradient.
        ratio: r as the engine forms it, with gradient.
        mask: bool.

    >>> log_ratio = torch.tensor([0.5], requires_grad=True)
    >>> loss, ratio = log_ratio**2, log_ratio.exp()
    >>> (-as_advantages(loss, ratio, torch.tensor([True])) * ratio).backward(); log_ratio.grad
    tensor([1.])
    """
    usable = mask & torch.isfinite(ratio) & (ratio > 0)
    return torch.where(usable, -per_token / torch.where(usable, ratio, 1.0), 0.0)


def clip_settings(
    objective: Objective,
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    logp_rollout: Tensor | None = None,
) -> ClipSettings:
    """Return the settings under which a clipping engine's loss is this objective's.

    Args:
        objective: the method with its hyperparameters.
        logp, logp_old: whose difference is the log of the engine's ratio, (T,) or (B, T).
        advantages: same shape, or (B, 1) where they are the same for all tokens of a row.
        mask: same shape, true for the tokens that count; elsewhere everything may hold anything finite.
        logp_rollout: same shape, the sampler's.

    >>> from bandpo.engines.common.objective import objective
    >>> logp_old = torch.tensor([[0.5, 0.01]]).log()
    >>> settings = clip_settings(objective(), logp_old, logp_old, torch.ones(1, 2), torch.ones(1, 2))
    >>> settings.eps_high
    tensor([[0.3085, 6.8098]])
    """
    mask, advantages = mask != 0, advantages.expand_as(logp)
    if objective.is_interval and objective.anchor == "old":
        eps_low, eps_high = objective.epsilons(torch.where(mask, logp_old, FILL))
        interval = Interval(torch.log1p(-eps_low), torch.log1p(eps_high))
        metrics = objective.interval_metrics(detached_tokens(logp, logp_old, advantages, mask), interval)
        return ClipSettings(eps_low, eps_high, objective.dual_clip, advantages, metrics)
    rows = [torch.atleast_2d(x) for x in (logp, logp_old, advantages, mask)]
    rollout = None if logp_rollout is None else torch.atleast_2d(logp_rollout)
    loss, metrics = objective.per_token(*rows, logp_rollout=rollout)
    log_ratio = torch.where(mask, logp.float() - logp_old.detach().float(), 0.0)
    ratio = torch.exp(hold(log_ratio))
    replaced = as_advantages(loss.view_as(logp), ratio, mask)
    return ClipSettings(math.inf, math.inf, None, replaced, metrics)


def metric_tensors(metrics: Metrics, prefix: str = "band/") -> dict[str, Tensor]:
    """Return means as 0-d tensors under one set of names whatever the batch held, without waiting for the device.

    The buckets by probability are left out: an engine averages these means over micro-batches, and most hold no token
    of a bucket. A mean over no tokens is 0.

    >>> metric_tensors({"clip": (torch.tensor(1.0), torch.tensor(4.0)), "clip_high/p=0-0.01": (torch.tensor(0.0),) * 2})
    {'band/clip': tensor(0.2500)}
    """
    return {prefix + n: total / count.clamp_min(1e-8) for n, (total, count) in metrics.items() if "/" not in n}


def metric_floats(metrics: Metrics, prefix: str = "band/") -> dict[str, float]:
    """Return `metric_tensors` as floats, in one transfer from the device.

    >>> metric_floats({"clip": (torch.tensor(1.0), torch.tensor(4.0))})
    {'band/clip': 0.25}
    """
    means = metric_tensors(metrics, prefix)
    return dict(zip(means, torch.stack(list(means.values())).tolist(), strict=True)) if means else {}
