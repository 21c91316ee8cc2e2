"""How many tokens a method stopped and how much gradient it dropped, by probability, position, entropy and side."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from bandpo.core.objective.metrics import BUCKETS, bucket_names
from bandpo.microscope.inspection.rule import Acted

POSITIONS = (16, 64, 256, 1024, 4096)
ENTROPIES = (0.1, 0.5, 1.0, 2.0)
SIDES = ("good tokens, moved up", "good tokens, moved down", "bad tokens, moved down", "bad tokens, moved up")
AXES = ("probability", "position", "entropy", "side")


@dataclass(frozen=True)
class Share:
    """Some tokens, and what a method did to them.

    Attributes:
        label: which tokens.
        tokens: how many they are, those without advantage included.
        stopped: how many lost all of their gradient.
        mass: Σ |A| r, the size of the plain policy gradient on them.
        dropped: how much of that the method took away.
    """

    label: str
    tokens: int = 0
    stopped: int = 0
    mass: float = 0.0
    dropped: float = 0.0

    @property
    def stopped_share(self) -> float:
        """Return the share of tokens that were stopped, 0 of none."""
        return self.stopped / self.tokens if self.tokens else 0.0

    @property
    def dropped_share(self) -> float:
        """Return the share of gradient that was dropped, 0 of none."""
        return self.dropped / self.mass if self.mass else 0.0


def labels(axis: str) -> list[str]:
    """Return the names of an axis's buckets, which read as ranges.

    >>> labels("position")[:2], labels("entropy")[-1]
    (['0-15', '16-63'], '2 and more')
    """
    if axis == "probability":
        return bucket_names()
    if axis == "position":
        return _ranges([f"{low}-{high - 1}" for low, high in zip((0, *POSITIONS), POSITIONS, strict=False)], POSITIONS)
    if axis == "entropy":
        return _ranges([f"{low:g}-{high:g}" for low, high in zip((0, *ENTROPIES), ENTROPIES, strict=False)], ENTROPIES)
    return list(SIDES)


def _ranges(ranges: list[str], edges: tuple[float, ...]) -> list[str]:
    return [*ranges, f"{edges[-1]:g} and more"]


@dataclass
class Shares:
    """Sums over all tokens and over the buckets of every axis, to which batches are added.

    >>> shares = Shares()
    >>> shares.total
    Share(label='all', tokens=0, stopped=0, mass=0.0, dropped=0.0)
    """

    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, tokens: Acted) -> None:
        """Count the tokens of a batch."""
        self._add("all", torch.zeros_like(tokens.row), tokens, 1)
        edges = torch.tensor(BUCKETS[:-1], dtype=tokens.p.dtype)
        self._add("probability", torch.bucketize(tokens.p, edges, right=True), tokens, len(BUCKETS))
        edges = torch.tensor(POSITIONS)
        self._add("position", torch.bucketize(tokens.position, edges, right=True), tokens, len(POSITIONS) + 1)
        self._add("side", _side(tokens), tokens, len(SIDES))
        if tokens.entropy is not None:
            edges = torch.tensor(ENTROPIES, dtype=tokens.entropy.dtype)
            bucket = torch.bucketize(tokens.entropy, edges, right=True)
            self._add("entropy", bucket, tokens, len(ENTROPIES) + 1)

    @property
    def total(self) -> Share:
        """Return the sums over all tokens."""
        return self._shares("all", ["all"])[0]

    def table(self, axis: str) -> list[Share]:
        """Return an axis's buckets, empty ones too; nothing for entropies that no batch had."""
        return self._shares(axis, labels(axis)) if axis in self.sums else []

    def _shares(self, axis: str, names: list[str]) -> list[Share]:
        rows = self.sums[axis].tolist() if axis in self.sums else [[0.0] * 4] * len(names)
        return [Share(name, int(row[0]), int(row[1]), *row[2:]) for name, row in zip(names, rows, strict=True)]

    def _add(self, axis: str, bucket: Tensor, tokens: Acted, buckets: int) -> None:
        dropped = (tokens.plain - tokens.kept).clamp_min(0)
        columns = (None, tokens.is_stopped, tokens.plain, dropped)
        counts = [
            torch.bincount(bucket, None if weight is None else weight.double(), minlength=buckets).double()
            for weight in columns
        ]
        self.sums[axis] = self.sums.get(axis, torch.zeros(buckets, 4, dtype=torch.float64)) + torch.stack(counts, 1)


def _side(tokens: Acted) -> Tensor:
    """Return which of `SIDES` a token is on; those without advantage count as good ones, without gradient."""
    is_bad, is_up = tokens.advantages < 0, tokens.log_ratio > 0
    return 2 * is_bad.long() + (is_bad == is_up).long()
