"""The bounds of a region inside a Triton kernel: `divergences.closed` and `kl_table` again, for one block of tokens.

Each function names the torch function whose mirror it is; the tests hold both against each other.
"""

from __future__ import annotations

import functools
from collections import namedtuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.divergences import kl_table as layout
from bandpo.core.divergences.closed import log_floor
from bandpo.core.divergences.kl_solver import LOGP_MIN
from bandpo.core.divergences.kl_table import kl_table
from bandpo.core.regions import packed
from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels.devices import kept

FIXED, KL, TV = tl.constexpr(packed.FIXED), tl.constexpr(packed.KL), tl.constexpr(packed.TV)
CHI2, HELLINGER = tl.constexpr(packed.CHI2), tl.constexpr(packed.HELLINGER)
# The table's layout as the kernel needs it, see `kl_table._locate`.
_SHIFT = layout.MANTISSA_BITS - layout.PER_OCTAVE_LOG2
NEAREST, FARTHEST = tl.constexpr(2.0**-layout.OCTAVES), tl.constexpr(-LOGP_MIN)
PER_UNIT, SHIFT = tl.constexpr(float(layout.PER_OCTAVE)), tl.constexpr(_SHIFT)
POSITION_BITS, POSITION_UNIT = tl.constexpr((1 << _SHIFT) - 1), tl.constexpr(2.0**-_SHIFT)
BITS_OF_FIRST = tl.constexpr((layout.EXPONENT_BIAS - layout.OCTAVES) << layout.PER_OCTAVE_LOG2)
CELLS_BELOW_ONE, COLUMNS = tl.constexpr(layout.OCTAVES * layout.PER_OCTAVE), tl.constexpr(layout.CELLS)
LOWER_ROW, UPPER_ROW = tl.constexpr(0), tl.constexpr(layout.DEGREE + 1)

Region = namedtuple(
    "Region",
    "low_table high_table low_value high_value low_coarse low_fine low_at_most high_at_least log_cap log_dual_clip",
)
"""A `PackedRegion` on its device, one argument of a kernel: Triton takes named tuples, from 3.4 on. Tables are those of
sides of kind KL, coarse and fine the `log_floor` of the lower side. The kinds choose code: they stand beside it."""


@functools.lru_cache(maxsize=256)
def on_device(region: PackedRegion, device: torch.device) -> Region:
    """Return the region with the constants of its sides, as a kernel's argument; made once for each device."""
    kinds = (region.low_kind, region.low_value), (region.high_kind, region.high_value)
    low, high = kept(device, lambda: [_table(kind, delta, device) for kind, delta in kinds])
    return Region(low, high, region.low_value, region.high_value, *_log_floor(*kinds[0]), *region[4:])


def _table(kind: int, delta: float, device: torch.device) -> Tensor:
    """Return the table of a side of kind KL; of another kind, a tensor that no kernel reads."""
    return kl_table(*delta.as_integer_ratio(), device) if kind == packed.KL else torch.empty(1, device=device)


def _log_floor(kind: int, delta: float) -> tuple[float, float]:
    """Return `log_floor` of a side, of use below alone and for the divergences that have one."""
    names = {packed.TV: "tv", packed.CHI2: "chi2", packed.HELLINGER: "hellinger"}
    return log_floor(names[kind], *delta.as_integer_ratio(), torch.float32) if kind in names else (0.0, 0.0)


@triton.jit
def _log1p(x):
    """Mirror `torch.log1p` without cancellation (Kahan): the rounding of 1 + x is divided out."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def _expm1(x):
    """Mirror `special.expm1` without cancellation, for x <= 0 and moderate x > 0 (Kahan)."""
    u = tl.exp(x)
    near_one = (u == 1.0) | (u == 0.0)
    ratio = (u - 1.0) * (x / tl.where(near_one, 1.0, tl.log(tl.where(near_one, 2.0, u))))
    return tl.where(u == 1.0, x, tl.where(u == 0.0, -1.0, ratio))


@triton.jit
def _log1mexp(x):
    """Mirror `special.log1mexp`."""
    return tl.where(x > -0.6931472, tl.log(-_expm1(x)), _log1p(-tl.exp(x)))


@triton.jit
def _kl_bound(table, logp, first):
    """Mirror `kl_table.table_bound`; `first` is the table's row of its constant term, for all tokens or for each."""
    inside = tl.minimum(tl.maximum(-logp, NEAREST), FARTHEST)
    bits = inside.to(tl.int32, bitcast=True)
    scaled = (inside - 1.0) * PER_UNIT
    whole = tl.floor(scaled)
    is_below = inside < 1.0
    cell = tl.where(is_below, (bits >> SHIFT) - BITS_OF_FIRST, whole.to(tl.int32) + CELLS_BELOW_ONE)
    position = tl.where(is_below, (bits & POSITION_BITS).to(tl.float32) * POSITION_UNIT, scaled - whole)
    cell = tl.minimum(tl.maximum(cell, 0), COLUMNS - 1) + first * COLUMNS
    bound = tl.load(table + 3 * COLUMNS + cell)
    bound = bound * position + tl.load(table + 2 * COLUMNS + cell)
    bound = bound * position + tl.load(table + COLUMNS + cell)
    return bound * position + tl.load(table + cell)


