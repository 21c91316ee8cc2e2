"""The policy loss: any method's surrogate, per token first, reduced last.

    loss = aggregate(ℓ(logp - logp_anchor, A; method) · importance weight + β KL(policy || reference))

What the trust region does to a token is the method's rule, see `core/methods`; this file prepares the tokens, so that
masked positions may hold anything, and adds what goes around every rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import (
    can_inspect,
    check_binary,
    check_finite,
    check_floating,
    check_inside,
    check_number,
    check_numbers,
)
from bandpo.core.methods.method import Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.aggregation import aggregate, aggregate_rows
from bandpo.core.objective.fused import fused_region
from bandpo.core.objective.metrics import Metrics, masked_sum, trust_region_metrics
from bandpo.core.objective.overflow import check_overflow
from bandpo.core.objective.reference_kl import check_estimator, reference_kl
from bandpo.core.regions.clipping import with_known_gradient
from bandpo.core.tokens import MAX_LOG_RATIO, Surrogate, Tokens
from bandpo.kernels.clip_loss import as_metrics, clip_loss
from bandpo.kernels.region import ClipRegion

Check = Callable[[str, Tensor, Tensor], None]

ANCHORS = ("old", "rollout")
# What masked positions hold inside: any finite log-prob and any small radius serve, their advantage is 0.
_FILL, _FILL_RADIUS = -1.0, 1e-4
_FILL_INPUT = {"BTK": -20.0}  # log-probs too: small enough for any number of them to sum to less than 1


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
    anchor: str | None = None,
    importance_cap: float | None = None,
    logp_ref: Tensor | None = None,
    beta: float = 0.0,
    kl_estimator: str = "k3",
    kl_cap: float | None = None,
    entropy: Tensor | None = None,
    metrics: bool = True,
    bounds: bool = True,
    kernel: str = "auto",
    check: bool = True,
    **options: Any,
) -> PolicyLoss:
    """The loss of any registered method, with metrics that say what the trust region did.

    Args:
        logp: (B, T) log-probs of the sampled tokens under the policy being trained; gradients flow through it.
        logp_old: (B, T) under the old policy, recomputed by the trainer before the first update on this batch.
        advantages: (B,), (B, 1) or (B, T).
        mask: (B, T) bool (or exactly 0 and 1), true for the tokens that count. Masked positions may hold anything.
        method: a name from `bandpo.methods()`; its hyperparameters are keywords of this function.
        aggregation, max_tokens, denominator: how tokens are averaged, see `aggregate`.
        logp_rollout: (B, T) under the sampler. Used by anchor="rollout" and importance_cap; its distance from
            logp_old is always reported as `rollout_kl`.
        anchor: whose log-probs the ratio is divided by and the bounds are computed from, "old" or "rollout"; the
            method's own if not given.
        importance_cap: truncated importance sampling: weight tokens by min(e^(logp_old - logp_rollout), cap).
        logp_ref: (B, T) under the reference policy, with beta > 0.
        beta: weight of the reference KL, estimated by `kl_estimator` ("k1", "k2" or "k3").
        kl_cap: hold that estimate between -kl_cap and kl_cap at every token, without a gradient there; verl's and
            NeMo-RL's is 10. None, as in TRL, for no cap.
        entropy: (B, T) exact entropy of the policy, for the metrics; the bonus of method "entropy".
        metrics: compute the metrics; they cost several times what the loss does.
        bounds: False lets a band decide by g_f(p, r) > δ without solving for its bounds, which is several times faster
            where they are searched for (divergences without a closed form). The gradient is the same; the loss
            reported for a stopped token is then -A r, and the metrics have no bounds.
        kernel: "torch", the code you read; "triton", one fused kernel; "auto", the kernel where it can serve: on a
            CUDA device with Triton, for fixed clips and the bands of KL, TV, χ² and Hellinger with number radii, in
            fp32, bf16 or fp16, without importance_cap and logp_ref.
        check: raise, inside the mask, on NaN, infinite or positive log-probs, on NaN or infinite advantages, and on a
            loss, gradient or metric that overflows; skipped in compiled code, under vmap and for fake tensors.
        **options: hyperparameters of the method, such as delta, max_ratio, eps_high, dual_clip, and the inputs it
            needs, such as topk_logp or logits; `bandpo.methods()[name]` lists both.

    Returns:
        PolicyLoss(loss, per_token, metrics), fp32 (fp64 for fp64 logp).

    Raises:
        TypeError: a hyperparameter the method does not take, tensors that are not floating.
        ValueError: shapes that do not fit, unknown names, an input that is missing or would have no effect, a finite
            input whose loss overflows: the token and its values are named.

    >>> logp_old = torch.tensor([[0.01, 0.9]]).log()
    >>> logp = torch.tensor([[0.05, 0.99]]).log().requires_grad_()
    >>> out = bandpo.policy_loss(logp, logp_old, torch.tensor([1.0]), torch.ones(1, 2), method="band-kl", delta=0.05)
    >>> out.loss.backward(); logp.grad      # the rare token still learns, the likely one has reached its bound
    tensor([[-2.5000,  0.0000]])
    """
    chosen = get_method(method)
    inputs, hyperparameters = chosen.split({**options, **({"entropy": entropy} if "entropy" in chosen.inputs else {})})
    _check_reference(logp_ref, beta, kl_estimator, kl_cap)
    mask = _as_mask(mask, logp, check)
    dtype = torch.float64 if logp.dtype == torch.float64 else torch.float32

    def verified(name: str, tensor: Tensor, verify: Check = check_inside) -> Tensor:
        _check_shape(name, tensor, mask)
        if check and can_inspect(tensor, mask):
            verify(name, tensor, mask)
        return tensor

    def prepared(tensor: Tensor, fill: float = _FILL) -> Tensor:
        return torch.where(mask, tensor, fill).to(dtype)

    logp, logp_old = verified("logp", logp), verified("logp_old", logp_old).detach()
    logp_rollout = None if logp_rollout is None else verified("logp_rollout", logp_rollout).detach()
    logp_anchor = _anchor(chosen, anchor, logp_old, logp_rollout)
    advantages = verified("advantages", _per_token(advantages, logp), check_finite).detach()
    inputs = {name: _input_inside(chosen, name, value, mask, check) for name, value in inputs.items()}
    extra: Metrics = {}
    told = {"logp": logp, "logp_old": logp_old, "advantages": advantages}
    if logp_rollout is not None:
        told["logp_rollout"] = logp_rollout

    def finished(loss: Tensor, per_token: Tensor, gradient: Tensor, found: Metrics) -> PolicyLoss:
        result = PolicyLoss(loss, per_token, {**found, **extra})
        if check and can_inspect(loss, mask):
            parts = {"per_token": per_token, "its gradient": gradient}
            check_overflow(loss, parts, result.metrics, told, mask)
        return result

    if metrics and entropy is not None:
        extra["entropy"] = masked_sum(prepared(verified("entropy", entropy, check_finite), 0.0).detach(), mask)
    if metrics and logp_rollout is not None:
        extra["rollout_kl"] = masked_sum(reference_kl(prepared(logp_rollout), prepared(logp_old)), mask)
    has_more_terms = importance_cap is not None or logp_ref is not None or not bounds
    fused = fused_region(kernel, chosen, hyperparameters, logp, has_more=has_more_terms)
    if fused is not None:
        row_losses, lengths, per_token, found = _fused(logp, logp_anchor, advantages, mask, fused, metrics)
        loss = aggregate_rows(row_losses, lengths, aggregation, max_tokens=max_tokens, denominator=denominator)
        return finished(loss, per_token, per_token, found)

    new, base, advantage = prepared(logp), prepared(logp_anchor), prepared(advantages, 0.0)
    hyperparameters = {name: _radius_inside(option, mask) for name, option in hyperparameters.items()}

    tokens = Tokens(new - base, new, base, advantage, mask)
    per_token, gradient, found = _method_loss(chosen, tokens, {**inputs, **hyperparameters}, check, metrics, bounds)
    if importance_cap is not None:
        rollout = None if logp_rollout is None else prepared(logp_rollout)
        weight = _importance_weight(prepared(logp_old), rollout, logp_anchor is logp_rollout, importance_cap)
        per_token = per_token * weight
    if logp_ref is not None:
        told["logp_ref"] = logp_ref
        kl = reference_kl(new, prepared(verified("logp_ref", logp_ref)).detach(), kl_estimator, kl_cap)
        if metrics:
            found["reference_kl"] = masked_sum(kl.detach(), mask)
        per_token = per_token + beta * kl
    per_token = torch.where(mask, per_token, 0.0)
    loss = aggregate(per_token, mask, aggregation, max_tokens=max_tokens, denominator=denominator)
    return finished(loss, per_token, gradient, found)


def _method_loss(
    method: Method, tokens: Tokens, options: dict[str, Any], check: bool, metrics: bool, bounds: bool
) -> tuple[Tensor, Tensor, Metrics]:
    """The method's loss and gradient per token, and its metrics if asked for; `tokens` are not yet guarded."""
    new, log_ratio = tokens.logp, tokens.log_ratio
    if method.region is not None:  # its gradient is known in closed form, so autograd need not follow its bounds
        tokens, log_ratio = tokens._replace(logp=new.detach()), log_ratio.detach()
    tokens = tokens._replace(log_ratio=log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))
    if bounds:
        surrogate, interval = method.apply(tokens, check=check, one_sided=not metrics, **options)
    else:
        surrogate, interval = method.apply_root_free(tokens, check=check, **options), None
    per_token = surrogate.loss
    if method.region is not None:
        surrogate = _guarded(surrogate, tokens)
        per_token = with_known_gradient(new, surrogate)
    if not metrics:
        return per_token, surrogate.gradient, {}
    dual_clip = options.get("dual_clip")
    found = trust_region_metrics(
        tokens.log_ratio,
        tokens.logp_anchor,
        tokens.advantages,
        tokens.mask,
        interval,
        gradient=surrogate.gradient,
        log_dual_clip=None if dual_clip is None else math.log(dual_clip),
    )
    return per_token, surrogate.gradient, found


