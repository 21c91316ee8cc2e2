"""How far tokens moved, by probability: histograms on a log scale, of which quantiles are read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bandpo.core.objective.metrics import BUCKETS

_LOWEST, _HIGHEST, _BINS = -9.0, 1.5, 1024  # of log10 |log r|: 2.4 % a bin


@dataclass
class Movement:
    """|log r| of tokens, counted by probability.

    Attributes:
        counts: (buckets, 1 + bins); the first column are tokens that did not move at all.
        total, squares, largest: Σ |log r|, Σ (log r)^2, max |log r|.

    >>> movement = Movement()
    >>> movement.add(torch.tensor([0.5, 0.6]), torch.tensor([0.1, -0.1]))
    >>> movement.tokens, round(movement.quantile(0.5), 2)
    (2, 0.1)
    """

    counts: Tensor = field(default_factory=lambda: torch.zeros(len(BUCKETS), 1 + _BINS, dtype=torch.float64))
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    def add(self, p: Tensor, log_ratio: Tensor) -> None:
        """Count tokens of probabilities p."""
        if not len(p):
            return
        size = log_ratio.abs()
        bucket = torch.bucketize(p, torch.tensor(BUCKETS[:-1], dtype=p.dtype), right=True)
        place = (size.log10() - _LOWEST) * (_BINS / (_HIGHEST - _LOWEST))
        column = torch.where(size > 0, place.clamp(0, _BINS - 1).long() + 1, 0)
        flat = torch.bincount(bucket * (1 + _BINS) + column, minlength=self.counts.numel())
        self.counts += flat.view_as(self.counts)
        self.total += size.sum(dtype=torch.float64).item()
        self.squares += size.double().square().sum().item()
        self.largest = max(self.largest, size.max().item())

    @property
    def tokens(self) -> int:
        """Return how many tokens were counted."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Return the mean |log r|, 0 of none."""
        return self.total / max(self.tokens, 1)

    @property
    def unmoved(self) -> float:
        """Return the share of tokens whose ratio is exactly 1."""
        return self.counts[:, 0].sum().item() / max(self.tokens, 1)

    def quantile(self, share: float, bucket: int | None = None) -> float:
        """Return the |log r| that this share of tokens stays below, to 2.4 %; 0 of none."""
        counts = self.counts.sum(0) if bucket is None else self.counts[bucket]
        reached = counts.cumsum(0)
        if reached[-1] == 0:
            return 0.0
        column = int(torch.searchsorted(reached, share * reached[-1]).clamp_max(_BINS))
        return 0.0 if column == 0 else 10 ** (_LOWEST + (column - 0.5) * (_HIGHEST - _LOWEST) / _BINS)

    def in_bucket(self, bucket: int) -> int:
        """Return how many tokens have a probability of this bucket."""
        return int(self.counts[bucket].sum())
