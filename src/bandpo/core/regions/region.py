"""Trust regions by their bounds: what every region answers, and regions given by a formula for both bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.core.regions.dispatch import band_bounds, can_meet, serves
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

    def radii(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the radii of both sides that are tensors, which `packed` marks as `PER_TOKEN`, None for a number.

        An upper side that is PER_TOKEN without one has that of the lower side: compilers take no tensor twice.
        """
        return None, None

    def leaves_open(self) -> bool:
        """Return whether `bounds` opens the side that the sign of `toward` cannot reach."""
        return False

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
        toward = toward if self.leaves_open() else None
        numbers = self.packed() if serves(kernel, logp_old) and not torch.compiler.is_compiling() else None
        tensors = (*self.radii(), toward)
        if numbers is not None and all(can_meet(one, logp_old) for one in tensors):
            return Interval(*band_bounds(logp_old.detach(), tensors, numbers))
        if kernel == "triton":
            raise ValueError(
                f"kernel='triton' with {self.label} and {logp_old.dtype}: expected a fixed clip, or a band of kl, tv, "
                "chi2 or hellinger, fp32 or less, eager code, and radii and `toward` on the device of logp_old"
            )
        # A context, for a compiler does not follow a decorated method of an object it has made itself.
        with torch.no_grad():
            return self.bounds(working(logp_old), toward)


@dataclass(frozen=True, kw_only=True)
class Formula(Region):
    """A region whose two bounds are a function of the log-probs.

    Attributes:
        formula: from log-probs to the bounds.
        numbers: returns the same interval as a kernel takes it, None where no kernel has its formula.

    >>> Formula(formula=lambda logp: Interval(logp * 0 - 0.1, logp * 0 + 0.1)).interval(torch.tensor([-1.0])).high
    tensor([0.1000])
    """

    formula: Callable[[Tensor], Interval]
    numbers: Callable[[], PackedRegion] | None = None

    def bounds(self, logp: Tensor, toward: Tensor | None) -> Interval:
        """Return both bounds, whatever the advantages."""
        return self.formula(logp)

    def packed(self) -> PackedRegion | None:
        """Return `numbers` with the dual clip, None where the formula has none."""
        log_dual_clip = math.inf if self.dual_clip is None else math.log(self.dual_clip)
        return None if self.numbers is None else self.numbers()._replace(log_dual_clip=log_dual_clip)
