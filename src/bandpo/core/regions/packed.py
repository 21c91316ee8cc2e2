"""A region as the numbers a kernel takes, so that a kernel knows neither divergences nor options by name."""

from __future__ import annotations

import math
from typing import NamedTuple, get_type_hints

FIXED, KL, TV, CHI2, HELLINGER, DYNAMIC = 0, 1, 2, 3, 4, 5
KINDS = {"kl": KL, "tv": TV, "chi2": CHI2, "hellinger": HELLINGER}
# Added to the kind of a divergence.
PER_TOKEN, MIRRORED = 8, 16


class PackedRegion(NamedTuple):
    """An interval as numbers: a kind and a value for each side, then limits, in this order.

    Attributes:
        low_kind, low_value: FIXED and a log-ratio, DYNAMIC and DCPO's ε, or a divergence's kind and its radius δ;
            with MIRRORED added the opposite bound of the complement, with PER_TOKEN the radius is a tensor apart.
        high_kind, high_value: the same above.
        low_at_most, high_at_least: the authors' relaxation, as log-ratios; 0 for none.
        log_cap: cap of the upper log-ratio, inf for none.
        log_dual_clip: log-ratio above which bad tokens are left alone, inf for none.

    >>> PackedRegion(KL, 0.05, FIXED, math.log1p(0.2)).log_cap
    inf
    """

    low_kind: int
    low_value: float
    high_kind: int
    high_value: float
    low_at_most: float = 0.0
    high_at_least: float = 0.0
    log_cap: float = math.inf
    log_dual_clip: float = math.inf


REGION_SCHEMA = ", ".join(f"{kind.__name__} {name}" for name, kind in get_type_hints(PackedRegion).items())
"""The numbers of a region among the arguments of a torch operator."""
