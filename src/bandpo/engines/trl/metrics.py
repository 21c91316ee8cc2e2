"""What the trust region did in TRL's training, summed over micro-batches and processes until the next log."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics, logged, merge_metrics

PREFIXES = {"train": "band/", "eval": "eval_band/"}


class BandMetrics:
    """Sums and counts of training and of evaluation.

    >>> metrics = BandMetrics()
    >>> metrics.add("train", {"clip": (torch.tensor(1.0), torch.tensor(4.0))}, reduce=lambda total: total)
    >>> metrics.take("train"), metrics.take("train")
    ({'band/clip': 0.25, 'band/clip/tokens': 4.0}, {})
    """

    def __init__(self):
        self._sums: dict[str, Metrics] = {mode: {} for mode in PREFIXES}

    def add(self, mode: str, metrics: Metrics, reduce: Callable[[Tensor], Tensor]) -> None:
        """Count a micro-batch; `reduce` sums over processes."""
        table = reduce(torch.stack([torch.stack(pair) for pair in metrics.values()]))
        sums = {name: (row[0], row[1]) for name, row in zip(metrics, table, strict=True)}
        self._sums[mode] = merge_metrics([self._sums[mode], sums])

    def take(self, mode: str) -> dict[str, float]:
        """Return the means as TRL logs them, with the counts of tokens beside shares, and start anew."""
        sums, self._sums[mode] = self._sums[mode], {}
        return {PREFIXES[mode] + name: mean for name, mean in logged(sums).items()}
