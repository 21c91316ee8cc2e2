"""Rounding to 16 bits, seen in the numbers themselves: noise on the other side does not hide it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.microscope.alignment.panel import Tokens

MANTISSA = {torch.bfloat16: 8, torch.float16: 11}
NAMES = {torch.bfloat16: "bf16", torch.float16: "fp16"}
_SMALLEST, _FEWEST, _SHARE = 0.05, 8, 0.98


@dataclass(frozen=True)
class Storage:
    """Which side is rounded to which 16-bit type.

    Attributes:
        side: "old", "new" or "both".
        dtype: the coarser one of the two.
        half_step: (N,) the largest rounding error of each token, both sides together.
    """

    side: str
    dtype: torch.dtype
    half_step: Tensor


def half_step(logp: Tensor, dtype: torch.dtype) -> Tensor:
    """Return half the distance of neighbouring numbers of that type: the largest error of rounding.

    >>> half_step(torch.tensor([-1.5]), torch.bfloat16)
    tensor([0.0039])
    """
    _, exponent = torch.frexp(logp)
    return torch.ldexp(torch.ones_like(logp), exponent - 1 - MANTISSA[dtype])


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return the 16-bit dtype of that name, None for all others.

    >>> as_dtype("bfloat16"), as_dtype("torch.float16"), as_dtype("float32")
    (torch.bfloat16, torch.float16, None)
    """
    if isinstance(dtype, str):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "half": torch.float16}.get(
            dtype, getattr(torch, dtype.removeprefix("torch."), None)
        )
    return dtype if dtype in MANTISSA else None


def rounded_to(logp: Tensor, decimals: int | None = None) -> torch.dtype | None:
    """Return the 16-bit dtype that (nearly) all values can be held in, None if they need more bits.

    Args:
        logp: values of any wider dtype; those near 0 are left out, which have few bits of their own.
        decimals: after how many decimals the values were cut, which hides steps that are not much longer.
    """
    unit = 0.0 if decimals is None else 10.0**-decimals
    for dtype in MANTISSA:
        far = logp[(logp < -_SMALLEST) & (half_step(logp, dtype) > 10 * unit)]
        if len(far) < _FEWEST:
            continue
        fits = (far.to(dtype).to(far.dtype) - far).abs() <= 0.501 * unit
        if fits.double().mean() > _SHARE:
            return dtype
    return None


def storage(tokens: Tokens, dtype_old: torch.dtype | str | None, decimals: int | None) -> Storage | None:
    """Find 16-bit numbers on either side, by the dtype where it is known, else by the bits the numbers use."""
    old = as_dtype(dtype_old) or rounded_to(tokens.old, decimals)
    new = rounded_to(tokens.new, decimals)
    if old is None and new is None:
        return None
    step = torch.zeros_like(tokens.d)
    for dtype, logp in ((old, tokens.old), (new, tokens.new)):
        if dtype is not None:
            step = step + half_step(logp, dtype)
    side = "both" if old is not None and new is not None else "old" if old is not None else "new"
    dtype = torch.bfloat16 if torch.bfloat16 in (old, new) else torch.float16
    return Storage(side, dtype, step)
