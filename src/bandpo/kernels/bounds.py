"""The bounds of a region inside a Triton kernel: `closed_bounds` and `kl_table` again, for one block of tokens.

The tests hold both against each other.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from bandpo.core.divergences import kl_table as layout
from bandpo.core.divergences.closed import log_floor
from bandpo.core.divergences.kl_solver import LOGP_MIN
from bandpo.core.divergences.kl_table import kl_table
from bandpo.core.regions.packed import CHI2, HELLINGER, KL, TV, PackedRegion

# The table's layout as the kernel needs it, see `kl_table._locate`.
_SHIFT = layout.MANTISSA_BITS - layout.PER_OCTAVE_LOG2
NEAREST, FARTHEST = tl.constexpr(2.0**-layout.OCTAVES), tl.constexpr(-LOGP_MIN)
PER_UNIT, SHIFT = tl.constexpr(float(layout.PER_OCTAVE)), tl.constexpr(_SHIFT)
POSITION_BITS, POSITION_UNIT = tl.constexpr((1 << _SHIFT) - 1), tl.constexpr(2.0**-_SHIFT)
BITS_OF_FIRST = tl.constexpr((layout.EXPONENT_BIAS - layout.OCTAVES) << layout.PER_OCTAVE_LOG2)
CELLS_BELOW_ONE, COLUMNS = tl.constexpr(layout.OCTAVES * layout.PER_OCTAVE), tl.constexpr(layout.CELLS)
LOWER_ROW, UPPER_ROW = tl.constexpr(0), tl.constexpr(layout.DEGREE + 1)


@triton.jit
def _log1p(x):
    """log(1 + x) without cancellation (Kahan): the rounding of 1 + x is divided out."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def _expm1(x):
    """e^x - 1 without cancellation, for x <= 0 and moderate x > 0 (Kahan)."""
    u = tl.exp(x)
    near_one = (u == 1.0) | (u == 0.0)
    ratio = (u - 1.0) * (x / tl.where(near_one, 1.0, tl.log(tl.where(near_one, 2.0, u))))
    return tl.where(u == 1.0, x, tl.where(u == 0.0, -1.0, ratio))


@triton.jit
def _log1mexp(x):
    """log(1 - e^x) for x < 0."""
    return tl.where(x > -0.6931472, tl.log(-_expm1(x)), _log1p(-tl.exp(x)))


@triton.jit
def _kl_bound(table, logp, first):
    """The cubic of `kl_table` for this token; `first` is the table's row of its constant term, for all or for each."""
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
    """The upper bound beyond the table's far end, and at most -logp."""
    return tl.minimum(bound + tl.maximum(-logp - FARTHEST, 0.0), -logp)


@triton.jit
def _floor_gap(logp, coarse, fine):
    """log(1 - floor/p), -inf where p <= floor; log floor = coarse + fine."""
    gap = (coarse - logp) + fine
    return tl.where(gap >= 0.0, float("-inf"), _log1mexp(tl.minimum(gap, -1e-30)))


@triton.jit
def _root_of_odds(value, w, p):
    """√(value w/p), 2^32 keeping small terms from underflow."""
    return tl.sqrt(value * 4294967296.0 * w / p) * 1.52587890625e-05


@triton.jit
def lower_bound(table, logp, value, coarse, fine, KIND: tl.constexpr):
    """The lower log-ratio bound."""
    if KIND == 0:
        return logp * 0.0 + value
    if KIND == 1:
        return _kl_bound(table, logp, LOWER_ROW)
    p = tl.exp(tl.maximum(logp, -60.0))
    w = -_expm1(tl.maximum(logp, -60.0))
    if KIND == 2:
        drop = value / p
        return tl.where(drop < 0.5, _log1p(-tl.minimum(drop, 0.5)), _floor_gap(logp, coarse, fine))
    if KIND == 3:
        drop = _root_of_odds(value, w, p)
        near_zero = _floor_gap(logp, coarse, fine) + _log1p(w * 0.0 + value) - _log1p(drop)
        return tl.where(drop < 0.5, _log1p(-tl.minimum(drop, 0.5)), near_zero)
    h = value / 2
    spread = _root_of_odds(h * (2 - h), w, p)
    drop = h + spread
    near_zero = _floor_gap(logp, coarse, fine) - tl.log(1 - h + spread)
    return 2 * tl.where(drop < 0.5, _log1p(-tl.minimum(drop, 0.5)), near_zero)


@triton.jit
def upper_bound(table, logp, value, KIND: tl.constexpr):
    """The upper log-ratio bound, at most -logp."""
    if KIND == 0:
        return logp * 0.0 + value
    if KIND == 1:
        return _kl_high(_kl_bound(table, logp, UPPER_ROW), logp)
    clamped = tl.maximum(logp, -60.0)
    below = clamped - logp
    p = tl.exp(clamped)
    w = -_expm1(clamped)
    if KIND == 2:
        return tl.minimum(_log1p(value / p) + below, -logp)
    if KIND == 3:
        return tl.minimum(_log1p(_root_of_odds(value, w, p)) + 0.5 * below, -logp)
    h = value / 2
    high = 2 * _log1p(_root_of_odds(h * (2 - h), w, p) - h) + below
    return tl.where(w <= h * (2 - h), -logp, tl.minimum(high, -logp))


@triton.jit
def bounds(
    logp,
    upward,
    low_table,
    high_table,
    low_value,
    high_value,
    low_coarse,
    low_fine,
    low_at_most,
    high_at_least,
    log_cap,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    SIDES: tl.constexpr,
):
    """Log-ratio bounds of tokens with old log-probs logp <= 0; with SIDES = 1 only the one that `upward` asks for.

    The other then holds the same number. SIDES = 1 takes one table for both sides.
    """
    if SIDES == 1:
        bound = _kl_bound(high_table, logp, tl.where(upward, UPPER_ROW, LOWER_ROW))
        low = bound
        high = _kl_high(bound, logp)
    else:
        low = lower_bound(low_table, logp, low_value, low_coarse, low_fine, LOW)
        high = upper_bound(high_table, logp, high_value, HIGH)
    return tl.minimum(low, low_at_most), tl.minimum(tl.maximum(high, high_at_least), log_cap)


def launch_arguments(region: PackedRegion, device: torch.device) -> list[Any]:
    """Return what `bounds` takes for this region, from low_table to log_cap."""
    kinds = (region.low_kind, region.low_value), (region.high_kind, region.high_value)
    unused = torch.empty(1, device=device)
    tables = [kl_table(*v.as_integer_ratio(), device) if kind == KL else unused for kind, v in kinds]
    numbers = [region.low_value, region.high_value, *_log_floor(*kinds[0])]
    return [*tables, *numbers, region.low_at_most, region.high_at_least, region.log_cap]


def _log_floor(kind: int, delta: float) -> tuple[float, float]:
    """`log_floor` of a side, of use below alone and for the divergences that have one."""
    names = {TV: "tv", CHI2: "chi2", HELLINGER: "hellinger"}
    return log_floor(names[kind], *delta.as_integer_ratio(), torch.float32) if kind in names else (0.0, 0.0)
