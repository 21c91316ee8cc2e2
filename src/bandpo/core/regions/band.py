"""The Band operator: a trust region over the whole vocabulary, projected on the sampled token.

`band` turns the old log-probability of every sampled token into the interval of log-ratios that the region
{D_f(new || old) <= δ} allows it. A rare token gets room to grow, a near-certain one is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.divergence import Divergence, get_divergence
from bandpo.core.divergences.special import log1mexp
from bandpo.core.regions.band_options import BandOptions, check_band
from bandpo.kernels.band import band_bounds
from bandpo.kernels.region import ClipRegion, band_region, serves


class Interval(NamedTuple):
    """Per-token bounds of log(new/old): low <= 0 <= high, fp32 (fp64 for fp64 input), the shape of logp_old.

    >>> low, high = bandpo.Interval(torch.tensor([-0.2]), torch.tensor([0.3])).ratio()
    >>> low, high
    (tensor([0.8187]), tensor([1.3499]))
    """

    low: Tensor
    high: Tensor

    def ratio(self) -> tuple[Tensor, Tensor]:
        """The same bounds as ratios, (e^low, e^high); e^high overflows to inf for old probabilities below 1e-38."""
        return torch.exp(self.low), torch.exp(self.high)


def working(logp: Tensor) -> Tensor:
    """Detached log-probs in the dtype the core computes in: fp64 stays fp64, all else becomes fp32; at most 0."""
    logp = logp.detach()
    return (logp if logp.dtype == torch.float64 else logp.float()).clamp_max(0.0)


def _radius(delta: float | Tensor, logp: Tensor) -> float | Tensor:
    return delta.detach().to(logp.dtype) if isinstance(delta, Tensor) else delta


def _side(
    name: str, rule: str, logp: Tensor, divergence: Divergence, delta: float | Tensor | None, eps: float | None
) -> Tensor:
    """One bound. The mirrored bound is minus the opposite bound of the complement, the event "any other token"."""
    if eps is not None:
        return torch.full_like(logp, math.log1p(-eps if name == "lower" else eps))
    if rule == "none":
        return torch.full_like(logp, -math.inf if name == "lower" else math.inf)
    assert delta is not None, "refused by check_band"
    delta = _radius(delta, logp)
    if rule == "mirror":
        opposite = divergence.upper if name == "lower" else divergence.lower
        mirrored = -opposite(log1mexp(logp), delta)
        return mirrored if name == "lower" else torch.minimum(mirrored, -logp)
    return divergence.lower(logp, delta) if name == "lower" else divergence.upper(logp, delta)


@torch.no_grad()
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
    """The log-ratios that a trust region of radius δ allows each sampled token.

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
    chosen = get_divergence(divergence)
    options = BandOptions(delta, delta_low, delta_high, lower, upper, eps_low, eps_high, max_ratio, relax)
    check_band(logp_old, chosen, options, check)
    region = _kernel_region(kernel, logp_old, chosen, toward, options)
    if region is not None:
        return Interval(*band_bounds(logp_old.detach(), region))
    radius_low, radius_high = options.radii
    logp = working(logp_old)
    is_plain = lower == upper == "band" and eps_low is None and eps_high is None and radius_low is radius_high
    if toward is not None and is_plain:
        low = high = chosen.toward(logp, _radius(radius_low, logp), toward >= 0)
    else:
        low = _side("lower", lower, logp, chosen, radius_low, eps_low)
        high = _side("upper", upper, logp, chosen, radius_high, eps_high)
    if toward is not None:
        low, high = torch.where(toward >= 0, -math.inf, low), torch.where(toward >= 0, high, math.inf)
    if relax is not None:
        low, high = low.clamp_max(math.log1p(-relax[0])), high.clamp_min(math.log1p(relax[1]))
    if max_ratio is not None:
        high = high.clamp_max(math.log(max_ratio))
    return Interval(low, high)


def _kernel_region(
    kernel: str, logp: Tensor, divergence: Divergence, toward: Tensor | None, options: BandOptions
) -> ClipRegion | None:
    """What to hand to the kernel, None where the torch code is to run; a compiler fuses that by itself."""
    wanted = serves(kernel, logp) and toward is None and not torch.compiler.is_compiling()
    region = band_region(divergence.name, options) if wanted else None
    if region is None and kernel == "triton":
        raise ValueError(
            f"kernel='triton' with divergence={divergence.name!r} and {logp.dtype}: expected kl, tv, chi2 or hellinger "
            "with number radii and no mirrored side, fp32 or less, eager code and no `toward`"
        )
    return region


def fixed_interval(logp_old: Tensor, eps_low: float, eps_high: float) -> Interval:
    """The same ratio interval 1 - eps_low .. 1 + eps_high for every token; eps = inf leaves that side open.

    PPO, arXiv 1707.06347, eq. 7; two different sides: DAPO's Clip-Higher, arXiv 2503.14476, eq. 8.

    Args:
        logp_old: any floating dtype and shape; only shape, dtype and device are used.
        eps_low: 0 <= eps_low < 1, or inf.
        eps_high: 0 <= eps_high.

    Raises:
        ValueError: an eps is out of range.

    >>> bandpo.fixed_interval(torch.tensor([-1.0]), 0.2, 0.28).high.exp()
    tensor([1.2800])
    """
    if eps_low != math.inf:
        check_number("eps_low", eps_low, 0.0, 1.0)
    if eps_high != math.inf:
        check_number("eps_high", eps_high, 0.0, math.inf)
    logp = working(logp_old)
    low = -math.inf if eps_low == math.inf else math.log1p(-eps_low)
    return Interval(torch.full_like(logp, low), torch.full_like(logp, math.log1p(eps_high)))
