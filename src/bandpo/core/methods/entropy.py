"""Entropy bonuses on the logits: of the whole vocabulary, or of the tokens a policy would really choose from (TRE).

Plain entropy rewards probability on thousands of tokens that make no sense; TRE, arXiv 2602.03635, counts the entropy
among the likely tokens only, the K likeliest or the smallest nucleus of mass P.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_floating, check_number

# Authors' limit: a nucleus is searched for among the 256 likeliest tokens.
_NUCLEUS_SEARCH = 256


def _entropy(logits: Tensor) -> Tensor:
    """Return the entropy of softmax(logits) over the last dimension; a logit of -inf has no part in it."""
    log_p = torch.log_softmax(logits, -1)
    log_p = torch.where(log_p > -math.inf, log_p, -1e4)  # there p = 0, and 0 · inf would poison the gradient
    return -(torch.exp(log_p) * log_p).sum(-1)


def token_entropy(logits: Tensor) -> Tensor:
    """Return H = -Σ p log p of softmax(logits), in nats, with gradient.

    Args:
        logits: (..., V), at the sampling temperature; -inf is allowed for tokens that cannot be chosen.

    Returns:
        (...), fp32 (fp64 for fp64 input).

    >>> bandpo.token_entropy(torch.tensor([0.0, 0.0, -torch.inf]))
    tensor(0.6931)
    """
    return _entropy(_working(logits))


def trust_region_entropy(logits: Tensor, *, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Return TRE's entropy: over the likely tokens S only, scaled to the vocabulary's range, H_S log V / log |S|.

    S is the top_k likeliest tokens (TRE-K), or the smallest set of likeliest tokens whose mass reaches top_p (TRE-P,
    among the 256 likeliest). With one token in S: TRE-K counts the min-entropy -log max p, TRE-P counts 0. Membership
    in S carries no gradient. arXiv 2602.03635, as in the authors' entropy_from_logits.

    Args:
        logits: (..., V), at the sampling temperature.
        top_k: K >= 1, or
        top_p: 0 < P < 1.

    Returns:
        (...), fp32 (fp64 for fp64 input), in nats, 0 to log V.

    Raises:
        ValueError: both or neither of top_k and top_p, or a value out of range.

    >>> bandpo.trust_region_entropy(torch.tensor([2.0, 2.0, 0.0, 0.0]), top_k=2)
    tensor(1.3863)
    """
    logits = _working(logits)
    vocabulary = logits.shape[-1]
    if (top_k is None) == (top_p is None):
        raise ValueError(f"top_k={top_k!r} and top_p={top_p!r}: give one of them")
    if top_k is not None:
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= vocabulary:
            raise ValueError(f"top_k={top_k!r}: expected a whole number from 1 to the vocabulary's {vocabulary}")
        if top_k == 1:
            return torch.logsumexp(logits, -1) - logits.amax(-1)
        return _entropy(logits.topk(top_k, -1).values) * (math.log(vocabulary) / math.log(top_k))
    mass = check_number("top_p", top_p, 0.0, 1.0, low_open=True)
    likely = logits.topk(min(_NUCLEUS_SEARCH, vocabulary), -1).values
    p = torch.exp(likely - torch.logsumexp(logits, -1, keepdim=True)).detach()
    inside = torch.nn.functional.pad(p.cumsum(-1)[..., :-1], (1, 0)) < mass
    size = inside.sum(-1)
    scale = math.log(vocabulary) / torch.log(size.clamp_min(2).to(logits.dtype))
    return torch.where(size > 1, _entropy(torch.where(inside, likely, -math.inf)) * scale, 0.0)


def _working(logits: Tensor) -> Tensor:
    check_floating("logits", logits)
    return logits if logits.dtype == torch.float64 else logits.float()


def adaptive_entropy_coef(
    coef: float, entropy: float, target: float, *, step: float = 0.005, low: float = 0.0, high: float = 1.0
) -> float:
    """Return the next coefficient of a bonus that holds the entropy at a target: up by `step` below it, else down.

    Skywork-OR1, arXiv 2505.22312; the bonus itself is applied only while the entropy is at or below the target.

    Args:
        coef: the current coefficient.
        entropy: mean token entropy of the last update, in nats.
        target: entropy to hold.
        step: change per update.
        low, high: range of the coefficient.

    Raises:
        ValueError: a value that is negative or not finite, low above high.

    >>> bandpo.adaptive_entropy_coef(0.01, entropy=0.1, target=0.2), bandpo.adaptive_entropy_coef(0.01, 0.3, 0.2)
    (0.015, 0.005)
    """
    for name, value in (("coef", coef), ("entropy", entropy), ("target", target), ("step", step), ("low", low)):
        check_number(name, value, 0.0, math.inf)
    check_number("high", high, low, math.inf)
    return min(max(coef + (step if entropy <= target else -step), low), high)
