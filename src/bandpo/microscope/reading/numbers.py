"""Numbers out of a file: strict about what is one, null kept apart from what is wrong."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.microscope.batch import LOG_PROBS
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.texts import shown

INTEGERS = ("token_ids", "groups")
# Rounding can push the log-prob of a near-certain token above 0, visibly in 16-bit formats; above this it is none.
_MAX_LOG_PROB = {"bfloat16": 0.125, "float16": 0.02}
_SLACK = 1e-3
_EXPECTED = {
    **dict.fromkeys(LOG_PROBS, "a finite log-prob, at most 0"),
    "entropy": "a finite entropy, at least 0",
    "advantages": "a finite number",
}


class Numbers(NamedTuple):
    """A list of a file as a tensor, and where it held null."""

    values: Tensor
    nulls: Tensor | None = None


def numbers(values: Any, name: str, place: str) -> Numbers:
    """Return a list or a one-dimensional tensor as numbers: int64 for ids, else fp32, or the dtype a tensor has.

    Args:
        values: a list of numbers and None, or a tensor.
        name: the attribute of `TokenBatch`, or mask.
        place: file and line, for errors.

    Raises:
        BatchError: no list, or one that holds something else.

    >>> numbers([-1, None], "logp", "a.jsonl, line 1")
    Numbers(values=tensor([-1., nan]), nulls=tensor([False,  True]))
    """
    if isinstance(values, Tensor):
        return Numbers(_tensor(values, name, place))
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise BatchError(f"{place}: {name} is a {type(values).__name__}, expected a list of numbers")
    is_integer = name in INTEGERS
    nulls = None
    if None in values:
        nulls = torch.tensor([value is None for value in values])
        missing = 0 if is_integer else float("nan")
        values = [missing if value is None else value for value in values]
    try:
        packed = array("q" if is_integer else "d", values)
    except (TypeError, OverflowError) as error:
        raise BatchError(f"{place}: {name} holds more than numbers: {shown(error)}") from None
    if not packed:
        return Numbers(torch.zeros(0, dtype=torch.int64 if is_integer else torch.float32), nulls)
    tensor = torch.frombuffer(packed, dtype=torch.int64 if is_integer else torch.float64)
    return Numbers(tensor if is_integer else tensor.float(), nulls)


def _tensor(values: Tensor, name: str, place: str) -> Tensor:
    if values.dim() != 1 or values.layout != torch.strided or values.is_quantized:
        raise BatchError(f"{place}: {name} has shape {tuple(values.shape)}, expected one number a token")
    if values.numel() * values.element_size() > values.untyped_storage().nbytes():
        raise BatchError(f"{place}: {name} claims {values.numel()} numbers, the file holds fewer")
    return as_kind(values, name, place)


def as_kind(values: Tensor, name: str, place: str) -> Tensor:
    """Return a tensor in the dtype that its name asks for: int64 for ids, else floats, of 16 bits at least.

    Raises:
        BatchError: floats for ids, integers for log-probs, complex numbers.
    """
    dtype = dtype_name(values)
    if values.is_complex() or (name in INTEGERS and values.is_floating_point()):
        expected = "integers" if name in INTEGERS else "real numbers"
        raise BatchError(f"{place}: {name} has dtype {dtype}, expected {expected}")
    if name in INTEGERS:
        return values.long()
    if name not in ("mask", "advantages", "rewards") and not values.is_floating_point():
        raise BatchError(f"{place}: {name} has dtype {dtype}, expected floating-point numbers")
    return values if values.is_floating_point() and values.element_size() > 1 else values.float()


def dtype_name(tensor: Tensor) -> str:
    """Return "float32", say."""
    return str(tensor.dtype).removeprefix("torch.")


def as_mask(values: Tensor, place: str) -> Tensor:
    """Return zeros and ones as truth values.

    Raises:
        BatchError: any other number.
    """
    refuse("mask", values, (values != 0) & (values != 1), "0 or 1", place)
    return values != 0


def check_values(name: str, values: Tensor, mask: Tensor, place: str, dtype: str | None = None) -> None:
    """Raise BatchError at the first position inside the mask that no log-prob, entropy or advantage can have.

    Args:
        name: the attribute of `TokenBatch`.
        values: its numbers.
        mask: which of them count.
        place: file and line, for errors.
        dtype: what they were before they were widened.

    >>> check_values("logp", torch.tensor([-1.0, 0.5]), torch.tensor([True, False]), "a.jsonl, line 1")
    >>> check_values("logp", torch.tensor([-1.0, 0.5]), torch.tensor([True, True]), "a.jsonl, line 1")
    Traceback (most recent call last):
    bandpo.microscope.errors.BatchError: a.jsonl, line 1: logp[1] = 0.5: expected a finite log-prob, at most 0
    """
    if name not in _EXPECTED or not mask.any():
        return
    lowest = -_SLACK if name == "entropy" else torch.finfo(values.dtype).min
    highest = torch.finfo(values.dtype).max
    if name in LOG_PROBS:
        highest = _MAX_LOG_PROB.get(dtype or dtype_name(values), _SLACK)
    # Two passes over the numbers, which are many; NaN is neither.
    low, high = torch.aminmax(values.masked_fill(~mask, 0.0))
    if not (low >= lowest and high <= highest):
        refuse(name, values, mask & ~((values >= lowest) & (values <= highest)), _EXPECTED[name], place)


def refuse(name: str, values: Tensor, wrong: Tensor, expected: str, place: str) -> None:
    """Raise BatchError at the first position that is wrong, if there is one."""
    if wrong.any():
        position = tuple(wrong.nonzero()[0].tolist())
        value = values[position].item()
        raise BatchError(f"{place}: {name}[{', '.join(map(str, position))}] = {value:g}: expected {expected}")


def group_number(value: Any) -> int | None:
    """Return what tells groups apart as a number: an integer as it is, a text or token ids by their digest.

    >>> group_number(7), group_number("a") == group_number("a"), group_number("a") == group_number([1, 2])
    (7, True, False)
    """
    if isinstance(value, bool) or value is None:
        return None
    return value if isinstance(value, int) and abs(value) < 2**63 else digest(value)


def digest(value: Any) -> int:
    """Return 63 bits that tell texts, lists and tensors of integers apart."""
    if isinstance(value, Tensor):
        value = array("q", value.tolist()).tobytes()
    elif isinstance(value, list):
        value = repr(value).encode()
    else:
        value = str(value).encode(errors="replace")
    return int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "little") >> 1


def number(value: Any) -> float | None:
    """Return a number, or the one number of a list, and nothing for anything else.

    >>> number([0.5]), number(1), number({"score": 1}), number("1")
    (0.5, 1.0, None, None)
    """
    value = only(value)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e300 else None


def only(value: Any) -> Any:
    """Return the one element of a list of one, and anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
