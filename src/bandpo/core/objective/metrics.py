"""What the trust region did, as (sum, count) pairs that add up across micro-batches and ranks.

A token counts as clipped where the method removed its gradient: for an interval, above its upper bound with a positive
advantage, or below its lower bound with a negative one. A token outside on the other side is still learning. Methods
without an interval say by their gradient what they removed, and what share of it they let through.

| name | mean of | over |
|---|---|---|
| clip_high | 1 if clipped above | tokens with advantage > 0 |
| clip_low | 1 if clipped below | tokens with advantage < 0 |
| clip | 1 if clipped on either side, by dual clip, or held at a ratio of e^±20 without a gradient | all tokens |
| clip_high/p=0-0.01 ... p=0.9-1, clip_low/... | the same by old probability | tokens of that bucket and sign |
| dual_clip | 1 if above the dual-clip ratio | tokens with advantage < 0 |
| bound_low | lower ratio bound, of an interval | all tokens |
| log_bound_high | log of the upper ratio bound | tokens with a finite one |
| weight | gradient over the plain policy gradient's -A r, of any other method | tokens, weighted by |A| r |
| ratio, approx_kl | new/old; e^d - 1 - d with d = log(new/old), estimating KL(old || new) | all tokens |
| entropy | exact entropy of the policy, if given | all tokens |
| sampled_entropy | -logp_old, an estimate of the old policy's entropy | all tokens |
| rollout_kl | k3 estimate of KL(sampler || old policy), if the sampler's log-probs are given | all tokens |
| reference_kl | the estimate of KL(policy || reference) that the loss adds, if it adds one | all tokens |
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from bandpo.core.divergences.special import phi
from bandpo.core.regions.interval import Interval

Metrics = dict[str, tuple[Tensor, Tensor]]

BUCKETS = (0.01, 0.05, 0.2, 0.5, 0.9, 1.0)


def masked_sum(values: Tensor, where: Tensor, *, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return (Σ values over `where`, number of such positions), fp64 scalars where `like`, or values, is, else fp32."""
    dtype = torch.float64 if (values if like is None else like).dtype == torch.float64 else torch.float32
    return torch.where(where, values, 0).sum(dtype=dtype), where.sum().to(dtype)


def bucket_names() -> list[str]:
    """Return the names of the old-probability buckets, from rare to likely; each holds its lower end, the last both.

    >>> bucket_names()
    ['p=0-0.01', 'p=0.01-0.05', 'p=0.05-0.2', 'p=0.2-0.5', 'p=0.5-0.9', 'p=0.9-1']
    """
    return [f"p={low:g}-{high:g}" for low, high in zip((0.0, *BUCKETS), BUCKETS, strict=False)]


