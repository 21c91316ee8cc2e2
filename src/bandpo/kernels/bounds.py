"""The bounds of a region inside a Triton kernel, for one block of tokens: `sides`, `two_sides` and `kl_table` again.

Each function names the torch function whose mirror it is; the tests hold both against each other.
"""

from __future__ import annotations

import functools
import math
from collections import namedtuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.divergences import kl_table as layout
from bandpo.core.divergences.closed import log_floor as log_floor_of_number
from bandpo.core.divergences.kl_solver import LOGP_MIN
from bandpo.core.divergences.kl_table import kl_table
from bandpo.core.divergences.registry import get_divergence
from bandpo.core.objective.inputs import FILL_RADIUS
from bandpo.core.regions import packed
from bandpo.core.regions.packed import PackedRegion
from bandpo.kernels import closed, solved
from bandpo.kernels.devices import kept
from bandpo.kernels.special import log1mexp

FIXED, KL, DYNAMIC = tl.constexpr(packed.FIXED), tl.constexpr(packed.KL), tl.constexpr(packed.DYNAMIC)
MIRRORED, PER_TOKEN = tl.constexpr(packed.MIRRORED), tl.constexpr(packed.PER_TOKEN)
MASKED_RADIUS = tl.constexpr(FILL_RADIUS)
# What a token's bounds are: both made, or both the one that it can reach, where one search finds either.
BOTH, TABLE, SOLVED = 0, 1, 2
FROM_TABLE, FROM_SOLVER = tl.constexpr(TABLE), tl.constexpr(SOLVED)
# The table's layout as the kernel needs it, see `kl_table._locate`.
_SHIFT = layout.MANTISSA_BITS - layout.PER_OCTAVE_LOG2
NEAREST, FARTHEST = tl.constexpr(2.0**-layout.OCTAVES), tl.constexpr(-LOGP_MIN)
PER_UNIT, SHIFT = tl.constexpr(float(layout.PER_OCTAVE)), tl.constexpr(_SHIFT)
POSITION_BITS, POSITION_UNIT = tl.constexpr((1 << _SHIFT) - 1), tl.constexpr(2.0**-_SHIFT)
BITS_OF_FIRST = tl.constexpr((layout.EXPONENT_BIAS - layout.OCTAVES) << layout.PER_OCTAVE_LOG2)
CELLS_BELOW_ONE, COLUMNS = tl.constexpr(layout.OCTAVES * layout.PER_OCTAVE), tl.constexpr(layout.CELLS)
LOWER_ROW, UPPER_ROW = tl.constexpr(0), tl.constexpr(layout.DEGREE + 1)
_NAMES = {kind: name for name, kind in packed.KINDS.items()}

Region = namedtuple(
    "Region",
    "low_table high_table low_value high_value low_row low_column high_row high_column "
    "low_coarse low_fine high_coarse high_fine least_radius radius_below "
    "low_at_most high_at_least log_cap log_dual_clip",
)
"""A `PackedRegion` on its device, one argument of a kernel: Triton takes named tuples, from 3.4 on. Tables are those of
sides of kind KL, coarse and fine their `log_floor`; a value PER_TOKEN is a tensor, row and column its strides, and it
has the limits of its divergence. The kinds choose code: they stand beside it."""


@functools.lru_cache(maxsize=256)
def on_device(region: PackedRegion, device: torch.device) -> Region:
    """Return the region with the constants of its sides, as a kernel's argument; made once for each device."""
    sides = (region.low_kind, region.low_value), (region.high_kind, region.high_value)
    low, high = kept(device, lambda: [_table(kind, delta, device) for kind, delta in sides])
    floors = *_log_floor(*sides[0]), *_log_floor(*sides[1])
    limits = _radius_limits(region)
    return Region(low, high, region.low_value, region.high_value, 0, 0, 0, 0, *floors, *limits, *region[4:])


def with_radii(region: PackedRegion, device: torch.device, low: Tensor | None, high: Tensor | None) -> Region:
    """Return `on_device` with the radii of tokens, two-dimensional, where they are tensors; see `Region.radii`."""
    here = on_device(region, device)
    if high is None and region.high_kind & packed.PER_TOKEN:
        high = low
    if low is not None:
        here = here._replace(low_value=low, low_row=low.stride(0), low_column=low.stride(1))
    if high is not None:
        here = here._replace(high_value=high, high_row=high.stride(0), high_column=high.stride(1))
    return here


def _table(kind: int, delta: float, device: torch.device) -> Tensor:
    """Return the table of a side of kind KL; of another kind, a tensor that no kernel reads."""
    is_kl = kind in (packed.KL, packed.KL | packed.MIRRORED)
    return kl_table(*delta.as_integer_ratio(), device) if is_kl else torch.empty(1, device=device)


def _log_floor(kind: int, delta: float) -> tuple[float, float]:
    """Return `log_floor` of a side, of use to the lower bounds that have one."""
    name = _NAMES.get(kind & ~packed.MIRRORED)
    if name is None or name == "kl":
        return 0.0, 0.0
    return log_floor_of_number(name, *delta.as_integer_ratio(), torch.float32)


