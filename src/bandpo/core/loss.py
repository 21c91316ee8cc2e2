"""The policy loss: PPO's pessimistic surrogate over any trust region, per token first, reduced last.

For a token with log-ratio d = logp - logp_old, advantage A and allowed interval [low, high],

    ℓ = max(-A e^d, -A e^clip(d, low, high)),

which is -A e^min(d, high) for A > 0 and -A e^max(d, low) for A < 0: no gradient once the token has moved past its
bound in the direction the advantage pushes. The decision is made on d itself, because near p = 1 a ratio no longer
has the digits for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.aggregation import aggregate
from bandpo.core.band import Interval
from bandpo.core.checks import can_inspect, check_finite, check_floating, check_inside, check_number
from bandpo.core.methods import get_method
from bandpo.core.metrics import Metrics, masked_sum, trust_region_metrics
from bandpo.core.reference_kl import check_estimator, reference_kl

Check = Callable[[str, Tensor, Tensor], None]

ANCHORS = ("old", "rollout")
# verl's guard: beyond a ratio of e^±20 the loss is constant, so that no finite input overflows fp32.
MAX_LOG_RATIO = 20.0
# What masked positions hold inside: any finite log-prob and any small radius serve, their advantage is 0.
_FILL, _FILL_RADIUS = -1.0, 1e-4


class PolicyLoss(NamedTuple):
    """Scalar loss to minimise, (B, T) per-token loss before aggregation (0 where masked), and metrics.

    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> out = bandpo.policy_loss(logp, logp, torch.tensor([1.0]), torch.ones(1, 2))
    >>> out.loss, out.per_token, out.metrics["clip"]
    (tensor(-1.), tensor([[-1., -1.]]), (tensor(0.), tensor(2.)))
    """

    loss: Tensor
    per_token: Tensor
    metrics: Metrics


def clipped_surrogate(
    log_ratio: Tensor, advantages: Tensor, interval: Interval, dual_clip: float | None = None
) -> Tensor:
    """PPO's pessimistic surrogate, elementwise: ℓ = max(-A r, -A clip(r, e^low, e^high)), r = e^log_ratio.

    With a dual clip c > 1, ℓ = min(ℓ, -A c) where A < 0 (arXiv 1912.09729, eq. 4).

    Args:
        log_ratio: logp - logp_old, fp32 or fp64; gradients flow through it.
        advantages: same shape, detached.
        interval: bounds of log_ratio.
        dual_clip: ratio above which bad tokens are left alone.

    Returns:
        Loss per token, to be minimised.

    >>> interval = bandpo.Interval(torch.tensor([-0.2]), torch.tensor([0.2]))
    >>> bandpo.clipped_surrogate(torch.tensor([0.5]), torch.tensor([1.0]), interval)
    tensor([-1.2214])
    """
    pushed_up = torch.where(log_ratio > interval.high, interval.high, log_ratio)
    pushed_down = torch.where(log_ratio < interval.low, interval.low, log_ratio)
    if dual_clip is not None:
        limit = math.log(dual_clip)
        pushed_down = torch.where(pushed_down > limit, limit, pushed_down)
    return -advantages * torch.exp(torch.where(advantages >= 0, pushed_up, pushed_down))


def policy_loss(
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    method: str = "band-kl",
    aggregation: str = "seq-mean-token-mean",
    max_tokens: int | None = None,
    denominator: float | Tensor | None = None,
    logp_rollout: Tensor | None = None,
    anchor: str = "old",
    importance_cap: float | None = None,
    logp_ref: Tensor | None = None,
    beta: float = 0.0,
    kl_estimator: str = "k3",
    entropy: Tensor | None = None,
    check: bool = True,
    **hyperparameters: Any,
) -> PolicyLoss:
    """The loss of any registered method, with metrics that say what the trust region did.

    Args:
        logp: (B, T) log-probs of the sampled tokens under the policy being trained; gradients flow through it.
        logp_old: (B, T) under the old policy, recomputed by the trainer before the first update on this batch.
        advantages: (B,) or (B, T).
        mask: (B, T) bool (or 0/1), true for the tokens that count. Masked positions may hold anything.
        method: a name from `bandpo.methods()`; its hyperparameters are keywords of this function.
        aggregation, max_tokens, denominator: how tokens are averaged, see `aggregate`.
        logp_rollout: (B, T) under the sampler. Used by anchor="rollout" and importance_cap; its distance from
            logp_old is always reported as `rollout_kl`.
        anchor: whose log-probs the ratio is divided by and the bounds are computed from, "old" or "rollout".
        importance_cap: truncated importance sampling: weight tokens by min(e^(logp_old - logp_rollout), cap).
        logp_ref: (B, T) under the reference policy, with beta > 0.
        beta: weight of the reference KL, estimated by `kl_estimator` ("k1", "k2" or "k3").
        entropy: (B, T) exact entropy of the policy, for the metrics alone.
        check: raise, inside the mask, on NaN, infinite or positive log-probs and on NaN or infinite advantages;
            skipped in compiled code and under vmap.
        **hyperparameters: of the method, such as delta, max_ratio, eps_high, dual_clip.

    Returns:
        PolicyLoss(loss, per_token, metrics), fp32 (fp64 for fp64 logp).

    Raises:
        TypeError: a hyperparameter the method does not take, tensors that are not floating.
        ValueError: shapes that do not fit, unknown names, an input that is missing or would have no effect.

    >>> logp_old = torch.tensor([[0.01, 0.9]]).log()
    >>> logp = torch.tensor([[0.05, 0.99]]).log().requires_grad_()
    >>> out = bandpo.policy_loss(logp, logp_old, torch.tensor([1.0]), torch.ones(1, 2), method="band-kl", delta=0.05)
    >>> out.loss.backward(); logp.grad      # the rare token still learns, the likely one has reached its bound
    tensor([[-2.5000,  0.0000]])
    """
    chosen = get_method(method)
    options = chosen.resolve(hyperparameters)
    dual_clip = options.pop("dual_clip", None)
    _check_reference(logp_ref, beta, kl_estimator)
    mask = _as_mask(mask, logp)
    dtype = torch.float64 if logp.dtype == torch.float64 else torch.float32

    def prepared(name: str, tensor: Tensor, fill: float = _FILL, verify: Check = check_inside) -> Tensor:
        _check_shape(name, tensor, mask)
        if check and can_inspect(tensor, mask):
            verify(name, tensor, mask)
        return torch.where(mask, tensor, fill).to(dtype)

    new, old = prepared("logp", logp), prepared("logp_old", logp_old).detach()
    rollout = None if logp_rollout is None else prepared("logp_rollout", logp_rollout).detach()
    base = _anchor(anchor, old, rollout)
    advantage = prepared("advantages", _per_token(advantages, logp), 0.0, check_finite).detach()
    options = {name: _radius_inside(option, mask) for name, option in options.items()}

    log_ratio = (new - base).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    interval = chosen.interval(base, check=check, **options)
    per_token = clipped_surrogate(log_ratio, advantage, interval, dual_clip)
    metrics = trust_region_metrics(
        log_ratio,
        base,
        advantage,
        mask,
        interval,
        log_dual_clip=None if dual_clip is None else math.log(dual_clip),
        entropy=None if entropy is None else prepared("entropy", entropy, 0.0, check_finite).detach(),
    )

    if rollout is not None:
        metrics["rollout_kl"] = masked_sum(reference_kl(rollout, old), mask)
    if importance_cap is not None:
        per_token = per_token * _importance_weight(old, rollout, anchor, importance_cap)
    if logp_ref is not None:
        kl = reference_kl(new, prepared("logp_ref", logp_ref).detach(), kl_estimator)
        metrics["reference_kl"] = masked_sum(kl.detach(), mask)
        per_token = per_token + beta * kl
    per_token = torch.where(mask, per_token, 0.0)
    loss = aggregate(per_token, mask, aggregation, max_tokens=max_tokens, denominator=denominator)
    return PolicyLoss(loss, per_token, metrics)


def _as_mask(mask: Tensor, logp: Tensor) -> Tensor:
    check_floating("logp", logp)
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask: expected a tensor, got {type(mask).__name__}")
    if logp.dim() != 2:
        raise ValueError(f"logp has shape {tuple(logp.shape)}: expected (batch, tokens)")
    if mask.shape != logp.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected the shape of logp, {tuple(logp.shape)}")
    return mask if mask.dtype == torch.bool else mask != 0


def _check_shape(name: str, tensor: Tensor, mask: Tensor) -> None:
    check_floating(name, tensor)
    if tensor.shape != mask.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: expected the shape of logp, {tuple(mask.shape)}")


def _check_reference(logp_ref: Tensor | None, beta: float, kl_estimator: str) -> None:
    check_estimator("kl_estimator", kl_estimator)
    check_number("beta", beta, 0.0, math.inf)
    if (logp_ref is None) != (beta == 0.0):
        raise ValueError(f"beta={beta!r} with logp_ref {'missing' if logp_ref is None else 'given'}: give both or none")


def _radius_inside(option: Any, mask: Tensor) -> Any:
    """An option given per token, with masked positions made harmless; any other option as it is."""
    per_token = isinstance(option, Tensor) and option.shape == mask.shape
    return torch.where(mask, option, _FILL_RADIUS) if per_token else option


def _per_token(advantages: Tensor, logp: Tensor) -> Tensor:
    check_floating("advantages", advantages)
    if advantages.shape == logp.shape:
        return advantages
    if advantages.shape == logp.shape[:1]:
        return advantages.unsqueeze(-1).expand_as(logp)
    batch, tokens = logp.shape
    raise ValueError(f"advantages has shape {tuple(advantages.shape)}: expected ({batch},) or ({batch}, {tokens})")


def _anchor(anchor: str, old: Tensor, rollout: Tensor | None) -> Tensor:
    if anchor not in ANCHORS:
        raise ValueError(f"anchor={anchor!r}: expected one of {', '.join(map(repr, ANCHORS))}")
    if anchor == "old":
        return old
    if rollout is None:
        raise ValueError("anchor='rollout' needs logp_rollout, the sampler's log-probs")
    return rollout


def _importance_weight(old: Tensor, rollout: Tensor | None, anchor: str, cap: float) -> Tensor:
    if rollout is None:
        raise ValueError(f"importance_cap={cap!r} needs logp_rollout, the sampler's log-probs")
    if anchor == "rollout":
        raise ValueError(
            f"importance_cap={cap!r} with anchor='rollout': the ratio is already new/rollout, correcting it by "
            "old/rollout would count the mismatch twice"
        )
    log_cap = math.log(check_number("importance_cap", cap, 0.0, math.inf, low_open=True))
    return torch.exp((old - rollout).clamp_max(log_cap))