def _fused(
    new: Tensor, base: Tensor, advantage: Tensor, mask: Tensor, region: ClipRegion, metrics: bool
) -> tuple[Tensor, Tensor, Tensor, Metrics]:
    """Loss and length of every row, loss of every token and metrics, from the kernel."""
    row_losses, per_token, sums = clip_loss(new, base, advantage, mask, region, metrics=metrics)
    found = as_metrics(sums, math.isfinite(region.log_dual_clip)) if metrics else {}
    return row_losses, sums[:, 1], per_token, found


def _guarded(surrogate: Surrogate, tokens: Tokens) -> Surrogate:
    """The surrogate with no gradient where the log-ratio is held at its limit and the loss is constant."""
    is_held = tokens.log_ratio.abs() >= MAX_LOG_RATIO
    return surrogate._replace(gradient=torch.where(is_held, 0.0, surrogate.gradient))


def _as_mask(mask: Tensor, logp: Tensor, check: bool) -> Tensor:
    check_floating("logp", logp)
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask: expected a tensor, got {type(mask).__name__}")
    if logp.dim() != 2:
        raise ValueError(f"logp has shape {tuple(logp.shape)}: expected (batch, tokens)")
    if mask.shape != logp.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected the shape of logp, {tuple(logp.shape)}")
    _check_device("mask", mask, logp)
    if mask.dtype == torch.bool:
        return mask
    if check and can_inspect(mask):
        check_binary("mask", mask)
    return mask != 0


