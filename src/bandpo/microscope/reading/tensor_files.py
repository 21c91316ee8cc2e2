"""Files of plain tensors: safetensors, npz, and what `torch.save` wrote of a mapping of tensors."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.microscope.batch import LOG_PROBS, PER_ROW, TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.look import NPZ, SAFETENSORS, TORCH, Look
from bandpo.microscope.reading.names import find_columns
from bandpo.microscope.reading.numbers import as_kind, as_mask, dtype_name
from bandpo.microscope.reading.texts import needs, shown

NAME = "tensors"
# An array of an archive is unpacked as a whole.
_MAX_UNPACKED = 2**31


class Held(NamedTuple):
    """A tensor in a file: its shape, and a function that reads some of its rows."""

    shape: tuple[int, ...]
    rows: Callable[[slice], Tensor]


def recognises(look: Look) -> bool:
    """Return whether a file holds tensors by name."""
    if look.kind == TORCH:
        held = look.pickled
        return isinstance(held, dict) and any(isinstance(value, Tensor) for value in held.values())
    return look.kind in (SAFETENSORS, NPZ)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the rows of a file of tensors named as in `TokenBatch`, or as engines or the caller name them.

    Log-probs are (B, T), advantages (B, T) or (B,), mask (B, T) or left out where every token counts.
    """
    columns = find_columns(_names(look), options.columns, look.path)
    columns = {name: column for name, column in columns.items() if name not in ("step", "prompts")}
    held = _held(look, list(columns.values()))
    leading = next(name for name in LOG_PROBS if name in columns)
    shape = held[columns[leading]].shape
    if len(shape) != 2:
        raise BatchError(f"{look.path}: {leading} has shape {shape}, expected (sequences, tokens)")
    count = max(1, options.max_tokens // max(shape[1], 1))
    for start in range(0, shape[0], count):
        rows = slice(start, min(start + count, shape[0]))
        yield _batch(held, columns, rows, shape, look.path)


def _batch(
    held: Mapping[str, Held], columns: Mapping[str, str], rows: slice, shape: tuple[int, ...], path: Path
) -> TokenBatch:
    found = {name: _rows(held[column], rows, shape, name, path) for name, column in columns.items()}
    mask = found.pop("mask", None)
    mask = torch.ones(rows.stop - rows.start, shape[1], dtype=torch.bool) if mask is None else as_mask(mask, str(path))
    advantages = found.get("advantages")
    if advantages is not None and advantages.dim() == 1:
        found["advantages"] = advantages.unsqueeze(-1).expand(mask.shape)
    dtypes = {name: dtype_name(tensor) for name, tensor in found.items()}
    converted: dict[str, Any] = {name: as_kind(tensor, name, str(path)) for name, tensor in found.items()}
    return TokenBatch(mask=mask, **converted, dtypes=dtypes, source=str(path), format=NAME)


def _rows(held: Held, rows: slice, shape: tuple[int, ...], name: str, path: Path) -> Tensor:
    fits = held.shape == shape[:1] if name in PER_ROW else held.shape in (shape, *[shape[:1]] * (name == "advantages"))
    if not fits:
        raise BatchError(f"{path}: {name} has shape {held.shape}, expected {shape[:1] if name in PER_ROW else shape}")
    return held.rows(rows)


def _names(look: Look) -> list[str]:
    if look.kind == SAFETENSORS:
        return look.tensors
    if look.kind == TORCH:
        return [name for name, value in look.pickled.items() if isinstance(name, str) and isinstance(value, Tensor)]
    try:
        with zipfile.ZipFile(look.path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # zipfile raises what it stumbles over
        raise BatchError(f"{look.path} is no whole archive of numpy: {shown(error)}") from None


def _held(look: Look, names: list[str]) -> dict[str, Held]:
    if look.kind == SAFETENSORS:
        return {name: _held_by_safetensors(look.path, name) for name in names}
    tensors = {name: look.pickled[name] for name in names} if look.kind == TORCH else _unpacked(look.path, names)
    return {name: _held_by_memory(tensor, name, look.path) for name, tensor in tensors.items()}


def _held_by_safetensors(path: Path, name: str) -> Held:
    from safetensors import safe_open

    # Opened anew each time, so that the pages of earlier rows need not stay in memory.
    def rows(part: slice) -> Tensor:
        with safe_open(path, "pt") as opened:
            return opened.get_slice(name)[part]

    with safe_open(path, "pt") as opened:
        return Held(tuple(opened.get_slice(name).get_shape()), rows)


def _unpacked(path: Path, names: list[str]) -> dict[str, Tensor]:
    try:
        import numpy as np
    except ImportError:
        raise needs("numpy", path) from None
    with zipfile.ZipFile(path) as archive:
        size = sum(archive.getinfo(f"{name}.npy").file_size for name in names)
    if size > _MAX_UNPACKED:
        raise BatchError(
            f"{path} unpacks to {size / 2**30:.1f} GiB, expected at most {_MAX_UNPACKED >> 30}; write .safetensors, "
            "which is read in parts"
        )
    found = {}
    with np.load(path, allow_pickle=False) as opened:
        for name in names:
            try:
                found[name] = torch.from_numpy(opened[name])
            except Exception as error:  # numpy's, torch's and zipfile's
                raise BatchError(f"{path}: {shown(name)} is no whole array of numbers: {shown(error)}") from None
    return found


def _held_by_memory(tensor: Tensor, name: str, path: Path) -> Held:
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise BatchError(f"{path}: {shown(name)} claims {tensor.numel()} numbers, the file holds fewer")
    return Held(tuple(tensor.shape), tensor.__getitem__)


FORMAT = Format(NAME, recognises, read, has_columns=True)