def _radius_limits(region: PackedRegion) -> tuple[float, float]:
    """Return the smallest radius of the region's divergence, and what a radius must be below."""
    kinds = {kind & ~(packed.MIRRORED | packed.PER_TOKEN) for kind in (region.low_kind, region.high_kind)}
    limits = [get_divergence(_NAMES[kind]).limits for kind in kinds if kind in _NAMES]
    return (limits[0].smallest, min(limits[0][1:])) if limits else (0.0, math.inf)


def one_search(region: PackedRegion, high: Tensor | None) -> int:
    """Return by what one search finds the bound that a token can reach, BOTH where two are made.

    `high` is the upper side's radius where that is a tensor of its own.
    """
    if region.low_kind != region.high_kind or region.low_value != region.high_value:
        return BOTH
    if region.low_kind == packed.KL:
        return TABLE
    return SOLVED if region.low_kind == packed.KL | packed.PER_TOKEN and high is None else BOTH


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
def _lower(logp, delta, table, coarse, fine, KIND: tl.constexpr):
    """Mirror `Within.bound` below."""
    if KIND == KL:
        return _kl_bound(table, logp, LOWER_ROW)
    if KIND == KL + PER_TOKEN:
        return solved.kl_lower(logp, delta)
    if KIND >= PER_TOKEN:
        coarse, fine = closed.log_floor(delta, KIND - PER_TOKEN)  # pyright: ignore[reportGeneralTypeIssues]
        return closed.lower(logp, delta, coarse, fine, KIND - PER_TOKEN)
    return closed.lower(logp, delta, coarse, fine, KIND)


@triton.jit
def _upper(logp, delta, table, KIND: tl.constexpr):
    """Mirror `Within.bound` above."""
    if KIND == KL:
        return _kl_high(_kl_bound(table, logp, UPPER_ROW), logp)
    if KIND == KL + PER_TOKEN:
        return solved.kl_upper(logp, delta)
    if KIND >= PER_TOKEN:
        return closed.upper(logp, delta, KIND - PER_TOKEN)
    return closed.upper(logp, delta, KIND)


@triton.jit
def _value(logp, value, row_stride, column_stride, row, column, inside, KIND: tl.constexpr):
    """Return a side's number for every token; masked ones get a radius that does no harm."""
    if KIND - KIND // MIRRORED * MIRRORED >= PER_TOKEN:
        at = value + row * row_stride + column * column_stride
        return tl.load(at, mask=inside, other=MASKED_RADIUS).to(tl.float32)
    else:  # what follows a return is compiled all the same
        return tl.zeros_like(logp) + value


@triton.jit
def are_radii(logp, region, row, column, inside, LOW: tl.constexpr, HIGH: tl.constexpr):
    """Return whether the radii that are tensors are within their limits, as `checks.check_radius`."""
    low = _value(logp, region.low_value, region.low_row, region.low_column, row, column, inside, LOW)
    high = _value(logp, region.high_value, region.high_row, region.high_column, row, column, inside, HIGH)
    found = logp == logp
    if LOW - LOW // MIRRORED * MIRRORED >= PER_TOKEN:
        found = found & (low >= region.least_radius) & (low < region.radius_below)
    if HIGH - HIGH // MIRRORED * MIRRORED >= PER_TOKEN:
        found = found & (high >= region.least_radius) & (high < region.radius_below)
    return found


@triton.jit
def _low_side(logp, value, region, KIND: tl.constexpr):
    """Mirror `Side.bound` below."""
    if KIND == FIXED:
        return value
    if KIND == DYNAMIC:
        return closed.dynamic_lower(logp, value)
    if KIND >= MIRRORED:
        return -_upper(log1mexp(logp), value, region.low_table, KIND - MIRRORED)
    return _lower(logp, value, region.low_table, region.low_coarse, region.low_fine, KIND)


@triton.jit
def _high_side(logp, value, region, KIND: tl.constexpr):
    """Mirror `Side.bound` above: at most -logp where it is of a divergence."""
    if KIND == FIXED:
        return value
    if KIND == DYNAMIC:
        return closed.dynamic_upper(logp, value)
    if KIND >= MIRRORED:
        other = log1mexp(logp)
        mirrored = -_lower(other, value, region.high_table, region.high_coarse, region.high_fine, KIND - MIRRORED)
        return tl.minimum(mirrored, -logp)
    return _upper(logp, value, region.high_table, KIND)


@triton.jit
def bounds(logp, upward, region, row, column, inside, LOW: tl.constexpr, HIGH: tl.constexpr, SEARCH: tl.constexpr):
    """Mirror `Band.bounds` for old log-probs logp <= 0; of one search, both are the bound that `upward` asks for.

    Tokens lie at row and column of what has a value for each, and are read where they are inside.
    """
    low_value = _value(logp, region.low_value, region.low_row, region.low_column, row, column, inside, LOW)
    if SEARCH == FROM_TABLE:
        low = _kl_bound(region.high_table, logp, tl.where(upward, UPPER_ROW, LOWER_ROW))
        high = _kl_high(low, logp)
    elif SEARCH == FROM_SOLVER:
        low = solved.kl_toward(logp, low_value, upward)
        high = low
    else:
        high_value = _value(logp, region.high_value, region.high_row, region.high_column, row, column, inside, HIGH)
        low, high = _low_side(logp, low_value, region, LOW), _high_side(logp, high_value, region, HIGH)
    return tl.minimum(low, region.low_at_most), tl.minimum(tl.maximum(high, region.high_at_least), region.log_cap)
