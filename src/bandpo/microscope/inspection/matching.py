"""The radius at which a region stops a given share of the tokens of a batch that is in memory, to the token.

A token is stopped iff it moves the way its advantage pushes and has moved farther than the radius. How far it has moved
does not depend on the radius, so the radius that stops k tokens lies between the k-th and the next largest distance:
no search, no training. `Radii` counts tokens of any number, to a quarter of a percent.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import MAX_DELTA
from bandpo.core.divergences.registry import get_divergence
from bandpo.core.tokens import hold
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.inspection.radii import CLIP, KL3, distance


@torch.no_grad()
def needed_radius(batch: TokenBatch, measure: str = "kl", anchor: str = "old") -> Tensor:
    """Return the radius each token would need to go on: how far it moved, 0 where its advantage does not push outward.

    Args:
        batch: with logp, advantages and the anchor's log-probs.
        measure: a divergence (g_f(p, r)), "kl3" (r - 1 - log r), or "clip" (|r - 1|).
        anchor: whose log-probs the ratio is divided by, "old" or "rollout".

    Returns:
        (N,) fp64 for the N tokens that count.

    Raises:
        ValueError: an unknown measure.

    >>> logp_old, mask = torch.tensor([[0.5, 0.5]]).log(), torch.ones(1, 2, dtype=torch.bool)
    >>> logp, ones = torch.tensor([[0.6, 0.4]]).log(), torch.ones(1, 2)
    >>> needed_radius(TokenBatch(mask=mask, logp=logp, logp_old=logp_old, advantages=ones), "clip")
    tensor([0.2000, 0.0000], dtype=torch.float64)
    """
    logp, divided_by = batch.logp, batch.logp_rollout if anchor == "rollout" else batch.logp_old
    assert logp is not None and divided_by is not None and batch.advantages is not None
    # The difference is taken in the dtype that policy_loss takes it in: the order of tokens is then the same.
    dtype = torch.float64 if logp.dtype == torch.float64 else torch.float32
    logp, logp_anchor = (x[batch.mask].to(dtype) for x in (logp, divided_by))
    log_ratio = hold(logp - logp_anchor).double()
    outward = batch.advantages[batch.mask] * log_ratio > 0
    return torch.where(outward, distance(logp_anchor, log_ratio, measure), 0.0)


def matching_radius(batch: TokenBatch, share: float, measure: str = "kl", anchor: str = "old") -> float:
    """Return the radius at which a region stops this share of the batch's tokens, to the nearest token.

    Args:
        batch, measure, anchor: as `needed_radius`.
        share: 0 < share < 1.

    Returns:
        δ, or ε of 1 - ε .. 1 + ε for "clip"; inf where the region has no radius so wide.

    Raises:
        ValueError: less than one token, or more tokens than move the way their advantage pushes.

    >>> logp_old, mask = torch.full((1, 4), 0.5).log(), torch.ones(1, 4, dtype=torch.bool)
    >>> logp, ones = torch.tensor([[0.5, 0.55, 0.6, 0.65]]).log(), torch.ones(1, 4)
    >>> batch = TokenBatch(mask=mask, logp=logp, logp_old=logp_old, advantages=ones)
    >>> round(matching_radius(batch, 0.25, "clip"), 3)
    0.25
    """
    count = round(share * batch.tokens)
    if not 0 < share < 1 or count < 1:
        raise ValueError(f"share {share:g} of {batch.tokens} tokens: expected below 1, and one token at least")
    distances = needed_radius(batch, measure, anchor).sort(descending=True).values
    moving = int((distances > 0).sum())
    if count > moving:
        raise ValueError(
            f"share {share:g} of {batch.tokens} tokens: expected at most {moving / batch.tokens:.3g}, only {moving} "
            "move the way their advantage pushes"
        )
    last, following = distances[count - 1].item(), distances[count].item() if count < len(distances) else 0.0
    radius = (following + min(last, 2 * following)) / 2 if following else last / 2
    return radius if radius < _widest(measure) else math.inf


def _widest(measure: str) -> float:
    if measure in (CLIP, KL3):
        return 1.0 if measure == CLIP else MAX_DELTA
    return min(get_divergence(measure).supremum, MAX_DELTA)
