"""Radii matched on a recorded batch: the one of each region at which the same share of its tokens is stopped.

A token is stopped iff it moves the way its advantage pushes and has moved farther than the radius. How far it has moved
does not depend on the radius, so the radius that stops k tokens lies between the k-th and the next largest distance:
no search, no training.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from bandpo.core.divergences.divergence import MAX_DELTA
from bandpo.core.divergences.registry import get_divergence
from bandpo.core.objective.loss import policy_loss
from bandpo.core.objective.metrics import metric_means
from bandpo.core.tokens import MAX_LOG_RATIO
from bandpo.microscope.errors import BatchError
from bandpo.microscope.inspection.radii import CLIP, KL3, distance
from bandpo.microscope.reading.read import read_batches
from bandpo.views.match import measures

_NEEDED = ("logp", "logp_old", "advantages")
_WHOLE = 2**62


class Batch(NamedTuple):
    """A trainer's batch before an update: (B, T) log-probs, (B,) or (B, T) advantages, (B, T) mask.

    >>> logp = torch.tensor([[0.1, 0.2]]).log()
    >>> Batch(logp, logp, torch.ones(1), torch.ones(1, 2, dtype=torch.bool)).tokens
    2
    """

    logp: Tensor
    logp_old: Tensor
    advantages: Tensor
    mask: Tensor

    @property
    def tokens(self) -> int:
        """Return how many tokens count."""
        return int(self.mask.sum())


def load_batch(path: str | Path) -> Batch:
    """Load a batch of any format that is read, with logp, logp_old, advantages and, where not all count, mask.

    Args:
        path: the file, or a folder of an engine.

    Raises:
        ValueError: no such file, another format, a missing or misshapen tensor, values that are no log-probs.
    """
    try:
        parts = list(read_batches(path, max_tokens=_WHOLE))
    except BatchError as error:
        raise ValueError(f"batch: {error}") from error
    usable = [part for part in parts if set(_NEEDED) <= set(part.names)]
    if not usable:
        missing = [name for name in _NEEDED if name not in parts[0].names]
        raise ValueError(f"batch={str(path)!r} holds {', '.join(parts[0].names)}: expected also {', '.join(missing)}")
    width = max(part.mask.shape[1] for part in usable)

    def joined(name: str) -> Tensor:
        return torch.cat([pad(getattr(part, name), (0, width - part.mask.shape[1])) for part in usable])

    batch = Batch(*map(joined, Batch._fields))
    if not batch.tokens:
        raise ValueError(f"batch={str(path)!r}: mask is 0 everywhere, expected some tokens that count")
    return batch


def clip_share(batch: Batch, method: str, **options: Any) -> float:
    """Return the share of a batch's tokens whose gradient a method removes, `policy_loss`'s metric `clip`.

    The ratio is logp_old's for every method, also for those whose authors divide by the sampler's.

    Raises:
        TypeError, ValueError: as `policy_loss`.

    >>> logp_old = torch.tensor([[0.1, 0.5]]).log()
    >>> batch = Batch(logp_old + 0.3, logp_old, torch.ones(1), torch.ones(1, 2, dtype=torch.bool))
    >>> clip_share(batch, "grpo"), clip_share(batch, "band-kl")
    (1.0, 0.5)
    """
    return metric_means(policy_loss(*batch, method=method, anchor="old", **options).metrics)["clip"]


@torch.no_grad()
def needed_radius(batch: Batch, measure: str = "kl") -> Tensor:
    """Return the radius each token would need to go on: how far it moved, 0 where its advantage does not push outward.

    Args:
        batch: the batch.
        measure: a divergence (g_f(p, r)), "kl3" (r - 1 - log r), or "clip" (|r - 1|).

    Returns:
        (N,) fp64 for the N tokens that count.

    Raises:
        ValueError: an unknown measure.

    >>> logp_old = torch.tensor([[0.5, 0.5]]).log()
    >>> batch = Batch(torch.tensor([[0.6, 0.4]]).log(), logp_old, torch.ones(1), torch.ones(1, 2, dtype=torch.bool))
    >>> needed_radius(batch, "clip")
    tensor([0.2000, 0.0000], dtype=torch.float64)
    """
    # The difference is taken in the dtype that policy_loss takes it in: the order of tokens is then the same.
    dtype = torch.float64 if batch.logp.dtype == torch.float64 else torch.float32
    advantages = batch.advantages if batch.advantages.dim() == 2 else batch.advantages.unsqueeze(-1)
    logp, logp_old = (x[batch.mask].to(dtype) for x in (batch.logp, batch.logp_old))
    log_ratio = (logp - logp_old).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).double()
    outward = advantages.expand_as(batch.mask)[batch.mask] * log_ratio > 0
    return torch.where(outward, distance(logp_old, log_ratio, measure), 0.0)


def matching_radius(batch: Batch, share: float, measure: str = "kl") -> float:
    """Return the radius at which a region stops this share of the batch's tokens, to the nearest token.

    Args:
        batch: the batch.
        share: 0 < share < 1.
        measure: a divergence, "kl3", or "clip" for ε of 1 - ε .. 1 + ε.

    Returns:
        δ or ε; inf where the region has no radius so wide.

    Raises:
        ValueError: less than one token, or more tokens than move the way their advantage pushes.

    >>> logp_old = torch.full((1, 4), 0.5).log()
    >>> logp = torch.tensor([[0.5, 0.55, 0.6, 0.65]]).log()
    >>> batch = Batch(logp, logp_old, torch.ones(1), torch.ones(1, 4, dtype=torch.bool))
    >>> round(matching_radius(batch, 0.25, "clip"), 3)
    0.25
    """
    count = round(share * batch.tokens)
    if not 0 < share < 1 or count < 1:
        raise ValueError(f"share {share:g} of {batch.tokens} tokens: expected below 1, and one token at least")
    distances = needed_radius(batch, measure).sort(descending=True).values
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


def matched(batch: Batch, share: float) -> dict[str, float | None]:
    """Return, for every region with one radius, the specification that stops this share, and the share it stops.

    Args:
        batch: the batch.
        share: 0 < share < 1.

    Returns:
        "band-kl:delta=0.0123" -> share stopped, as `policy_loss` measures it; such a key is what `bandpo compare`
        takes. "band-js" -> None for a region that has no radius so wide.

    Raises:
        ValueError: see `matching_radius`.
    """
    found: dict[str, float | None] = {}
    for measure in (CLIP, *measures()):
        method, names = _region(measure)
        radius = matching_radius(batch, share, measure)
        if math.isinf(radius):
            found[method] = None
        else:
            radius = float(f"{radius:.6g}")
            label = ":".join([method, *(f"{name}={radius!r}" for name in names)])
            found[label] = clip_share(batch, method, **dict.fromkeys(names, radius))
    return found


def _region(measure: str) -> tuple[str, tuple[str, ...]]:
    if measure == CLIP:
        return "grpo", ("eps_low", "eps_high")
    return "atr-grpo" if measure == KL3 else f"band-{measure}", ("delta",)
