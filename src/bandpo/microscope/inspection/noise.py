"""The noise floor of the ratio against the width of the region: what of it numeric differences alone fill."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bandpo.core.objective.metrics import bucket_names
from bandpo.microscope.inspection.movement import Movement
from bandpo.microscope.inspection.rule import Rule

# A probability in the middle of each bucket of `BUCKETS`.
MIDDLES = (0.003, 0.022, 0.1, 0.32, 0.67, 0.95)
# Above this share of the region's width noise is worth a word.
WORTH_SAYING = 0.25


@dataclass(frozen=True)
class Noise:
    """Tokens of one range of probabilities, at identical weights, where every log-ratio should be 0.

    Attributes:
        label: the range.
        tokens: how many.
        median, q99: |log r| that half and 99 % of them stay below.
        width: |log r| of the nearer bound at the middle of the range, None for a method without bounds.
    """

    label: str
    tokens: int
    median: float
    q99: float
    width: float | None

    @property
    def share(self) -> float | None:
        """Return how much of the width 99 % of the noise fills, None without bounds."""
        return self.q99 / self.width if self.width else None


def widths(what: Rule) -> list[float | None]:
    """Return the |log r| of a method's nearer bound at the middle of every range of probabilities.

    >>> from bandpo.microscope.inspection.rule import rule
    >>> [round(width, 3) for width in widths(rule("band-kl"))]
    [3.001, 1.537, 0.789, 0.397, 0.183, 0.043]
    """
    if not what.is_interval or any(not needed.optional for needed in what.method.inputs.values()):
        return [None] * len(MIDDLES)
    logp = torch.tensor(MIDDLES, dtype=torch.float64).log()
    interval = what.method.interval(logp, **what.options)
    nearer = torch.minimum(interval.low.abs(), interval.high.abs())
    return [width if math.isfinite(width) else None for width in nearer.expand_as(logp).tolist()]


def noise(first_uses: Movement, what: Rule) -> list[Noise]:
    """Return the noise of every range of probabilities, empty ranges too."""
    return [
        Noise(name, first_uses.in_bucket(n), first_uses.quantile(0.5, n), first_uses.quantile(0.99, n), width)
        for n, (name, width) in enumerate(zip(bucket_names(), widths(what), strict=True))
    ]