@triton.jit
def _kl_high(bound, logp):
    """Mirror the end of `kl_table.table_bound`: an upper bound beyond the table's far end, and at most -logp."""
    return tl.minimum(bound + tl.maximum(-logp - FARTHEST, 0.0), -logp)


@triton.jit
def _simplex(logp):
    """Mirror `closed._simplex`: p, 1 - p, and how far logp lies below the range where 1/p is finite."""
    clamped = tl.maximum(logp, -60.0)
    return tl.exp(clamped), -_expm1(clamped), clamped - logp


@triton.jit
def _floor_gap(logp, coarse, fine):
    """Mirror `closed._log_floor_gap`: log(1 - floor/p), -inf where p <= floor; log floor = coarse + fine."""
    gap = (coarse - logp) + fine
    return tl.where(gap >= 0.0, float("-inf"), _log1mexp(tl.minimum(gap, -1e-30)))


@triton.jit
def _root_of_odds(value, w, p):
    """Mirror `closed._root_of_odds`: √(value w/p), 2^32 keeping small terms from underflow."""
    return tl.sqrt(value * 4294967296.0 * w / p) * 1.52587890625e-05


@triton.jit
def _less(drop, near_zero):
    """Mirror the last line of `closed.tv_lower`: log(1 - drop), in another form where that nears 0."""
    return tl.where(drop < 0.5, _log1p(-tl.minimum(drop, 0.5)), near_zero)


@triton.jit
def _tv_lower(logp, delta, coarse, fine):
    """Mirror `closed.tv_lower`."""
    p, _, _ = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    return _less(delta / p, _floor_gap(logp, coarse, fine))


@triton.jit
def _chi2_lower(logp, delta, coarse, fine):
    """Mirror `closed.chi2_lower`."""
    p, w, _ = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    drop = _root_of_odds(delta, w, p)
    return _less(drop, _floor_gap(logp, coarse, fine) + _log1p(w * 0.0 + delta) - _log1p(drop))


@triton.jit
def _hellinger_lower(logp, delta, coarse, fine):
    """Mirror `closed.hellinger_lower`."""
    p, w, _ = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    h = delta / 2
    spread = _root_of_odds(h * (2 - h), w, p)
    return 2 * _less(h + spread, _floor_gap(logp, coarse, fine) - tl.log(1 - h + spread))


@triton.jit
def _tv_upper(logp, delta):
    """Mirror `closed.tv_upper`."""
    p, _, below = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    return tl.minimum(_log1p(delta / p) + below, -logp)


@triton.jit
def _chi2_upper(logp, delta):
    """Mirror `closed.chi2_upper`."""
    p, w, below = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    return tl.minimum(_log1p(_root_of_odds(delta, w, p)) + 0.5 * below, -logp)


@triton.jit
def _hellinger_upper(logp, delta):
    """Mirror `closed.hellinger_upper`."""
    p, w, below = _simplex(logp)  # pyright: ignore[reportGeneralTypeIssues]
    h = delta / 2
    high = 2 * _log1p(_root_of_odds(h * (2 - h), w, p) - h) + below
    return tl.where(w <= h * (2 - h), -logp, tl.minimum(high, -logp))


@triton.jit
def _lower(logp, region, KIND: tl.constexpr):
    """Mirror `Side.bound` below."""
    if KIND == FIXED:
        return tl.zeros_like(logp) + region.low_value
    if KIND == KL:
        return _kl_bound(region.low_table, logp, LOWER_ROW)
    if KIND == TV:
        return _tv_lower(logp, region.low_value, region.low_coarse, region.low_fine)
    if KIND == CHI2:
        return _chi2_lower(logp, region.low_value, region.low_coarse, region.low_fine)
    return _hellinger_lower(logp, region.low_value, region.low_coarse, region.low_fine)


@triton.jit
def _upper(logp, region, KIND: tl.constexpr):
    """Mirror `Side.bound` above: at most -logp unless fixed."""
    if KIND == FIXED:
        return tl.zeros_like(logp) + region.high_value
    if KIND == KL:
        return _kl_high(_kl_bound(region.high_table, logp, UPPER_ROW), logp)
    if KIND == TV:
        return _tv_upper(logp, region.high_value)
    if KIND == CHI2:
        return _chi2_upper(logp, region.high_value)
    return _hellinger_upper(logp, region.high_value)


@triton.jit
def _limit(low, high, region):
    """Mirror the end of `Band.bounds`: widened and capped."""
    return tl.minimum(low, region.low_at_most), tl.minimum(tl.maximum(high, region.high_at_least), region.log_cap)


@triton.jit
def bounds(logp, region, LOW: tl.constexpr, HIGH: tl.constexpr):
    """Mirror `Band.bounds` for old log-probs logp <= 0."""
    return _limit(_lower(logp, region, LOW), _upper(logp, region, HIGH), region)


@triton.jit
def kl_bounds_toward(logp, upward, region):
    """Mirror `Band.bounds` with `toward`: of one table, the bound that `upward` asks for; the other holds it too."""
    bound = _kl_bound(region.high_table, logp, tl.where(upward, UPPER_ROW, LOWER_ROW))
    return _limit(bound, _kl_high(bound, logp), region)
