"""The Band operator: a trust region over the whole vocabulary, projected on the sampled token.

`band` turns the old log-probability of every sampled token into the interval of log-ratios that the region
{D_f(new || old) <= δ} allows it. A rare token gets room to grow, a near-certain one is held.
"""

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
from bandpo.core.regions.sides import Fixed, Mirrored, Open, Side, Within, radius_for
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

    def bounds(self, logp: Tensor, toward: Tensor | None) -> Interval:
        """Return both sides' bounds, widened and capped; with `toward` the one that each advantage pushes to."""
        if toward is not None and self._has_one_radius():
            low = high = self._toward(logp, toward >= 0)
        else:
            low = self.low.bound(logp, self.divergence, upper=False)
            high = self.high.bound(logp, self.divergence, upper=True)
        if toward is not None and self.divergence is not None:
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

    def check(self, logp_old: Tensor, inspect: bool) -> None:
        """Raise TypeError or ValueError for a number out of range, or log-probs that are none."""
        check_floating("logp_old", logp_old)
        inspect = inspect and can_inspect(logp_old)
        if inspect:
            check_logp("logp_old", logp_old)
        self.low.check(self.divergence, logp_old.shape, upper=False, inspect=inspect)
        if self.high is not self.low:
            self.high.check(self.divergence, logp_old.shape, upper=True, inspect=inspect)
        if self.relax is not None:
            if isinstance(self.relax, str) or not isinstance(self.relax, Sequence) or len(self.relax) != 2:
                raise ValueError(f"relax={self.relax!r}: expected a pair (eps_low, eps_high)")
            check_number("relax[0]", self.relax[0], 0.0, 1.0)
            check_number("relax[1]", self.relax[1], 0.0, math.inf)
        if self.max_ratio is not None:
            check_number("max_ratio", self.max_ratio, 1.0, math.inf, low_open=True)

    def _has_one_radius(self) -> bool:
        return self.low is self.high and type(self.low) is Within

    def _toward(self, logp: Tensor, upward: Tensor) -> Tensor:
        assert self.divergence is not None and isinstance(self.low, Within)
        return self.divergence.toward(logp, radius_for(self.low.delta, logp), upward)


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
    """Return the region that these options of `band` describe, as an object.

    Args:
        divergence: a name from `bandpo.divergences()`, "alpha=VALUE", or a `bandpo.Divergence`.
        delta: radius δ of both sides.
        delta_low: radius of the lower side, where it differs from delta.
        delta_high: radius of the upper side, where it differs from delta.
        lower: rule of the lower side: band, mirror or none.
        upper: rule of the upper side: band, mirror or none.
        eps_low: a fixed clip below instead, ratio 1 - eps_low.
        eps_high: a fixed clip above instead, ratio 1 + eps_high.
        max_ratio: cap on the upper ratio bound; the authors' runs use 10.
        relax: (eps_low, eps_high): widen each bound to at least the fixed clip, the authors' option.
        dual_clip: largest ratio that still moves a bad token.

    Raises:
        TypeError, ValueError: a name is unknown, a radius is missing, or two options set the same bound.

    >>> band_region("kl", delta_high=0.2, lower="mirror").low
    Mirrored(delta=0.05, option='delta')
    """
    measured = get_divergence(divergence)
    if delta is not None and not isinstance(delta, Tensor):
        check_radius("delta", delta, torch.Size(), measured.limits, inspect=False)
    shared = Within(delta)
    return Band(
        divergence=measured,
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


def band(
    logp_old: Tensor,
    delta: float | Tensor = 0.05,
    divergence: str | Divergence = "kl",
    *,
    delta_low: float | Tensor | None = None,
    delta_high: float | Tensor | None = None,
    lower: str = "band",
    upper: str = "band",
    eps_low: float | None = None,
    eps_high: float | None = None,
    max_ratio: float | None = None,
    relax: Sequence[float] | None = None,
    toward: Tensor | None = None,
    kernel: str = "auto",
    check: bool = True,
) -> Interval:
    """Return the log-ratios that a trust region of radius δ allows each sampled token.

    With p = e^logp_old the bounds are the two roots in r of

        p f(r) + (1 - p) f((1 - r p)/(1 - p)) = δ,

    saturating at r = 0 (low = -inf) and r = 1/p (high = -logp_old) where no root exists. BandPO, arXiv 2603.04918,
    Theorem 1 and Proposition 3. Bounds carry no gradient.

    Each side is chosen on its own: its own radius, a fixed clip, the mirrored band, or none.

    Args:
        logp_old: log-probs of the sampled tokens under the old policy, any floating dtype, any shape, <= 0. It must
            be the tensor the ratio is divided by, at the temperature the tokens were sampled at.
        delta: radius δ of both sides, in nats for the KL family; a number or a tensor that broadcasts to logp_old.
        divergence: a name from `bandpo.divergences()`, "alpha=VALUE", or a `bandpo.Divergence`.
        delta_low, delta_high: radius of one side, where it differs from `delta`.
        lower, upper: "band"; "mirror", one over the opposite bound of the complement 1 - p (the mirrored lower bound
            is tight for rare tokens and wide for likely ones; ours, not the paper's); or "none".
        eps_low, eps_high: a fixed clip on that side instead, ratio 1 - eps_low or 1 + eps_high.
        max_ratio: cap on the upper ratio bound; the authors' runs use 10.
        relax: (eps_low, eps_high): widen each bound to at least the fixed clip, the authors' option.
        toward: advantages, shape of logp_old: find only the bound that their sign pushes to, the upper from 0 on, and
            leave the other side open (∓inf). A loss needs no more, at half the price.
        kernel: "torch", the code you read; "triton", one kernel; "auto", the kernel where it can serve: on a CUDA
            device with Triton, in eager code, for KL, TV, χ² and Hellinger with number radii, in fp32 or less,
            without `toward`.
        check: raise on NaN or positive log-probs and on bad tensor radii; skipped in compiled code and under vmap.

    Returns:
        Interval(low, high): bounds of logp - logp_old, fp32 (fp64 if logp_old is), shape of logp_old.

    Raises:
        TypeError: logp_old or a radius is not a floating tensor or number.
        ValueError: a value is out of range, a name is unknown, or two arguments set the same bound.

    >>> interval = bandpo.band(torch.tensor([0.01, 0.5, 0.99]).log(), delta=0.05)
    >>> [f"{low:.3f} .. {high:.3f}" for low, high in zip(*interval.ratio())]
    ['0.002 .. 7.810', '0.692 .. 1.308', '0.931 .. 1.010']
    >>> bandpo.band(torch.tensor([0.01]).log(), eps_low=0.2).low.exp()
    tensor([0.8000])
    """
    region = band_region(
        divergence,
        delta=delta,
        delta_low=delta_low,
        delta_high=delta_high,
        lower=lower,
        upper=upper,
        eps_low=eps_low,
        eps_high=eps_high,
        max_ratio=max_ratio,
        relax=relax,
    )
    return region.interval(logp_old, toward=toward, kernel=kernel, check=check)
