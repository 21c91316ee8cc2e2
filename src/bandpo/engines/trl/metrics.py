"""What the trust region did in TRL's training, summed over micro-batches and processes until the next log."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics, as_table, logged

PREFIXES = {"train": "band/", "eval": "eval_band/"}


class BandMetrics:
    """Sums and counts of training and of evaluation.

    >>> metrics = BandMetrics()
    >>> metrics.add("train", {"clip": (torch.tensor(1.0), torch.tensor(4.0))}, reduce=lambda total: total)
    >>> metrics.take("train"), metrics.take("train")
    ({'band/clip': 0.25, 'band/clip/tokens': 4.0}, {})
    """

    def __init__(self):
        # Of every name its row in the table of sums and counts, None before the first micro-batch.
        self._rows: dict[str, dict[str, int]] = {mode: {} for mode in PREFIXES}
        self._tables: dict[str, Tensor | None] = dict.fromkeys(PREFIXES)

    def add(self, mode: str, metrics: Metrics, reduce: Callable[[Tensor], Tensor]) -> None:
        """Count a micro-batch; `reduce` sums over processes."""
        rows, sums = self._rows[mode], self._tables[mode]
        for name in metrics:
            rows.setdefault(name, len(rows))
        first = next(iter(metrics.values()))[0]
        zero = first if rows.keys() == metrics.keys() else torch.zeros_like(first)
        table = reduce(as_table(metrics.get(name, (zero, zero)) for name in rows))
        if sums is not None:
            known = table[: len(sums)] + sums
            table = known if len(sums) == len(table) else torch.cat([known, table[len(sums) :]])
        self._tables[mode] = table

    def take(self, mode: str) -> dict[str, float]:
        """Return the means as TRL logs them, with the counts of tokens beside shares, and start anew."""
        rows, table = self._rows[mode], self._tables[mode]
        self._rows[mode], self._tables[mode] = {}, None
        sums = {} if table is None else {name: (table[row, 0], table[row, 1]) for name, row in rows.items()}
        return {PREFIXES[mode] + name: mean for name, mean in logged(sums).items()}
