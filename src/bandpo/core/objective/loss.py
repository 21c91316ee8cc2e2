"""The policy loss: any method's surrogate, per token first, reduced last.

    loss = aggregate(ℓ(logp - logp_anchor, A; method) · importance weight + β KL(policy || reference))

What the trust region does to a token is the method's rule, see `core/methods`; `inputs` checks what is given and makes
masked positions harmless, `corrections` has what goes around every rule.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import can_inspect, check_finite
from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.aggregation import aggregate
from bandpo.core.objective.corrections import check_importance, check_reference, importance_weight
from bandpo.core.objective.fused import Radii, kernel_region
from bandpo.core.objective.gradients import with_known_gradient
from bandpo.core.objective.inputs import Batch, as_tokens, checked, filled, prepare, radii_inside
from bandpo.core.objective.layout import layout
from bandpo.core.objective.metrics import Metrics, masked_sum, trust_region_metrics
from bandpo.core.objective.one_pass import in_one_pass, kernel_setting
from bandpo.core.objective.overflow import check_overflow
from bandpo.core.objective.packed_average import packed_average
from bandpo.core.objective.packed_terms import PackedTerms, packed_terms
from bandpo.core.objective.reference_kl import reference_kl
from bandpo.core.regions.dispatch import NO_OTHERS, Others, as_metrics, clip_loss
from bandpo.core.regions.packed import PackedRegion
from bandpo.core.tokens import MAX_LOG_RATIO, Surrogate, Tokens, hold


class PolicyLoss(NamedTuple):
    """Scalar loss to minimise, per-token loss before aggregation in the shape of logp, 0 where masked, and metrics.

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
    segments: Tensor | None = None,
    method: str | Method = "band-kl",
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
    """Return the loss of any method, with metrics that say what the trust region did.

    Args:
        logp: (B, T) log-probs of the sampled tokens under the policy being trained; gradients flow through it.
        logp_old: (B, T) under the old policy, recomputed by the trainer before the first update on this batch.
        advantages: (B,), (B, 1) or (B, T).
        mask: (B, T) bool (or exactly 0 and 1), true for the tokens that count. Masked positions may hold anything.
        segments: number of each token's sequence, 0, 1, 2, ... as they lie, below 0 for padding, where sequences are
            packed end to end: (B, T) is then (tokens,) or (rows, tokens) in every tensor per token, and (B,) has one
            entry a sequence. From flash-attention's cu_seqlens it is
            `torch.repeat_interleave(torch.arange(B), cu_seqlens.diff())`. The result is that of the padded call; an
            error that names a token names its sequence and its place there.
        method: a name from `bandpo.methods()`, or a Method; its hyperparameters are keywords of this function.
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
            CUDA device with Triton, for fixed clips, "atr-grpo", "dcpo" and the bands of KL, TV, χ² and Hellinger,
            mirrored or not, in fp32, bf16 or fp16.
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

    Warns:
        PrecisionWarning: old log-probs in 16 bits, unless check=False.

    >>> logp_old = torch.tensor([[0.01, 0.9]]).log()
    >>> logp = torch.tensor([[0.05, 0.99]]).log().requires_grad_()
    >>> out = bandpo.policy_loss(logp, logp_old, torch.tensor([1.0]), torch.ones(1, 2), method="band-kl", delta=0.05)
    >>> out.loss.backward(); logp.grad      # the rare token still learns, the likely one has reached its bound
    tensor([[-2.5000,  0.0000]])
    """
    method = get_method(method)
    reduction = {"max_tokens": max_tokens, "denominator": denominator}
    is_plain = bounds and segments is None and entropy is None and anchor in (None, "old")
    if is_plain and (setting := kernel_setting(kernel, method, options, logp, aggregation, **reduction)) is not None:
        check_reference(logp_ref, beta, kl_estimator, kl_cap)
        setting = setting._replace(terms=packed_terms(importance_cap, beta, kl_estimator, kl_cap))
        others = NO_OTHERS if logp_rollout is None and logp_ref is None else Others(logp_rollout, logp_ref)
        if (found := in_one_pass((logp, logp_old, advantages, mask), others, setting, metrics, check)) is not None:
            return PolicyLoss(*found)
    lie = layout(segments, mask, check=check)
    logp, logp_old, advantages = lie.rows("logp", logp), lie.rows("logp_old", logp_old), lie.advantages(advantages)
    mask, entropy, options = lie.rows("mask", mask), lie.rows_if("entropy", entropy), lie.options(method, options)
    policies = {name: lie.rows_if(name, x) for name, x in (("logp_rollout", logp_rollout), ("logp_ref", logp_ref))}
    bonus = {"entropy": entropy} if "entropy" in method.inputs else {}
    inputs, hyperparameters = method.split({**options, **bonus})
    check_reference(logp_ref, beta, kl_estimator, kl_cap)
    batch = prepare(method, logp, logp_old, advantages, mask, **policies, anchor=anchor, inputs=inputs, check=check)
    check_importance(batch, importance_cap)
    hyperparameters = radii_inside(hyperparameters, batch.mask)
    region = kernel_region(kernel, method, hyperparameters, batch, bounds=bounds, check=check)
    if region is not None:
        terms = packed_terms(importance_cap, beta, kl_estimator, kl_cap)
        loss, per_token, counts = _by_kernel(batch, *region, terms, metrics, aggregation, max_tokens, denominator)
        gradient = per_token
    else:
        settings = {**batch.inputs, **hyperparameters}
        per_token, gradient, counts = _by_torch(method, as_tokens(batch), settings, check, metrics, bounds)
        if importance_cap is not None:
            per_token = per_token * importance_weight(batch, importance_cap)
        if batch.logp_ref is not None:
            kl = reference_kl(filled(batch.logp, batch), filled(batch.logp_ref, batch), kl_estimator, kl_cap)
            per_token = per_token + beta * kl
            if metrics:
                counts["reference_kl"] = masked_sum(kl.detach(), batch.mask)
        per_token = torch.where(batch.mask, per_token, 0.0)
        loss = aggregate(per_token, batch.mask, aggregation, **reduction)
    if metrics:
        counts |= _of_policies(batch, entropy, check, "rollout_kl" in counts)
    if check and can_inspect(loss, batch.mask):
        parts = {"per_token": per_token, "its gradient": gradient}
        check_overflow(loss, parts, counts, batch.named(), batch.mask)
    return PolicyLoss(loss, lie.given(per_token), counts)