@torch.no_grad()
def trust_region_metrics(
    log_ratio: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    interval: Interval | None,
    *,
    gradient: Tensor | None = None,
    log_dual_clip: float | None = None,
    entropy: Tensor | None = None,
) -> Metrics:
    """Return the table above for one batch; tensors broadcast to the shape of log_ratio, values fp32 or fp64.

    Args:
        log_ratio: log(new/old) of each token.
        logp_old: log-prob under the policy the ratio is divided by.
        advantages: per token.
        mask: bool, True for the tokens that count; values elsewhere must be finite.
        interval: log-ratio bounds, None for a method that has none.
        gradient: ∂ℓ/∂logp of each token; it stands in for the bounds where there are none, and says of an interval
            which tokens besides those past a bound have no gradient.
        log_dual_clip: log of the dual-clip ratio, if one is used.
        entropy: exact per-token entropy of the current policy, if at hand.

    Returns:
        name -> (sum, count), fp32 scalars, fp64 for an fp64 log_ratio.

    >>> logp_old, log_ratio = torch.tensor([[0.1, 0.9]]).log(), torch.tensor([[0.5, 0.5]])
    >>> advantages, mask = torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> bandpo.trust_region_metrics(log_ratio, logp_old, advantages, mask, bandpo.band(logp_old))["clip_high"]
    (tensor(1.), tensor(2.))
    """
    total = functools.partial(masked_sum, like=log_ratio)
    good, bad = mask & (advantages > 0), mask & (advantages < 0)
    if interval is not None:
        above, below = log_ratio > interval.high, log_ratio < interval.low
    elif gradient is not None:
        above = below = gradient == 0
        below = below if log_dual_clip is None else below & (log_ratio <= log_dual_clip)
    else:
        raise ValueError("interval=None and gradient=None: expected one of them")
    removed = (good & above) | (bad & below)
    metrics: Metrics = {"clip_high": total(above, good), "clip_low": total(below, bad)}
    if log_dual_clip is not None:
        past_dual = log_ratio > log_dual_clip
        metrics["dual_clip"] = total(past_dual, bad)
        removed = removed | (bad & past_dual)
    if gradient is not None:
        removed = removed | ((good | bad) & (gradient == 0))
    metrics["clip"] = total(removed, mask)

    probability = torch.exp(logp_old)
    left = 0.0
    for name, right in zip(bucket_names(), BUCKETS, strict=True):
        inside = (probability >= left) & ((probability < right) | (right == 1))
        metrics[f"clip_high/{name}"] = total(above, good & inside)
        metrics[f"clip_low/{name}"] = total(below, bad & inside)
        left = right

    if interval is not None:
        metrics["bound_low"] = total(torch.exp(interval.low), mask)
        metrics["log_bound_high"] = total(interval.high, mask & torch.isfinite(interval.high))
    elif gradient is not None:
        # Sums of both gradients, not a mean of quotients, which tokens of tiny advantage would rule.
        kept, _ = total(-torch.sign(advantages) * gradient, mask)
        plain, _ = total(advantages.abs() * torch.exp(log_ratio), mask)
        metrics["weight"] = kept, plain
    metrics["ratio"] = total(torch.exp(log_ratio), mask)
    metrics["approx_kl"] = total(phi(log_ratio), mask)
    metrics["sampled_entropy"] = total(-logp_old, mask)
    if entropy is not None:
        metrics["entropy"] = total(entropy, mask)
    return metrics


def merge_metrics(batches: Iterable[Metrics]) -> Metrics:
    """Add the pairs of several micro-batches; across ranks, all-reduce (sum) each tensor of the result.

    >>> one = {"clip": (torch.tensor(2.0), torch.tensor(4.0))}
    >>> bandpo.merge_metrics([one, one])["clip"]
    (tensor(4.), tensor(8.))
    """
    merged: Metrics = {}
    for metrics in batches:
        for name, (total, count) in metrics.items():
            earlier_total, earlier_count = merged.get(name, (0.0, 0.0))
            merged[name] = (earlier_total + total, earlier_count + count)
    return merged


def metric_means(metrics: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return plain means, in one transfer from the device; names whose count is 0 are left out.

    >>> bandpo.metric_means({"clip": (torch.tensor(4.0), torch.tensor(8.0)), "dual_clip": (torch.tensor(0.0),) * 2})
    {'clip': 0.5}
    """
    return {name: total / count for name, (total, count) in _as_numbers(metrics).items() if count}


def logged(metrics: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return means for a log, every time under the same names, with the count of tokens beside every share.

    A mean over no tokens reads 0; beside a share its count, `NAME/tokens`, then reads 0 too.

    >>> logged({"clip": (torch.tensor(1.0), torch.tensor(4.0)), "dual_clip": (torch.tensor(0.0),) * 2})
    {'clip': 0.25, 'clip/tokens': 4.0, 'dual_clip': 0.0, 'dual_clip/tokens': 0.0}
    """
    shown: dict[str, float] = {}
    for name, (total, count) in _as_numbers(metrics).items():
        shown[name] = total / count if count else 0.0
        if "clip" in name:
            shown[f"{name}/tokens"] = count
    return shown


def _as_numbers(metrics: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[float, float]]:
    """Return the pairs as numbers, in one transfer from the device."""
    if not metrics:
        return {}
    return dict(zip(metrics, map(tuple, as_table(metrics.values()).tolist()), strict=True))


def as_table(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return (sum, count) pairs, at least one, as one tensor of two columns: one launch and, later, one transfer.

    >>> as_table([(torch.tensor(2.0), torch.tensor(4.0))])
    tensor([[2., 4.]])
    """
    return torch.stack([number for pair in pairs for number in pair]).view(-1, 2)
