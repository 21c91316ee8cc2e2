"""DPPO: a policy gradient that drops the tokens whose divergence from the sampler has left the trust region.

Where an interval stops a token at its bound, DPPO masks it; the gradient is the same, the loss value is not (see the
identities page of the documentation). The anchor is the rollout policy: the authors found the recomputed old policy
to be worse.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.projection import probability_change, projected_divergence
from bandpo.core.tokens import Surrogate, Tokens


def masked_policy_gradient(tokens: Tokens, keep: Tensor, max_ratio: float) -> Surrogate:
    """ℓ = -A min(r, max_ratio) logp where `keep`, 0 elsewhere; the ratio is detached."""
    limit = math.log(check_number("max_ratio", max_ratio, 1.0, math.inf, low_open=True))
    weight = torch.exp(tokens.log_ratio.detach().clamp_max(limit))
    gradient = torch.where(keep, -tokens.advantages * weight, 0.0)
    return Surrogate(gradient * tokens.logp, gradient)


def divergence_mask(
    tokens: Tokens,
    divergence: Tensor,
    *,
    delta: float,
    delta_low: float | None,
    delta_high: float | None,
    two_sided: bool,
) -> Tensor:
    """True for the tokens that stay: those within their radius, and those the advantage pulls back towards it.

    Args:
        tokens: the batch; the sign of the log-ratio says on which side a token is.
        divergence: distance of each token from its anchor, (B, T).
        delta: radius; delta_low, delta_high where it differs below or above the anchor.
        two_sided: drop a token outside whatever its advantage, also where the gradient would bring it back.
    """
    if not isinstance(two_sided, bool):
        raise TypeError(f"two_sided={two_sided!r}: expected True or False")
    radius_low = _radius("delta_low", delta if delta_low is None else delta_low)
    radius_high = _radius("delta_high", delta if delta_high is None else delta_high)
    d = tokens.log_ratio.detach()
    above, below = (divergence > radius_high) & (d > 0), (divergence > radius_low) & (d < 0)
    return ~(above | below) if two_sided else ~torch.where(tokens.advantages > 0, above, below)


def _radius(name: str, value: object) -> float:
    return check_number(name, value, 0.0, math.inf, low_open=True)


def dppo_binary(
    tokens: Tokens,
    *,
    divergence: str,
    delta: float,
    delta_low: float | None = None,
    delta_high: float | None = None,
    max_ratio: float = 1e4,
    two_sided: bool = False,
) -> Surrogate:
    """DPPO with a binary divergence, of "the sampled token" against "any other", arXiv 2602.04879.

        Binary-TV (eq. 13):  |q - μ| > δ           Binary-KL (eq. 14):  KL(Bern μ || Bern q) > δ

    drops a token that its advantage pushes outward, μ and q its probabilities under the sampler and the policy. The
    authors' code adds 1e-8 inside the logarithm; this one bounds 1 - q by rounding alone, so decisions differ next to
    q = 1.

    Args:
        tokens: the batch, its anchor the rollout policy.
        divergence: "tv" or "kl".
        delta, delta_low, delta_high, two_sided: see `divergence_mask`.
        max_ratio: truncation of the importance weight; small values bias the gradient (the paper's section 5.4).
    """
    # A log-prob of 0 says that 1 - q is below rounding, not that it is 0. The log-ratio of `tokens` would not do: it is
    # guarded, and a token that rose by more than e^20 has moved as far as it has.
    logp = tokens.logp.detach().clamp_max(-torch.finfo(tokens.logp.dtype).eps / 4)
    distance = projected_divergence(tokens.logp_anchor, logp - tokens.logp_anchor, divergence)
    keep = divergence_mask(
        tokens, distance, delta=delta, delta_low=delta_low, delta_high=delta_high, two_sided=two_sided
    )
    return masked_policy_gradient(tokens, keep, max_ratio)


def dppo_top_k(
    tokens: Tokens,
    *,
    topk_logp: Tensor,
    topk_logp_rollout: Tensor,
    divergence: str,
    delta: float,
    delta_low: float | None = None,
    delta_high: float | None = None,
    max_ratio: float = 1e4,
    two_sided: bool = False,
) -> Surrogate:
    """DPPO with a divergence over the sampler's K likeliest tokens and the rest, arXiv 2602.04879, eq. 15 and 16.

    Args:
        tokens: the batch, its anchor the rollout policy.
        topk_logp, topk_logp_rollout: see `top_k_divergence`.
        divergence: "tv" or "kl".
        delta, delta_low, delta_high, two_sided: see `divergence_mask`.
        max_ratio: truncation of the importance weight.
    """
    distance = top_k_divergence(topk_logp, topk_logp_rollout, divergence)
    keep = divergence_mask(
        tokens, distance, delta=delta, delta_low=delta_low, delta_high=delta_high, two_sided=two_sided
    )
    return masked_policy_gradient(tokens, keep, max_ratio)


@torch.no_grad()
def top_k_divergence(topk_logp: Tensor, topk_logp_rollout: Tensor, divergence: str = "kl") -> Tensor:
    """D(rollout || policy) over K listed tokens and one event for all others.

        KL:  Σ_S μ (log μ - log q) + μ_rest (log μ_rest - log q_rest)         TV:  ½ (Σ_S |μ - q| + |μ_rest - q_rest|)

    DPPO, arXiv 2602.04879, eq. 15 and 16. The rest is 1 - Σ_S, at least 1e-12.

    Args:
        topk_logp: (..., K) log-probs of the listed tokens under the policy.
        topk_logp_rollout: (..., K) of the same tokens under the sampler; see `with_sampled_token`.
        divergence: "kl" or "tv".

    Returns:
        (...), fp32 (fp64 for fp64 input).

    Raises:
        ValueError: shapes that differ, another divergence.

    >>> rollout, policy = torch.tensor([[0.6, 0.3]]).log(), torch.tensor([[0.4, 0.4]]).log()
    >>> bandpo.top_k_divergence(policy, rollout, "tv")
    tensor([0.2000])
    """
    if divergence not in ("kl", "tv"):
        raise ValueError(f"divergence={divergence!r}: expected 'kl' or 'tv'")
    if topk_logp.shape != topk_logp_rollout.shape:
        raise ValueError(
            f"topk_logp has shape {tuple(topk_logp.shape)}: expected the shape of topk_logp_rollout, "
            f"{tuple(topk_logp_rollout.shape)}"
        )
    dtype = torch.float64 if topk_logp.dtype == torch.float64 else torch.float32
    log_q, log_mu = topk_logp.to(dtype), topk_logp_rollout.to(dtype)
    mu = torch.exp(log_mu)
    rest_mu, rest_q = ((1 - x.exp().sum(-1)).clamp_min(1e-12) for x in (log_mu, log_q))
    if divergence == "tv":
        change = probability_change(log_mu, log_q - log_mu)
        moved = torch.where(log_mu > -math.inf, change, torch.exp(log_q)).abs().sum(-1)
        return 0.5 * (moved + (rest_mu - rest_q).abs())
    listed = torch.where(mu > 0, mu * (log_mu - log_q), 0.0).sum(-1)
    return listed + rest_mu * torch.log(rest_mu / rest_q)


def with_sampled_token(
    topk_ids: Tensor, topk_logp_rollout: Tensor, sampled_ids: Tensor, logp_rollout: Tensor
) -> tuple[Tensor, Tensor]:
    """The sampler's top-K list with the sampled token in it: where it is missing it takes the place of the last one.

    Args:
        topk_ids: (..., K) token ids, likeliest first.
        topk_logp_rollout: (..., K) their log-probs under the sampler.
        sampled_ids: (...) ids of the sampled tokens.
        logp_rollout: (...) their log-probs under the sampler.

    Returns:
        ids and log-probs, (..., K); gather the policy's log-probs at the ids for `topk_logp`.

    >>> ids, logp = torch.tensor([[4, 7]]), torch.tensor([[0.6, 0.3]]).log()
    >>> bandpo.with_sampled_token(ids, logp, torch.tensor([9]), torch.tensor([0.05]).log())[0]
    tensor([[4, 9]])
    """
    missing = (topk_ids != sampled_ids.unsqueeze(-1)).all(-1)
    ids, logp = topk_ids.clone(), topk_logp_rollout.clone()
    ids[..., -1] = torch.where(missing, sampled_ids, topk_ids[..., -1])
    logp[..., -1] = torch.where(missing, logp_rollout.to(logp.dtype), topk_logp_rollout[..., -1])
    return ids, logp
