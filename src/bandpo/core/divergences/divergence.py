"""The divergences a trust region can be measured in, by name.

D_f(new || old) = Σ old f(new/old) for a convex f with f(1) = 0. BandPO bounds D_f over the whole vocabulary and
projects that region on the sampled token: among all new policies with ratio r on the token, the one that scales
every other token alike has the least divergence (Jensen), which is

    g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p)),

so the ratios the region allows are exactly those with g_f(p, r) <= δ (BandPO, arXiv 2603.04918, Theorem 1).
A `Divergence` holds f and, where one is known, a direct formula for the two roots; otherwise they are searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.checks import RadiusLimits, is_fake, is_traced
from bandpo.core.divergences.root_finder import MIN_SEARCHED_DELTA, Generator, root_bound

# A formula holds until the bounds bend at probabilities that fp32 has no normal number for.
MIN_DELTA = 1e-30
# The fp32 KL solver multiplies four factors of size e^δ; e^80 still fits.
MAX_DELTA = 20.0

Bound = Callable[[Tensor, "float | Tensor"], Tensor]
Moved = Callable[[Tensor, Tensor], Tensor]
Toward = Callable[[Tensor, "float | Tensor", Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """One f-divergence: its generator and the log-ratio bounds that follow from it.

    Attributes:
        name: the name it is registered under.
        f: generator, elementwise on ratios u > 0, convex, f(1) = 0; called with fp64 tensors.
        summary: what it is, in a line.
        supremum: the largest value it can take; a radius at or above it would allow everything.
        direct_upper, direct_lower: (logp, δ) -> log r, where a formula is known.
        direct_toward: (logp, δ, upward) -> the one of them each token asks for, where that costs less than both.
        direct_g: (logp, log r) -> g_f(p, r), where a form is known that is faster or keeps more digits than f's.

    >>> half = bandpo.Divergence("half-chi2", lambda u: (u - 1) ** 2 / 2, "χ²/2")
    >>> bandpo.band(torch.tensor([0.2]).log(), 0.025, half).high.exp()
    tensor([1.4472])
    """

    name: str
    f: Generator
    summary: str
    supremum: float = math.inf
    direct_upper: Bound | None = None
    direct_lower: Bound | None = None
    direct_toward: Toward | None = None
    direct_g: Moved | None = None

    def __reduce__(self) -> Any:
        """Pickle and copy by name what is registered, so that its f may be any function, and by value all else."""
        return (_registered, (self.name,)) if REGISTRY.get(self.name) is self else super().__reduce__()

    @property
    def smallest_delta(self) -> float:
        """Return the smallest radius whose bounds are right: 1e-30 by formula, 1e-9 where they are searched for.

        >>> bandpo.get_divergence("kl").smallest_delta, bandpo.get_divergence("js").smallest_delta
        (1e-30, 1e-09)
        """
        is_direct = self.direct_upper is not None and self.direct_lower is not None
        return MIN_DELTA if is_direct else MIN_SEARCHED_DELTA

    @property
    def limits(self) -> RadiusLimits:
        """Return what a radius must lie between."""
        return RadiusLimits(self.smallest_delta, self.supremum, MAX_DELTA)

    def upper(self, logp: Tensor, delta: float | Tensor) -> Tensor:
        """Return the largest log r with g_f(p, r) <= δ; at most -logp. logp fp32 or fp64, <= 0."""
        return self._searched(logp, delta, upward=True) if self.direct_upper is None else self.direct_upper(logp, delta)

    def lower(self, logp: Tensor, delta: float | Tensor) -> Tensor:
        """Return the smallest log r with g_f(p, r) <= δ; -inf where q = 0 is allowed. logp fp32 or fp64, <= 0."""
        return (
            self._searched(logp, delta, upward=False) if self.direct_lower is None else self.direct_lower(logp, delta)
        )

    def toward(self, logp: Tensor, delta: float | Tensor, upward: Tensor) -> Tensor:
        """Return `upper` where the bool tensor `upward`, else `lower`; one solve where bounds are solved for."""
        if self.direct_toward is not None:
            return self.direct_toward(logp, delta, upward)
        if self.direct_upper is None and self.direct_lower is None:
            return self._searched(logp, delta, upward)
        return torch.where(upward, self.upper(logp, delta), self.lower(logp, delta))

    def _searched(self, logp: Tensor, delta: float | Tensor, upward: bool | Tensor) -> Tensor:
        known = REGISTRY.get(self.name)
        has_name = self.name.startswith("alpha=") or (known is not None and known.f is self.f)
        if not is_traced() and not (has_name and is_fake(logp)):
            return root_bound(self.f, logp, delta, upward)
        if not has_name:
            raise ValueError(f"divergence {self.name!r}: register it first, compiled code finds its f by that name")
        radius = torch.as_tensor(delta, dtype=torch.float64, device=logp.device)
        upward = torch.as_tensor(upward, device=logp.device)
        return torch.ops.bandpo.root_bound(logp, radius.expand_as(logp), self.name, upward.expand_as(logp))


REGISTRY: dict[str, Divergence] = {}
"""Every registered divergence by name; `registry` fills it and answers for it."""


def _registered(name: str) -> Divergence:
    """Return what was pickled by its name."""
    if name not in REGISTRY:
        raise ValueError(f"divergence={name!r}: expected one of {', '.join(REGISTRY)}; register it before unpickling")
    return REGISTRY[name]
