"""A lower side that the package does not have, as a method of this study: what `bandpo.register_method` is for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import bandpo
from bandpo.core.checks import check_number
from bandpo.core.divergences.special import log1mexp
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.region import Formula, Region
from benchmarks.science.rules import register_study_method


def band_upper_scaled(
    *, c: float = 0.05, power: float = 0.5, delta: float = 0.05, max_ratio: float | None = None
) -> Region:
    """Bound KL by δ above, and the fall of the log-prob by c/(1 - p)^power below.

    A larger power gives likely tokens room to fall and leaves rare ones what c is. Power 0 would be a fixed lower
    bound, which `band-upper` has.

    Raises:
        TypeError, ValueError: c or power is no positive number, or δ and the cap are not what `band` takes.
    """
    check_number("c", c, 0.0, math.inf, low_open=True)
    check_number("power", power, 0.0, math.inf, low_open=True)
    above = bandpo.band_region("kl", delta=delta, lower="none", max_ratio=max_ratio)

    def both(logp: Tensor) -> Interval:
        low = -torch.exp(math.log(c) - power * log1mexp(logp))
        return Interval(low, above.bounds(logp, None).high)

    return Formula(formula=both)


def register() -> None:
    """Let this process know the method by its name."""
    formula = "p f(r) + (1 - p) f((1 - r p)/(1 - p)) <= δ above; log r >= -c/(1 - p)^power below"
    register_study_method("band-upper-scaled", band_upper_scaled, formula)
