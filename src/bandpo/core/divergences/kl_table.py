"""Band-KL bounds of a fixed radius, read from a table: one cubic a token instead of a solve, and closer to the truth.

With δ fixed the two bounds are functions of y = -log p alone. The table cuts y into cells, 16 to an octave below 1 and
16 to a unit above, so that in each a cubic through the fp64 solution at its Chebyshev points is right to 1e-9; what
fp32 then adds is one rounding. A cell is found from the bits of y, without a logarithm. fp64 input is solved, see
`kl_bounds`.
"""

from __future__ import annotations

import functools
import math
from typing import TypeGuard

import torch
from torch import Tensor

from bandpo.core.checks import constant_in_compiled_code, is_fake
from bandpo.core.divergences.kl_solver import LOGP_MIN, kl_lower, kl_toward, kl_upper

PER_OCTAVE_LOG2 = 4
PER_OCTAVE = 1 << PER_OCTAVE_LOG2
# Below 2^-60 the bounds are those of p = 1 in fp32.
OCTAVES = 60
MIN_TABLE_DELTA = 1e-9
"""Smaller radii are solved for: their bounds still bend beyond the ends of the table."""
MANTISSA_BITS, EXPONENT_BIAS = 23, 127
DEGREE = 3
CELLS = (OCTAVES + round(-LOGP_MIN)) * PER_OCTAVE
"""Columns of a table."""


@functools.lru_cache(maxsize=256)
@torch.no_grad()
def _made(numerator: int, denominator: int, device: torch.device) -> Tensor:
    """Return (8, cells) fp32: of each cell the cubics of both bounds in the position within the cell."""
    delta = numerator / denominator
    octaves = torch.arange(-OCTAVES, 0).repeat_interleave(PER_OCTAVE)
    steps = torch.arange(PER_OCTAVE, dtype=torch.float64) / PER_OCTAVE
    below_one = torch.ldexp(1 + steps.repeat(OCTAVES), octaves)
    above_one = 1 + torch.arange(round(-LOGP_MIN) * PER_OCTAVE, dtype=torch.float64) / PER_OCTAVE
    starts = torch.cat([below_one, above_one])
    width = 1.0 / PER_OCTAVE
    widths = torch.cat([torch.ldexp(torch.full_like(below_one, width), octaves), torch.full_like(above_one, width)])
    powers = torch.arange(DEGREE + 1, dtype=torch.float64)
    nodes = (1 - torch.cos(math.pi * (powers + 0.5) / (DEGREE + 1))) / 2
    logp = -(starts[:, None] + widths[:, None] * nodes)
    interpolate = torch.linalg.inv(nodes[:, None] ** powers).T
    cubics = torch.cat([bound(logp, delta) @ interpolate for bound in (kl_lower, kl_upper)], 1)
    return cubics.T.float().contiguous().to(device)


@constant_in_compiled_code
def kl_table(numerator: int, denominator: int, device: torch.device) -> Tensor:
    """Return the table of δ = numerator/denominator on a device, made once; a constant in compiled code.

    Args:
        numerator, denominator: δ's `as_integer_ratio`: exact, and in compiled code a constant where δ may be a symbol.
        device: where the table is needed.

    >>> kl_table(*(0.05).as_integer_ratio(), torch.device("cpu")).shape
    torch.Size([8, 1760])
    """
    return _made(numerator, denominator, device)


def table_bound(logp: Tensor, delta: float, upward: bool | Tensor) -> Tensor:
    """Return the largest (upward) or smallest log r with KL(old || new) <= δ, from the table; logp fp32, <= 0.

    `upward` may be a bool tensor of the shape of logp: each token then reads the one bound it asks for.

    >>> table_bound(torch.tensor([0.1]).log(), 0.05, upward=True).exp()
    tensor([2.2008])
    """
    table = kl_table(*delta.as_integer_ratio(), logp.device)
    y = -logp
    inside = y.clamp(2.0**-OCTAVES, -LOGP_MIN)
    cell, position = _locate(inside)
    first = DEGREE + 1 if upward is True else 0
    cubics = [table[first + power] for power in range(DEGREE + 1)]
    if isinstance(upward, Tensor):
        # Views of what follows each power's row, so that one index finds all four of either bound.
        cell = torch.where(upward, cell + (DEGREE + 1) * CELLS, cell)
        cubics = [table.view(-1)[power * CELLS :] for power in range(DEGREE + 1)]
    bound = cubics[DEGREE][cell]
    for power in range(DEGREE - 1, -1, -1):
        bound = bound * position + cubics[power][cell]
    if upward is False:
        return bound
    # Beyond the table's far end q no longer depends on p; at the near end the bound is the simplex's.
    high = torch.minimum(bound + (y - inside).clamp_min(0), y)
    return high if upward is True else torch.where(upward, high, bound)


def _locate(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cell that holds y > 0, and how far into it y lies, 0 to 1; for NaN any cell, and NaN."""
    shift = MANTISSA_BITS - PER_OCTAVE_LOG2
    bits = y.view(torch.int32)
    cell_below = (bits >> shift) - ((EXPONENT_BIAS - OCTAVES) << PER_OCTAVE_LOG2)
    position_below = (bits & ((1 << shift) - 1)).to(y.dtype) * 2.0**-shift
    scaled = (y - 1) * PER_OCTAVE
    whole = torch.floor(scaled)
    is_below = y < 1
    cell = torch.where(is_below, cell_below, whole.to(torch.int32) + OCTAVES * PER_OCTAVE)
    return cell.clamp(0, CELLS - 1), torch.where(is_below, position_below, scaled - whole)


def _has_table(delta: float | Tensor, logp: Tensor) -> TypeGuard[float]:
    """Return whether the bound is read from a table, which is real and may not meet a tensor without values."""
    if isinstance(delta, Tensor) or logp.dtype != torch.float32:
        return False
    return delta >= MIN_TABLE_DELTA and not is_fake(logp)


def kl_upper_bound(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Return the largest log r with KL(old || new) <= δ: by table for a number δ in fp32, solved otherwise."""
    return table_bound(logp, delta, upward=True) if _has_table(delta, logp) else kl_upper(logp, delta)


def kl_lower_bound(logp: Tensor, delta: float | Tensor) -> Tensor:
    """Return the smallest log r with KL(old || new) <= δ: by table for a number δ in fp32, solved otherwise."""
    return table_bound(logp, delta, upward=False) if _has_table(delta, logp) else kl_lower(logp, delta)


def kl_bound_toward(logp: Tensor, delta: float | Tensor, upward: Tensor) -> Tensor:
    """Return `kl_upper_bound` where `upward`, else `kl_lower_bound`: one look-up or one solve a token."""
    return table_bound(logp, delta, upward) if _has_table(delta, logp) else kl_toward(logp, delta, upward)
