"""A region of two sides over one divergence, and what may be chosen about it side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.core.checks import can_inspect, check_floating, check_logp, check_number, check_radius
from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.registry import get_divergence
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.packed import PackedRegion
from bandpo.core.regions.region import Region
from bandpo.core.regions.sides import (
    Fixed,
    Mirrored,
    Open,
    Side,
    Within,
    measure,
    radius_for,
    radius_option,
    tensor_radius,
)
from bandpo.core.tokens import Tokens

SIDES = {"band": Within, "mirror": Mirrored, "none": Open}


@dataclass(frozen=True, kw_only=True)
class Band(Region):
    """A lower and an upper side, then the authors' relaxation and cap.

    Attributes:
        divergence: what the radii of the sides measure; None where no side has one.
        low, high: the sides.
        max_ratio: cap of the upper ratio bound, None for none.
        relax: (eps_low, eps_high): widen each bound to at least this fixed clip, None for none.

    >>> Band(divergence=bandpo.get_divergence("kl"), low=Fixed(0.2), high=Within(0.05)).packed()
    PackedRegion(low_kind=0, low_value=-0.22..., high_kind=1, high_value=0.05, ...)
    """

    low: Side
    high: Side
    divergence: Divergence | None = None
    max_ratio: float | None = None
    relax: Sequence[float] | None = None

    @property
    def label(self) -> str:
        """Name the region for errors."""
        return "a fixed clip" if self.divergence is None else f"divergence={self.divergence.name!r}"

    def bounds(self, logp: Tensor, toward: Tensor | None) -> Interval:
        """Return both sides' bounds, widened and capped; with `toward` the one that each advantage pushes to."""
        if toward is not None and self.low is self.high and type(self.low) is Within:
            low = high = measure(self.divergence).toward(logp, radius_for(self.low.delta, logp), toward >= 0)
        else:
            low = self.low.bound(logp, self.divergence, upper=False)
            high = self.high.bound(logp, self.divergence, upper=True)
        if toward is not None and self.leaves_open():
            low, high = torch.where(toward >= 0, -math.inf, low), torch.where(toward >= 0, high, math.inf)
        if self.relax is not None:
            low, high = low.clamp_max(math.log1p(-self.relax[0])), high.clamp_min(math.log1p(self.relax[1]))
        if self.max_ratio is not None:
            high = high.clamp_max(math.log(self.max_ratio))
        return Interval(low, high)

    def outside(self, tokens: Tokens) -> Tensor:
        """Return whether each token is past the side its advantage pushes it to, by g_f(p, r) > δ: no root is sought.

        Near p = 1 a KL bound lies within rounding of q = 1: a token at logp = 0 is then outside here, and not past
        that bound.
        """
        d, logp = tokens.log_ratio.detach(), tokens.logp_anchor
        above = self.high.outside(d, logp, self.divergence, upper=True)
        below = self.low.outside(d, logp, self.divergence, upper=False)
        if self.relax is not None:
            below, above = below & (d < math.log1p(-self.relax[0])), above & (d > math.log1p(self.relax[1]))
        if self.max_ratio is not None:
            above = above | (d > math.log(self.max_ratio))
        if self.dual_clip is not None:
            below = below | (d > math.log(self.dual_clip))
        return torch.where(tokens.advantages > 0, above, below)

    def packed(self) -> PackedRegion | None:
        """Return the band as numbers, or None where a side has none."""
        low = self.low.packed(self.divergence, upper=False)
        high = self.high.packed(self.divergence, upper=True)
        if low is None or high is None:
            return None
        relax_low, relax_high = self.relax or (0.0, 0.0)
        cap, dual = (math.inf if ratio is None else math.log(ratio) for ratio in (self.max_ratio, self.dual_clip))
        return PackedRegion(*low, *high, math.log1p(-relax_low), math.log1p(relax_high), cap, dual)

    def radii(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the radii of both sides that are tensors; one that they share stands for the lower side alone."""
        return tensor_radius(self.low), None if self.high is self.low else tensor_radius(self.high)

    def radius_options(self) -> tuple[str | None, str | None]:
        """Return the names of the options that `radii` are."""
        return radius_option(self.low), None if self.high is self.low else radius_option(self.high)

    def leaves_open(self) -> bool:
        """Return whether there is a divergence: a fixed clip has both of its bounds whatever is asked."""
        return self.divergence is not None

    def check(self, logp_old: Tensor, inspect: bool) -> None:
        """Raise TypeError or ValueError for a number out of range, or log-probs that are none."""
        check_floating("logp_old", logp_old)
        inspect = inspect and can_inspect(logp_old)
        if inspect and self.divergence is not None:
            check_logp("logp_old", logp_old)
        self.check_sides(logp_old.shape, inspect)
        if self.relax is not None:
            if isinstance(self.relax, str) or not isinstance(self.relax, Sequence) or len(self.relax) != 2:
                raise ValueError(f"relax={self.relax!r}: expected a pair (eps_low, eps_high)")
            check_number("relax[0]", self.relax[0], 0.0, 1.0)
            check_number("relax[1]", self.relax[1], 0.0, math.inf)
        if self.max_ratio is not None:
            check_number("max_ratio", self.max_ratio, 1.0, math.inf, low_open=True)

    def check_sides(self, shape: torch.Size, inspect: bool) -> None:
        """Raise TypeError or ValueError for a radius or an ε that makes no sense for tokens of this shape."""
        self.low.check(self.divergence, shape, upper=False, inspect=inspect)
        if self.high is not self.low:
            self.high.check(self.divergence, shape, upper=True, inspect=inspect)


def band_region(
    divergence: str | Divergence,
    *,
    delta: float | Tensor = 0.05,
    delta_low: float | Tensor | None = None,
    delta_high: float | Tensor | None = None,
    lower: str = "band",
    upper: str = "band",
    eps_low: float | None = None,
    eps_high: float | None = None,
    max_ratio: float | None = None,
    relax: Sequence[float] | None = None,
    dual_clip: float | None = None,
) -> Band:
    """Return the region that these options describe, as an object.

    Args:
        divergence, delta, delta_low, delta_high, lower, upper, eps_low, eps_high, max_ratio, relax: see `band`.
        dual_clip: largest ratio that still moves a bad token.

    Raises:
        TypeError, ValueError: a name is unknown, a radius is missing, or two options set the same bound.

    >>> band_region("kl", delta_high=0.2, lower="mirror").low
    Mirrored(delta=0.05, option='delta')
    """
    divergence = get_divergence(divergence)
    if delta is not None and not isinstance(delta, Tensor):
        check_radius("delta", delta, torch.Size(), divergence.limits, inspect=False)
    shared = Within(delta)
    return Band(
        divergence=divergence,
        low=_side("lower", lower, shared, "delta_low", delta_low, "eps_low", eps_low),
        high=_side("upper", upper, shared, "delta_high", delta_high, "eps_high", eps_high),
        max_ratio=max_ratio,
        relax=relax,
        dual_clip=dual_clip,
    )


def _side(
    name: str,
    rule: str,
    shared: Within,
    radius_name: str,
    radius: float | Tensor | None,
    eps_name: str,
    eps: float | None,
) -> Side:
    """Return one side, or raise where its options contradict each other."""
    if rule not in SIDES:
        raise ValueError(f"{name}={rule!r}: expected one of {', '.join(map(repr, SIDES))}")
    if eps is not None:
        Fixed(eps).check(None, torch.Size(), upper=name == "upper", inspect=False)
        if rule != "band" or radius is not None:
            other = f"{name}={rule!r}" if rule != "band" else f"{radius_name}={radius!r}"
            raise ValueError(f"{eps_name}={eps!r} fixes the {name} bound and {other} sets it too: give one")
        return Fixed(eps)
    if rule == "none":
        if radius is not None:
            raise ValueError(f"{name}='none' takes no radius, got {radius_name}={radius!r}")
        return Open()
    if radius is None and shared.delta is None:
        raise TypeError("delta=None: expected a number or a tensor, or both delta_low and delta_high")
    if rule == "band":
        return shared if radius is None else Within(radius, radius_name)
    return Mirrored(shared.delta) if radius is None else Mirrored(radius, radius_name)
