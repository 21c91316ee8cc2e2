"""How much of a band 16-bit old log-probs fill by their rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.core.objective.metrics import BUCKETS, bucket_names
from bandpo.core.regions.band import band
from bandpo.microscope.alignment.panel import is_possible
from bandpo.microscope.alignment.storage import NAMES, as_dtype, half_step


@dataclass(frozen=True)
class RoundingShare:
    """The largest rounding over the nearer bound of the band.

    Attributes:
        shares: bucket of old probability -> its 99 % quantile over the tokens there; empty buckets are left out.
        tokens: bucket -> tokens in it, empty ones included.
        worst: the largest share; 0 without tokens.
        sentence: all of it for a person.
    """

    shares: Mapping[str, float]
    tokens: Mapping[str, int]
    worst: float
    sentence: str


@torch.no_grad()
def rounding_share(
    logp_old: Tensor,
    dtype: torch.dtype | str | None = None,
    delta: float = 0.05,
    divergence: str = "kl",
    *,
    mask: Tensor | None = None,
) -> RoundingShare:
    """Say which share of a band's nearer side the rounding of 16-bit old log-probs can fill.

    Only storage is counted: logits computed in 16 bits are off by more, which no look at the old log-probs shows.

    Args:
        logp_old: log-probs of the sampled tokens, any shape.
        dtype: what they were stored in; their own dtype where None.
        delta, divergence: the band.
        mask: nonzero for the tokens that count; all where None.

    Raises:
        ValueError: the dtype is not a 16-bit one.

    >>> old = torch.tensor([0.003, 0.03, 0.5, 0.95]).log().bfloat16()
    >>> rounding_share(old).sentence
    'Old log-probs in bf16: rounding fills up to ... of the band (kl, δ = 0.05), most at p=0.5-0.9; ...'
    """
    dtype = logp_old.dtype if dtype is None else dtype
    kind = as_dtype(dtype)
    if kind is None:
        raise ValueError(f"dtype={dtype}: expected bfloat16 or float16")
    logp = logp_old.detach().float()
    usable = is_possible(logp) if mask is None else (mask != 0) & is_possible(logp)
    logp = logp[usable].clamp_max(0.0)
    interval = band(logp, delta, divergence)
    nearer = torch.minimum(-interval.low, interval.high).clamp_min(1e-30)
    # A log-prob that rounds to 0 has no bound to fill: its band has no width either.
    share = torch.where(logp < 0, half_step(logp, kind) / nearer, 0.0)
    shares: dict[str, float] = {}
    tokens: dict[str, int] = {}
    left, p = 0.0, logp.exp()
    for name, right in zip(bucket_names(), BUCKETS, strict=True):
        inside = share[(p >= left) & ((p < right) | (right == 1))]
        tokens[name] = len(inside)
        if len(inside):
            shares[name] = float(torch.sort(inside).values[int(0.99 * (len(inside) - 1))])
        left = right
    worst = max(shares.values(), default=0.0)
    where = max(shares, key=shares.__getitem__) if shares else ""
    advice = "keep them in fp32" if worst > 0.25 else "storage is no trouble here, 16-bit logits would be"
    sentence = (
        f"Old log-probs in {NAMES[kind]}: rounding fills up to {worst:.1%} of the band ({divergence}, δ = {delta:g}), "
        f"most at {where}; {advice}."
        if shares
        else f"Old log-probs in {NAMES[kind]}: no token counts."
    )
    return RoundingShare(shares, tokens, worst, sentence)
