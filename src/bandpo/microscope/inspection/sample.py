"""A bounded number of sequences out of any number of batches, whole groups together, the same ones each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from bandpo.microscope.batch import TokenBatch, joined

MAX_TOKENS = 2**16
_HASH, _RANGE = 2654435761, 2**32


@dataclass
class Sample:
    """Sequences of the batches added so far, at most `max_tokens` tokens of them.

    Every group has a number in 0 .. 2^32 that depends on where it stands alone; those below a limit are kept, and
    the limit is halved whenever there are too many.

    Args:
        max_tokens: the most tokens.
        wanted: which batches.

    >>> sample = Sample()
    >>> sample.add(TokenBatch(mask=torch.ones(2, 3, dtype=torch.bool)))
    >>> sample.batch().tokens
    6
    """

    max_tokens: int = MAX_TOKENS
    wanted: Callable[[TokenBatch], bool] = lambda batch: True
    seen: int = 0
    _limit: int = _RANGE
    _parts: list[tuple[TokenBatch, torch.Tensor]] = field(default_factory=list)
    _tokens: int = 0
    _groups: int = 0

    def add(self, batch: TokenBatch) -> None:
        """Look at a batch."""
        if not self.wanted(batch):
            return
        self.seen += batch.tokens
        batch, keys = self._numbered(batch)
        self._keep(batch, keys)
        while self._tokens > self.max_tokens and self._limit > 1:
            self._limit //= 2
            parts, self._parts, self._tokens = self._parts, [], 0
            for part, numbers in parts:
                self._keep(part, numbers)

    def batch(self) -> TokenBatch | None:
        """Return what was kept as one batch, None for nothing; groups of different batches have different numbers."""
        parts = [part for part, _ in self._parts]
        return joined(parts) if parts else None

    def _numbered(self, batch: TokenBatch) -> tuple[TokenBatch, torch.Tensor]:
        """Return the batch with group numbers that no other batch has, and a number for every row's group."""
        rows = torch.arange(len(batch.mask))
        groups = rows if batch.groups is None else torch.unique(batch.groups, return_inverse=True)[1]
        # Parts of one large file are cut between sequences, so a group may go on in the next part: it starts anew.
        groups = groups + self._groups
        self._groups += len(rows)
        named = batch if batch.groups is None else replace(batch, groups=groups)
        return named, (groups * _HASH) % _RANGE

    def _keep(self, batch: TokenBatch, keys: torch.Tensor) -> None:
        inside = (keys < self._limit).nonzero().flatten()
        if len(inside):
            kept = batch.rows(inside.tolist())
            self._parts.append((kept, keys[inside]))
            self._tokens += kept.tokens
