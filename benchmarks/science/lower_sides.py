"""Lower sides that the package does not have, as methods of this study: what `bandpo.register_method` is for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import bandpo
from bandpo.core.divergences.special import log1mexp
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.region import Formula, Region


@bandpo.register_method(
    "band-upper-scaled",
    family="interval",
    formula="p log(1/r) + ... <= δ above; log r >= -c (1 - p)^-power below",
    citation="this project",
    ours=True,
    experimental=True,
)
def band_upper_scaled(
    *, c: float = 0.05, power: float = 0.5, delta: float = 0.05, max_ratio: float | None = None
) -> Region:
    """Bound KL by δ above, and the fall of the log-prob by c/(1 - p)^power below.

    With power 0 it is a fixed lower bound. A larger power gives likely tokens room to fall and leaves rare ones what c
    is: the probability of all other tokens, 1 - p, then grows by about c p (1 - p)^(-power - 1) of itself.
    """
    above = bandpo.band_region("kl", delta=delta, lower="none", max_ratio=max_ratio)

    def both(logp: Tensor) -> Interval:
        low = -torch.exp(math.log(c) - power * log1mexp(logp))
        return Interval(low, above.bounds(logp, None).high)

    return Formula(formula=both)
