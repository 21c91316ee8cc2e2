"""The Band operator: a trust region over the whole vocabulary, projected on the sampled token.

`band` turns the old log-probability of every sampled token into the interval of log-ratios that the region
{D_f(new || old) <= δ} allows it. A rare token gets room to grow, a near-certain one is held.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.two_sides import band_region


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
        delta_low: radius of the lower side, where it differs from delta.
        delta_high: radius of the upper side, where it differs from delta.
        lower, upper: "band"; "mirror", one over the opposite bound of the complement 1 - p (the mirrored lower bound
            is tight for rare tokens and wide for likely ones; ours, not the paper's); or "none".
        eps_low: a fixed clip below instead, ratio 1 - eps_low.
        eps_high: a fixed clip above instead, ratio 1 + eps_high.
        max_ratio: cap on the upper ratio bound; the authors' runs use 10.
        relax: (eps_low, eps_high): widen each bound to at least the fixed clip, the authors' option.
        toward: advantages, shape of logp_old: find only the bound that their sign pushes to, the upper from 0 on, and
            leave the other side open (∓inf). A loss needs no more, at half the price.
        kernel: "torch", the code you read; "triton", one kernel; "auto", the kernel where it can serve: on a CUDA
            device with Triton, in eager code, for KL, TV, χ² and Hellinger, in fp32 or less.
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
