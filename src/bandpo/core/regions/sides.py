"""One side of a region: how far a token's log-ratio may move down, or up.

Each kind of side answers the same four questions: the bound itself; whether a token is past it, which needs no bound;
the numbers a kernel takes; and whether its own number makes sense. `upper` says which side is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.core.checks import check_number, check_radius
from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.kl_table import MIN_TABLE_DELTA
from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.divergences.special import log1mexp
from bandpo.core.regions.packed import FIXED, KINDS, MIRRORED, PER_TOKEN


@dataclass(frozen=True)
class Open:
    """A side without a bound.

    >>> Open().bound(torch.tensor([-1.0]), bandpo.get_divergence("kl"), upper=True)
    tensor([inf])
    """

    def bound(self, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return ∓∞ for every token."""
        return torch.full_like(logp, math.inf if upper else -math.inf)

    def outside(self, d: Tensor, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return False for every token."""
        return torch.zeros_like(d, dtype=torch.bool)

    def packed(self, divergence: Divergence | None, *, upper: bool) -> tuple[int, float] | None:
        """Return a fixed bound at ∓∞."""
        return FIXED, math.inf if upper else -math.inf

    def check(self, divergence: Divergence | None, shape: torch.Size, *, upper: bool, inspect: bool) -> None:
        """Accept: there is no number to be wrong."""


@dataclass(frozen=True)
class Fixed:
    """The same bound for every token: ratio 1 - ε below, 1 + ε above.

    >>> Fixed(0.2).bound(torch.tensor([-1.0]), None, upper=True).exp()
    tensor([1.2000])
    """

    eps: float

    def log_ratio(self, upper: bool) -> float:
        """Return log(1 ± ε)."""
        return math.log1p(self.eps if upper else -self.eps)

    def bound(self, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return log(1 ± ε) for every token."""
        return torch.full_like(logp, self.log_ratio(upper))

    def outside(self, d: Tensor, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return whether the log-ratio d is past log(1 ± ε)."""
        limit = self.log_ratio(upper)
        return d > limit if upper else d < limit

    def packed(self, divergence: Divergence | None, *, upper: bool) -> tuple[int, float] | None:
        """Return the bound itself."""
        return FIXED, self.log_ratio(upper)

    def check(self, divergence: Divergence | None, shape: torch.Size, *, upper: bool, inspect: bool) -> None:
        """Raise TypeError or ValueError unless ε is a number in [0, 1) below, [0, ∞) above."""
        check_number("eps_high" if upper else "eps_low", self.eps, 0.0, math.inf if upper else 1.0)


@dataclass(frozen=True)
class Within:
    """The region's own bound: the ratios with g_f(p, r) <= δ.

    Attributes:
        delta: radius δ, a number, or a tensor that broadcasts to the tokens.
        option: what the user called it, for errors.

    >>> Within(0.05).bound(torch.tensor([0.1]).log(), bandpo.get_divergence("kl"), upper=True).exp()
    tensor([2.2008])
    """

    delta: float | Tensor
    option: str = "delta"

    def bound(self, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return the root of g_f(p, r) = δ on this side, or the end of the simplex."""
        solve = measure(divergence).upper if upper else measure(divergence).lower
        return solve(logp, radius_for(self.delta, logp))

    def outside(self, d: Tensor, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return whether g_f(p, e^d) > δ and d lies on this side."""
        is_moved = projected_divergence(logp, d, measure(divergence)) > radius_for(self.delta, logp)
        return (d > 0 if upper else d < 0) & (is_moved | (d > -logp))

    def packed(self, divergence: Divergence | None, *, upper: bool) -> tuple[int, float] | None:
        """Return the divergence's kind and δ, 0 for a tensor; None where the kernels have no formula."""
        kind = KINDS.get(measure(divergence).name)
        if kind is None or (not isinstance(self.delta, Tensor) and self.delta < MIN_TABLE_DELTA):
            return None
        return (kind | PER_TOKEN, 0.0) if isinstance(self.delta, Tensor) else (kind, float(self.delta))

    def check(self, divergence: Divergence | None, shape: torch.Size, *, upper: bool, inspect: bool) -> None:
        """Raise TypeError or ValueError unless δ is a radius of this divergence; `inspect` looks into a tensor."""
        check_radius(self.option, self.delta, shape, measure(divergence).limits, inspect)


@dataclass(frozen=True)
class Mirrored(Within):
    """Minus the opposite bound of the complement 1 - p, the event "any other token": below, r >= 1/U(1 - p).

    Tight for rare tokens and wide for likely ones where `Within` is the other way round; this project's, not the
    paper's.

    >>> Mirrored(0.05).bound(torch.tensor([0.1]).log(), bandpo.get_divergence("kl"), upper=False).exp()
    tensor([0.9291])
    """

    def bound(self, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return the mirrored bound; above, at most that of the simplex."""
        mirrored = -super().bound(log1mexp(logp), divergence, upper=not upper)
        return torch.minimum(mirrored, -logp) if upper else mirrored

    def outside(self, d: Tensor, logp: Tensor, divergence: Divergence | None, *, upper: bool) -> Tensor:
        """Return whether the complement, had it moved by -d, would be outside on the opposite side."""
        return super().outside(-d, log1mexp(logp), divergence, upper=not upper)

    def packed(self, divergence: Divergence | None, *, upper: bool) -> tuple[int, float] | None:
        """Return what `Within` does, the kind marked as mirrored."""
        found = super().packed(divergence, upper=upper)
        return None if found is None else (found[0] | MIRRORED, found[1])


Side = Open | Fixed | Within


def tensor_radius(side: Side) -> Tensor | None:
    """Return the side's radius where it is a tensor, detached.

    >>> tensor_radius(Within(torch.tensor(0.05))), tensor_radius(Within(0.05)), tensor_radius(Open())
    (tensor(0.0500), None, None)
    """
    return side.delta.detach() if isinstance(side, Within) and isinstance(side.delta, Tensor) else None


def radius_option(side: Side) -> str | None:
    """Return what the user called the side's radius where that is a tensor.

    >>> radius_option(Within(torch.tensor(0.05), "delta_low")), radius_option(Within(0.05)), radius_option(Open())
    ('delta_low', None, None)
    """
    return side.option if isinstance(side, Within) and isinstance(side.delta, Tensor) else None


def measure(divergence: Divergence | None) -> Divergence:
    """Return what a radius measures; a region with radii always has it."""
    assert divergence is not None, "a side with a radius needs a divergence"
    return divergence


def radius_for(delta: float | Tensor, logp: Tensor) -> float | Tensor:
    """Return a radius that can meet these log-probs: a number, or a detached tensor of their dtype."""
    return delta.detach().to(logp.dtype) if isinstance(delta, Tensor) else delta
