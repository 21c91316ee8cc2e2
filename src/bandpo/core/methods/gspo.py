"""GSPO: one ratio for a whole response, the geometric mean of its tokens' ratios, clipped as PPO clips a token's."""

from __future__ import annotations

import torch

from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.clipping import clip_to
from bandpo.core.regions.fixed import fixed_interval
from bandpo.core.tokens import Surrogate, Tokens, hold_below, true_log_ratio

# verl's guard against a response whose mean log-ratio would overflow.
_MAX_LOG_RATIO = 10.0


@method(
    "gspo",
    family="sequence",
    formula="max(-A s, -A clip(s, 1 - ε_low, 1 + ε_high)), s = e^(mean_t log r_t)",
    citation="GSPO, arXiv 2507.18071",
    scope="sequence",
)
def gspo(tokens: Tokens, *, eps_low: float = 3e-4, eps_high: float = 4e-4) -> Surrogate:
    """Clip one ratio for the whole response, the geometric mean.

    The paper's token form, with s π/detached π for s: the response's ratio as its value and each token's own log-prob
    as its gradient. The mean is that of the log-ratios as they are, and is itself held at 10, as in verl. Averaged over
    tokens it is the sequence-level objective, so the authors aggregate by seq-mean-token-mean.

    Args:
        tokens: the batch, one response a row.
        eps_low, eps_high: the clip of a geometric mean: a thousand times narrower than a token's.
    """
    d = true_log_ratio(tokens)
    lengths = tokens.mask.sum(-1, keepdim=True).clamp_min(1)
    mean = torch.where(tokens.mask, d, 0.0).sum(-1, keepdim=True) / lengths
    log_s = hold_below(tokens.logp - tokens.logp.detach() + mean, _MAX_LOG_RATIO)
    interval = fixed_interval(tokens.logp_anchor, eps_low, eps_high)
    loss, gradient = clip_to(interval, tokens._replace(log_ratio=log_s))
    return Surrogate(loss, torch.where(mean >= _MAX_LOG_RATIO, 0.0, gradient))