def _check_device(name: str, tensor: Tensor, logp: Tensor) -> None:
    if tensor.device != logp.device:
        raise ValueError(f"{name} is on {tensor.device}: expected the device of logp, {logp.device}")


def _check_shape(name: str, tensor: Tensor, mask: Tensor) -> None:
    check_floating(name, tensor)
    _check_device(name, tensor, mask)
    if tensor.shape != mask.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: expected the shape of logp, {tuple(mask.shape)}")


def _check_reference(logp_ref: Tensor | None, beta: float, kl_estimator: str, kl_cap: float | None) -> None:
    check_estimator("kl_estimator", kl_estimator)
    if kl_cap is not None:
        check_number("kl_cap", kl_cap, 0.0, math.inf, low_open=True)
        if logp_ref is None:
            raise ValueError(f"kl_cap={kl_cap!r} caps the reference KL: expected logp_ref and beta with it")
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
    batch, tokens = logp.shape
    if advantages.shape in ((batch,), (batch, 1)):
        return advantages.reshape(-1, 1).expand_as(logp)
    raise ValueError(f"advantages has shape {tuple(advantages.shape)}: expected ({batch},) or ({batch}, {tokens})")


def _input_inside(method: Method, name: str, value: Any, mask: Tensor, check: bool) -> Any:
    """One of the method's inputs, checked, with masked positions made harmless; gradients flow through it."""
    shape = method.inputs[name].shape
    if not shape:
        return value
    check_floating(name, value)
    _check_device(name, value, mask)
    known = {"B": mask.shape[0], "T": mask.shape[1]}
    fits = value.dim() == len(shape) and all(
        known.get(axis, n) == n for axis, n in zip(shape, value.shape, strict=True)
    )
    if not fits:
        expected = ", ".join(str(known.get(axis, axis)) for axis in shape)
        raise ValueError(f"{name} has shape {tuple(value.shape)}: expected ({expected})")
    inside = mask if "T" in shape else mask.any(-1)
    inside = inside.reshape(inside.shape + (1,) * (value.dim() - inside.dim()))
    if check and can_inspect(value, mask):
        check_numbers(name, value, inside)
    return torch.where(inside, value, _FILL_INPUT.get(shape, 0.0))


def _anchor(method: Method, anchor: str | None, old: Tensor, rollout: Tensor | None) -> Tensor:
    chosen = method.anchor if anchor is None else anchor
    if chosen not in ANCHORS:
        raise ValueError(f"anchor={anchor!r}: expected one of {', '.join(map(repr, ANCHORS))}")
    if chosen == "old":
        return old
    if rollout is None:
        whose = f"method {method.name!r}" if anchor is None else "anchor='rollout'"
        instead = "; anchor='old' takes logp_old instead" if anchor is None else ""
        raise ValueError(f"{whose} needs logp_rollout, the sampler's log-probs{instead}")
    return rollout


def _importance_weight(old: Tensor, rollout: Tensor | None, is_anchor: bool, cap: float) -> Tensor:
    if rollout is None:
        raise ValueError(f"importance_cap={cap!r} needs logp_rollout, the sampler's log-probs")
    if is_anchor:
        raise ValueError(
            f"importance_cap={cap!r} with anchor='rollout': the ratio is already new/rollout, correcting it by "
            "old/rollout would count the mismatch twice"
        )
    log_cap = math.log(check_number("importance_cap", cap, 0.0, math.inf, low_open=True))
    return torch.exp((old - rollout).clamp_max(log_cap))
