"""Which bands the kernels can compute, and the numbers they need for them."""

from __future__ import annotations

import importlib.util
import math
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import is_transformed
from bandpo.core.divergences.kl_table import MIN_TABLE_DELTA
from bandpo.core.regions.band_options import BandOptions

FIXED, KL, TV, CHI2, HELLINGER = 0, 1, 2, 3, 4
KERNELS = ("auto", "torch", "triton")
# Looked up once, here: a function that a compiler may trace must not search for modules.
_HAS_TRITON = importlib.util.find_spec("triton") is not None
KINDS = {"kl": KL, "tv": TV, "chi2": CHI2, "hellinger": HELLINGER}


class ClipRegion(NamedTuple):
    """An interval as numbers: a kind and a value for each side, then limits, in this order.

    Attributes:
        low_kind, low_value: FIXED and a log-ratio, or a divergence's kind and its radius δ.
        high_kind, high_value: the same above.
        low_at_most, high_at_least: the authors' relaxation, as log-ratios; 0 for none.
        log_cap: cap of the upper log-ratio, inf for none.
        log_dual_clip: log-ratio above which bad tokens are left alone, inf for none.
    """

    low_kind: int
    low_value: float
    high_kind: int
    high_value: float
    low_at_most: float = 0.0
    high_at_least: float = 0.0
    log_cap: float = math.inf
    log_dual_clip: float = math.inf


def has_triton() -> bool:
    """Return whether Triton can be imported."""
    return _HAS_TRITON


def band_region(divergence: str, options: BandOptions) -> ClipRegion | None:
    """The band of these options in the kernels' terms, None where they have no formula for it.

    They have formulas for fixed clips and for KL, TV, χ² and Hellinger, with radii that are numbers of at least 1e-9;
    not for mirrored sides. The options are validated by `band`.

    >>> from bandpo.core.regions.band_options import BandOptions
    >>> band_region("kl", BandOptions(max_ratio=10.0))
    ClipRegion(low_kind=1, low_value=0.05, high_kind=1, high_value=0.05, ..., log_cap=2.302585092994046, ...)
    >>> band_region("kl", BandOptions(lower="mirror")) is None
    True
    """
    radius_low, radius_high = options.radii
    low = _side(divergence, options.lower, radius_low, options.eps_low, -1)
    high = _side(divergence, options.upper, radius_high, options.eps_high, +1)
    if low is None or high is None:
        return None
    relax_low, relax_high = options.relax or (0.0, 0.0)
    return ClipRegion(
        *low,
        *high,
        low_at_most=math.log1p(-relax_low),
        high_at_least=math.log1p(relax_high),
        log_cap=math.inf if options.max_ratio is None else math.log(options.max_ratio),
    )


def _side(divergence: str, rule: str, radius: float | Tensor, eps: float | None, sign: int) -> tuple[int, float] | None:
    if eps is not None:
        return FIXED, math.log1p(sign * eps)
    if rule == "none":
        return FIXED, sign * math.inf
    if rule != "band" or divergence not in KINDS or isinstance(radius, Tensor) or radius < MIN_TABLE_DELTA:
        return None
    return KINDS[divergence], float(radius)


def runs_kernels(tensor: Tensor) -> bool:
    """Return whether this tensor lies where a kernel can run: on a CUDA device, with Triton at hand."""
    return tensor.is_cuda and has_triton()


def serves(kernel: str, tensor: Tensor) -> bool:
    """Return whether to ask for a kernel at all: "triton", or "auto" where one can run; never in fp64.

    Under vmap and the other transforms of `torch.func`, "auto" leaves the work to torch.

    Raises:
        ValueError: an unknown name.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel={kernel!r}: expected one of {', '.join(map(repr, KERNELS))}")
    wanted = kernel == "triton" or (kernel == "auto" and runs_kernels(tensor) and not is_transformed(tensor))
    return wanted and tensor.dtype != torch.float64
