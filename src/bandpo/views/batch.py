"""Radii matched on a recorded batch: the one of each region at which the same share of its tokens is stopped."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from bandpo.core.objective.loss import policy_loss
from bandpo.core.objective.metrics import metric_means
from bandpo.microscope.batch import TokenBatch, joined
from bandpo.microscope.errors import BatchError
from bandpo.microscope.inspection.matching import matching_radius
from bandpo.microscope.inspection.radii import CLIP, KL3
from bandpo.microscope.reading.read import read_batches
from bandpo.views.match import measures

_NEEDED = ("logp", "logp_old", "advantages")
_WHOLE = 2**62


def load_batch(path: str | Path) -> TokenBatch:
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
    batch = joined(usable)
    if not batch.tokens:
        raise ValueError(f"batch={str(path)!r}: mask is 0 everywhere, expected some tokens that count")
    return batch


def clip_share(batch: TokenBatch, method: str, **options: Any) -> float:
    """Return the share of a batch's tokens whose gradient a method removes, `policy_loss`'s metric `clip`.

    The ratio is logp_old's for every method, also for those whose authors divide by the sampler's.

    Raises:
        TypeError, ValueError: as `policy_loss`.

    >>> logp_old, mask = torch.tensor([[0.1, 0.5]]).log(), torch.ones(1, 2, dtype=torch.bool)
    >>> batch = TokenBatch(mask=mask, logp=logp_old + 0.3, logp_old=logp_old, advantages=torch.ones(1, 2))
    >>> clip_share(batch, "grpo"), clip_share(batch, "band-kl")
    (1.0, 0.5)
    """
    assert batch.logp is not None and batch.logp_old is not None and batch.advantages is not None
    out = policy_loss(batch.logp, batch.logp_old, batch.advantages, batch.mask, method=method, anchor="old", **options)
    return metric_means(out.metrics)["clip"]


def matched(batch: TokenBatch, share: float) -> dict[str, float | None]:
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
