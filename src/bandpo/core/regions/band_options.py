"""What can be chosen about a band, side by side, and which choices contradict each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from bandpo.core.checks import RadiusLimits, can_inspect, check_floating, check_logp, check_number, check_radius
from bandpo.core.divergences.divergence import Divergence

# The fp32 KL solver multiplies four factors of size e^δ; e^80 still fits.
MAX_DELTA = 20.0
SIDES = ("band", "mirror", "none")


class BandOptions(NamedTuple):
    """The options of `band`, where each is explained.

    >>> BandOptions(0.05, delta_high=0.2).radii
    (0.05, 0.2)
    """

    delta: float | Tensor = 0.05
    delta_low: float | Tensor | None = None
    delta_high: float | Tensor | None = None
    lower: str = "band"
    upper: str = "band"
    eps_low: float | None = None
    eps_high: float | None = None
    max_ratio: float | None = None
    relax: Sequence[float] | None = None

    @property
    def radii(self) -> tuple[float | Tensor, float | Tensor]:
        """The radius of the lower and of the upper side."""
        low = self.delta if self.delta_low is None else self.delta_low
        return low, self.delta if self.delta_high is None else self.delta_high


def check_band(logp_old: Tensor, divergence: Divergence, options: BandOptions, check: bool) -> None:
    """Raise what `band` raises for these arguments; `check` covers what needs a look at the tensors."""
    check_floating("logp_old", logp_old)
    _check_side("lower", options.lower, options.delta_low, "delta_low", options.eps_low, "eps_low")
    _check_side("upper", options.upper, options.delta_high, "delta_high", options.eps_high, "eps_high")
    inspect = check and can_inspect(logp_old)
    if inspect:
        check_logp("logp_old", logp_old)
    _check_radii_given(options)
    limits = RadiusLimits(divergence.smallest_delta, divergence.supremum, MAX_DELTA)
    for name in ("delta", "delta_low", "delta_high"):
        if (radius := getattr(options, name)) is not None:
            check_radius(name, radius, logp_old.shape, limits, inspect)
    relax, max_ratio = options.relax, options.max_ratio
    if relax is not None:
        if isinstance(relax, str) or not isinstance(relax, Sequence) or len(relax) != 2:
            raise ValueError(f"relax={relax!r}: expected a pair (eps_low, eps_high)")
        check_number("relax[0]", relax[0], 0.0, 1.0)
        check_number("relax[1]", relax[1], 0.0, math.inf)
    if max_ratio is not None:
        check_number("max_ratio", max_ratio, 1.0, math.inf, low_open=True)


def _check_radii_given(options: BandOptions) -> None:
    sides = zip((options.lower, options.upper), (options.eps_low, options.eps_high), options.radii, strict=True)
    for rule, eps, radius in sides:
        if radius is None and rule != "none" and eps is None:
            raise TypeError("delta=None: expected a number or a tensor, or both delta_low and delta_high")


def _check_side(name: str, rule: object, radius: object, radius_name: str, eps: float | None, eps_name: str) -> None:
    if rule not in SIDES:
        raise ValueError(f"{name}={rule!r}: expected one of {', '.join(map(repr, SIDES))}")
    if eps is not None:
        check_number(eps_name, eps, 0.0, 1.0 if name == "lower" else math.inf)
        if rule != "band" or radius is not None:
            other = f"{name}={rule!r}" if rule != "band" else f"{radius_name}={radius!r}"
            raise ValueError(f"{eps_name}={eps!r} fixes the {name} bound and {other} sets it too: give one")
    if rule == "none" and radius is not None:
        raise ValueError(f"{name}='none' takes no radius, got {radius_name}={radius!r}")
