"""How the sequences of a batch lie in its tensors: one a row, or several behind one another.

Trainers that pad nothing put sequences end to end: in one flat tensor (slime, AReaL, verl's nested tensors) or in rows
of equal length (prime-rl's micro-batches). Losses that are averaged over sequences, and methods that look at a whole
response, then need to know where each begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.checks import can_inspect
from bandpo.core.methods.method import Method


class Rows:
    """One sequence a row: everything stays as it is."""

    def rows(self, name: str, tensor: Tensor) -> Tensor:
        """Return the tensor with one sequence a row, padded on the right."""
        return tensor

    def rows_if(self, name: str, tensor: Tensor | None) -> Tensor | None:
        """Return the tensor with one sequence a row; None for None."""
        return None if tensor is None else self.rows(name, tensor)

    def advantages(self, advantages: Tensor) -> Tensor:
        """Return the advantages for one sequence a row."""
        return advantages

    def options(self, method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return a method's inputs and hyperparameters for one sequence a row."""
        return dict(options)

    def given(self, per_token: Tensor) -> Tensor:
        """Return losses, one sequence a row, as the tensors were given."""
        return per_token


class Packed(Rows):
    """Sequences end to end in tensors of any shape (tokens,) or (rows, tokens).

    Args:
        segments: (shape of logp) number of each token's sequence, 0, 1, 2, ... in the order they lie; below 0 for
            padding.
        mask: (shape of logp) of the tokens that count.
        check: look at the values.

    Raises:
        TypeError: segments are no whole numbers.
        ValueError: another shape or device, numbers that are not in order, a sequence in two pieces or in two rows, a
            token that counts and is of no sequence.
    """

    def __init__(self, segments: Tensor, mask: Tensor, *, check: bool):
        for name, tensor in (("segments", segments), ("mask", mask)):
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
        if segments.dtype == torch.bool or segments.is_floating_point() or segments.is_complex():
            raise TypeError(f"segments has dtype {segments.dtype}: expected whole numbers, one sequence's each")
        if segments.shape != mask.shape or segments.dim() not in (1, 2):
            raise ValueError(
                f"segments has shape {tuple(segments.shape)}: expected that of logp and mask, {tuple(mask.shape)}, "
                "(tokens,) or (rows, tokens)"
            )
        if segments.device != mask.device:
            raise ValueError(f"segments is on {segments.device}: expected the device of mask, {mask.device}")
        if check and segments.numel() and can_inspect(segments, mask):
            _check_segments(segments.long(), mask)
        self._shape, number = segments.shape, segments.long().reshape(-1)
        self._inside = number >= 0
        self._row = number[self._inside]
        lengths = torch.bincount(self._row)
        first = torch.cumsum(lengths, 0) - lengths
        self._column = torch.arange(len(self._row), device=number.device) - first[self._row]
        self._count, self._width = len(lengths), int(lengths.max()) if len(lengths) else 0

    def rows(self, name: str, tensor: Tensor) -> Tensor:
        """Return the tensor with one sequence a row, padded on the right; gradients flow through it."""
        if tensor.shape[: len(self._shape)] != self._shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}: expected that of segments, {tuple(self._shape)}, first"
            )
        rest = tensor.shape[len(self._shape) :]
        padded = tensor.new_zeros(self._count, self._width, *rest)
        return padded.index_put((self._row, self._column), tensor.reshape(-1, *rest)[self._inside])

    def advantages(self, advantages: Tensor) -> Tensor:
        """Return advantages of every token, or of every sequence, for one sequence a row."""
        if advantages.shape == self._shape:
            return self.rows("advantages", advantages)
        if advantages.shape not in ((self._count,), (self._count, 1)):
            raise ValueError(
                f"advantages has shape {tuple(advantages.shape)}: expected ({self._count},), one for each sequence of "
                f"segments, or {tuple(self._shape)}"
            )
        return advantages

    def options(self, method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return inputs and hyperparameters per token with one sequence a row; those per sequence stay."""
        return {name: self._option(method, name, value) for name, value in options.items()}

    def _option(self, method: Method, name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        needed = method.inputs.get(name)
        is_per_token = value.shape == self._shape if needed is None else needed.shape.startswith("BT")
        return self.rows(name, value) if is_per_token else value

    def given(self, per_token: Tensor) -> Tensor:
        """Return losses, one sequence a row, in the shape of segments; 0 where there is no sequence."""
        flat = per_token.new_zeros(self._inside.shape)
        return flat.index_put((self._inside.nonzero()[:, 0],), per_token[self._row, self._column]).view(self._shape)


def layout(segments: Tensor | None, mask: Tensor, *, check: bool) -> Rows:
    """Return how sequences lie: one a row, or as `segments` says.

    >>> segments = torch.tensor([0, 0, 1, -1])
    >>> layout(segments, segments >= 0, check=True).rows("logp", torch.tensor([-1.0, -2.0, -3.0, 0.0]))
    tensor([[-1., -2.],
            [-3.,  0.]])
    """
    return Rows() if segments is None else Packed(segments, mask, check=check)


def _check_segments(segments: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless sequences are numbered as they lie, each in one piece, all tokens that count in one."""
    lost = (segments < 0) & (mask != 0)
    if lost.any():
        raise ValueError(f"segments{_place(lost)} is below 0, of no sequence: expected mask to be 0 there")
    flat = segments.reshape(-1)
    before = torch.cat([flat.new_tensor([-1]), flat[:-1]])
    newest = torch.cummax(before, 0).values  # the number of the last sequence before each token
    starts_row = torch.zeros_like(segments, dtype=torch.bool)
    starts_row[..., 0] = True
    goes_on = (flat == before) & ~starts_row.reshape(-1)
    wrong = (flat >= 0) & ~goes_on & (flat != newest + 1)
    if wrong.any():
        place = wrong.nonzero()[0, 0]
        raise ValueError(
            f"segments{_place(wrong.view_as(segments))} is {int(flat[place])}: expected sequences numbered 0, 1, 2, "
            f"... as they lie, each in one piece of one row, so {int(newest[place]) + 1} for the next one"
        )


def _place(found: Tensor) -> list[int]:
    """Return the index of the first place that is true."""
    return found.nonzero()[0].tolist()
