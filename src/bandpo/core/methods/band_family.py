"""One method for every divergence: `band-NAME`, the band of that divergence."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.methods.method import IntervalMethod
from bandpo.core.regions.band import band
from bandpo.core.regions.two_sides import Band, band_region

BANDPO = "BandPO, arXiv 2603.04918"
FORMULA = "p f(r) + (1 - p) f((1 - r p)/(1 - p)) <= δ"
# The divergences of the paper.
_PUBLISHED = ("kl", "tv", "chi2")
_OPTIONS = {
    parameter.name: parameter.default
    for parameter in inspect.signature(band_region).parameters.values()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
}


@dataclass(frozen=True)
class BandOf:
    """The rule of a band method: from options to the band of one divergence."""

    divergence: Divergence
    documented: ClassVar = staticmethod(band)

    def __call__(self, **options: Any) -> Band:
        """Return the band of these options, see `band_region`."""
        return band_region(self.divergence, **options)


def band_method(
    divergence: Divergence, name: str = "", summary: str = "", below: str = "", **changes: Any
) -> IntervalMethod:
    """Return the band of a divergence as a method.

    Args:
        divergence: what its radii measure.
        name, summary: `band-NAME` and what it says of itself, if not given.
        below: formula of the lower side, where it is another.
        **changes: defaults that differ from those of `band_region`.

    >>> band_method(bandpo.get_divergence("js")).citation
    'this project, after BandPO, arXiv 2603.04918'
    """
    is_published = not name and divergence.name in _PUBLISHED
    return IntervalMethod(
        name or f"band-{divergence.name}",
        summary or f"Bound {divergence.summary} by δ, token by token",
        FORMULA + (f" above; {below} below" if below else ""),
        f"{BANDPO}, Theorem 1" if is_published else f"this project, after {BANDPO}",
        "interval",
        BandOf(divergence),
        {**_OPTIONS, **changes},
        ours=not is_published,
    )
