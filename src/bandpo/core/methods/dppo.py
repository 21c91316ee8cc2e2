"""DPPO: a policy gradient that drops the tokens whose divergence from the sampler has left the trust region.

Where an interval stops a token at its bound, DPPO masks it; the gradient is the same, the loss value is not (see the
identities page of the documentation). The anchor is the rollout policy: the authors found the recomputed old policy
to be worse.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.methods.method import Input
from bandpo.core.methods.registry import register_method as method
from bandpo.core.methods.top_k import top_k_divergence
from bandpo.core.tokens import Surrogate, Tokens

_LISTED = "eq. 15 and 16"


def _sampled(logp_anchor: Tensor, logp: Tensor) -> Tensor:
    """Return the log-probs of a list that holds only the sampled token."""
    return logp.unsqueeze(-1)


def _sampled_rollout(logp_anchor: Tensor, logp: Tensor) -> Tensor:
    """Return the same under the sampler."""
    return logp_anchor.unsqueeze(-1)


_TOPK_LOGP = Input("BTK", "log-probs of the sampler's top-k tokens under the policy", example=_sampled)
_TOPK_LOGP_ROLLOUT = Input(
    "BTK", "their log-probs under the sampler, see bandpo.with_sampled_token", example=_sampled_rollout
)


def masked_policy_gradient(tokens: Tokens, keep: Tensor, max_ratio: float) -> Surrogate:
    """Return ℓ = -A min(r, max_ratio) logp where `keep`, 0 elsewhere; the ratio is detached."""
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
    """Return True for the tokens that stay: those within their radius, and those the advantage pulls back towards it.

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


def _moved(tokens: Tokens, divergence: str) -> Tensor:
    """Return the divergence of "the sampled token" against "any other" between sampler and policy.

    The authors' code adds 1e-8 inside the logarithm; this one bounds 1 - q by rounding alone, so decisions differ next
    to q = 1.
    """
    # A log-prob of 0 says that 1 - q is below rounding, not that it is 0. The log-ratio of `tokens` would not do: it is
    # guarded, and a token that rose by more than e^20 has moved as far as it has.
    logp = tokens.logp.detach().clamp_max(-torch.finfo(tokens.logp.dtype).eps / 4)
    return projected_divergence(tokens.logp_anchor, logp - tokens.logp_anchor, divergence)


def _about(what: str, equation: str) -> dict[str, str]:
    return {
        "family": "mask",
        "formula": f"-A min(r, max_ratio) logp where {what} <= δ or A pulls back, else 0",
        "citation": f"DPPO, arXiv 2602.04879, {equation}",
        "anchor": "rollout",
    }


@method("dppo-kl", **_about("KL(Bern μ || Bern q)", "eq. 14"), presets={"divergence": "kl", "delta": 0.05})
@method("dppo-tv", **_about("|q - μ|", "eq. 13"), presets={"divergence": "tv"})
def dppo_binary(
    tokens: Tokens,
    *,
    divergence: str,
    delta: float = 0.15,
    delta_low: float | None = None,
    delta_high: float | None = None,
    max_ratio: float = 1e4,
    two_sided: bool = False,
) -> Surrogate:
    """Drop tokens whose own probability has moved by more than δ, measured as two events.

    Args:
        tokens: the batch, its anchor the rollout policy.
        divergence: "tv" or "kl", of "the sampled token" against "any other".
        delta, delta_low, delta_high, two_sided: see `divergence_mask`.
        max_ratio: truncation of the importance weight; small values bias the gradient (the paper's section 5.4).
    """
    radii = {"delta": delta, "delta_low": delta_low, "delta_high": delta_high}
    keep = divergence_mask(tokens, _moved(tokens, divergence), **radii, two_sided=two_sided)
    return masked_policy_gradient(tokens, keep, max_ratio)


@method("dppo-topk-kl", **_about("KL over top-k and rest", _LISTED), presets={"divergence": "kl", "delta": 0.05})
@method("dppo-topk-tv", **_about("TV over top-k and rest", _LISTED), presets={"divergence": "tv"})
def dppo_top_k(
    tokens: Tokens,
    *,
    topk_logp: Annotated[Tensor, _TOPK_LOGP],
    topk_logp_rollout: Annotated[Tensor, _TOPK_LOGP_ROLLOUT],
    divergence: str,
    delta: float = 0.15,
    delta_low: float | None = None,
    delta_high: float | None = None,
    max_ratio: float = 1e4,
    two_sided: bool = False,
) -> Surrogate:
    """Drop tokens at positions whose divergence over the top-k list and the rest exceeds δ.

    Args:
        tokens: the batch, its anchor the rollout policy.
        topk_logp, topk_logp_rollout: see `top_k_divergence`.
        divergence: "tv" or "kl".
        delta, delta_low, delta_high, two_sided: see `divergence_mask`.
        max_ratio: truncation of the importance weight; small values bias the gradient (the paper's section 5.4).
    """
    distance = top_k_divergence(topk_logp, topk_logp_rollout, divergence)
    radii = {"delta": delta, "delta_low": delta_low, "delta_high": delta_high}
    return masked_policy_gradient(tokens, divergence_mask(tokens, distance, **radii, two_sided=two_sided), max_ratio)