def _by_torch(
    method: Method, tokens: Tokens, settings: dict[str, Any], check: bool, metrics: bool, bounds: bool
) -> tuple[Tensor, Tensor, Metrics]:
    """Return the method's loss and gradient per token, and its metrics if asked for; `tokens` are not yet guarded."""
    logp, log_ratio = tokens.logp, tokens.log_ratio
    is_interval = isinstance(method, IntervalMethod)
    if is_interval:  # its gradient is known in closed form, so autograd need not follow its bounds
        tokens, log_ratio = tokens._replace(logp=logp.detach()), log_ratio.detach()
    tokens = tokens._replace(log_ratio=hold(log_ratio))
    surrogate, interval = method.apply(tokens, check=check, one_sided=not metrics, bounds=bounds, **settings)
    per_token = surrogate.loss
    if is_interval:
        surrogate = _guarded(surrogate, tokens)
        per_token = with_known_gradient(logp, surrogate)
    if not metrics:
        return per_token, surrogate.gradient, {}
    dual_clip = settings.get("dual_clip")
    counts = trust_region_metrics(
        tokens.log_ratio,
        tokens.logp_anchor,
        tokens.advantages,
        tokens.mask,
        interval,
        gradient=surrogate.gradient,
        log_dual_clip=None if dual_clip is None else math.log(dual_clip),
    )
    return per_token, surrogate.gradient, counts


def _by_kernel(
    batch: Batch,
    region: PackedRegion,
    radii: Radii,
    terms: PackedTerms,
    metrics: bool,
    aggregation: str,
    max_tokens: int | None,
    denominator: float | Tensor | None,
) -> tuple[Tensor, Tensor, Metrics]:
    """Return the loss, the loss of every token and metrics, from the kernel."""
    is_number = not isinstance(denominator, Tensor)
    average = packed_average(aggregation, max_tokens, denominator if is_number else 1.0)
    tensors = batch.logp, batch.logp_anchor, batch.advantages, batch.mask
    # The kernel knows the anchor's log-probs alone: where that is the sampler, both are one to it.
    rollout = None if batch.logp_anchor is batch.logp_rollout else batch.logp_rollout
    others = Others(rollout, batch.logp_ref, *radii)
    loss, per_token, parts, _ = clip_loss(*tensors, region, average, terms, others, metrics=metrics)
    counts = as_metrics(parts, math.isfinite(region.log_dual_clip), others)[0] if metrics else {}
    return loss if is_number else loss / denominator, per_token, counts


def _of_policies(batch: Batch, entropy: Tensor | None, check: bool, has_rollout_kl: bool) -> Metrics:
    """Return the metrics that no trust region has a part in."""
    counts: Metrics = {}
    if entropy is not None:
        entropy = checked("entropy", entropy, batch.mask, check, check_finite)
        counts["entropy"] = masked_sum(filled(entropy, batch, 0.0).detach(), batch.mask)
    if batch.logp_rollout is not None and not has_rollout_kl:
        kl = reference_kl(filled(batch.logp_rollout, batch), filled(batch.logp_old, batch))
        counts["rollout_kl"] = masked_sum(kl, batch.mask)
    return counts


def _guarded(surrogate: Surrogate, tokens: Tokens) -> Surrogate:
    """Return the surrogate with no gradient where the log-ratio is held at its limit and the loss is constant."""
    is_held = tokens.log_ratio.abs() >= MAX_LOG_RATIO
    return surrogate._replace(gradient=torch.where(is_held, 0.0, surrogate.gradient))
