"""Trust regions by their bounds: what every region answers, and regions given by a formula for both bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.core.regions.dispatch import band_bounds, serves
from bandpo.core.regions.interval import Interval, working
from bandpo.core.regions.packed import PackedRegion


@dataclass(frozen=True, kw_only=True)
class Region:
    """An interval of log-ratios for every token. A kind of region says how by `bounds`.

    Attributes:
        dual_clip: ratio above which bad tokens are left alone, None for never.

    >>> isinstance(bandpo.band_region("kl"), bandpo.Region)
    True
    """

    dual_clip: float | None = None

    @property
    def label(self) -> str:
        """Name the region for errors."""
        return type(self).__name__

    def bounds(self, logp: Tensor, toward: Tensor | None) -> Interval:
        """Return the interval of log-probs that are checked and in a working dtype; see `interval`."""
        raise NotImplementedError

    def check(self, logp_old: Tensor, inspect: bool) -> None:
        """Raise TypeError or ValueError where the region makes no sense; `inspect` allows a look into tensors."""

    def packed(self) -> PackedRegion | None:
        """Return the region as numbers for a kernel, or None where no kernel has its formula."""
        return None

    def interval(
        self, logp_old: Tensor, *, toward: Tensor | None = None, kernel: str = "auto", check: bool = True
    ) -> Interval:
        """Return the log-ratios that the region allows each token; it carries no gradient.

        Args:
            logp_old: log-probs the ratio is divided by, any floating dtype, any shape.
            toward: advantages of that shape; the side that their sign cannot reach may then be left open.
            kernel: "auto", "torch" or "triton", see `band`.
            check: look for NaN, positive log-probs and bad tensor radii.

        Raises:
            TypeError, ValueError: as the region's `check`; a kernel that does not exist or cannot serve.
        """
        self.check(logp_old, check)
        is_wanted = serves(kernel, logp_old) and toward is None and not torch.compiler.is_compiling()
        numbers = self.packed() if is_wanted else None
        if numbers is not None:
            return Interval(*band_bounds(logp_old.detach(), numbers))
        if kernel == "triton":
            raise ValueError(
                f"kernel='triton' with {self.label} and {logp_old.dtype}: expected a band of kl, tv, chi2 or hellinger "
                "with number radii and no mirrored side, fp32 or less, eager code and no `toward`"
            )
        # A context, for a compiler does not follow a decorated method of an object it has made itself.
        with torch.no_grad():
            return self.bounds(working(logp_old), toward)


@dataclass(frozen=True, kw_only=True)
class Formula(Region):
    """A region whose two bounds are a function of the log-probs.

    >>> Formula(formula=lambda logp: Interval(logp * 0 - 0.1, logp * 0 + 0.1)).interval(torch.tensor([-1.0])).high
    tensor([0.1000])
    """

    formula: Callable[[Tensor], Interval]

    def bounds(self, logp: Tensor, toward: Tensor | None) -> Interval:
        """Return both bounds, whatever the advantages."""
        return self.formula(logp)
