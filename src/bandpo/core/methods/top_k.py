"""Divergences over the sampler's K likeliest tokens and one event for all others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.divergences.moved import probability_change


@torch.no_grad()
def top_k_divergence(topk_logp: Tensor, topk_logp_rollout: Tensor, divergence: str = "kl") -> Tensor:
    """Return D(rollout || policy) over K listed tokens and one event for all others.

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
    """Return the sampler's top-K list with the sampled token in it, in the place of the last one where it was missing.

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
