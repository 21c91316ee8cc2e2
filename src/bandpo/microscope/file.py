"""Our own file of a recorded batch: safetensors, with what is not a tensor as JSON in its metadata.

A file is one batch. The metadata's `bandpo` is a JSON object: schema, version, step, is_first_use, settings, dtypes,
texts, prompts, notes. Tensors are named as in `TokenBatch`; log-probs keep the dtype they had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandpo.microscope.batch import PER_ROW, PER_TOKEN, TokenBatch
from bandpo.microscope.errors import BatchError

FORMAT, SCHEMA, VERSION = "bandpo", "bandpo batch", 1
KEY = "bandpo"
SUFFIX = ".safetensors"
_TENSORS = ("mask", *PER_TOKEN, *PER_ROW)


def as_bytes(batch: TokenBatch) -> bytes:
    """Return a batch as the contents of its file.

    >>> batch = TokenBatch(mask=torch.ones(1, 2, dtype=torch.bool), step=3)
    >>> as_bytes(batch)[8:30]
    b'{"__metadata__":{"band'
    """
    from safetensors.torch import save

    # Copies, since safetensors refuses tensors that share memory, as the log-probs of a first use may.
    tensors = {
        name: getattr(batch, name).clone(memory_format=torch.contiguous_format) for name in ("mask", *batch.names)
    }
    facts = {
        "schema": SCHEMA,
        "version": VERSION,
        "step": batch.step,
        "is_first_use": batch.is_first_use,
        "settings": dict(batch.settings),
        "dtypes": {**{name: _dtype(tensors[name]) for name in batch.names}, **batch.dtypes},
        "texts": {str(token): text for token, text in batch.texts.items()},
        "prompts": list(batch.prompts),
        "notes": list(batch.notes),
    }
    return save(tensors, {KEY: json.dumps(facts, ensure_ascii=True, default=str)})


def read_file(path: str | Path, max_tokens: int = 2**20) -> Iterator[TokenBatch]:
    """Yield a recorded file's sequences, at most `max_tokens` positions at a time, so that a large file fits.

    Raises:
        BatchError: no such file, not one of ours, another version, a tensor that is missing or does not fit.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "step_3.safetensors"
    >>> _ = place.write_bytes(as_bytes(TokenBatch(mask=torch.ones(1, 2, dtype=torch.bool), step=3)))
    >>> [batch.step for batch in read_file(place)]
    [3]
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as opened:
            facts = read_facts((opened.metadata() or {}).get(KEY), path)
            held = set(opened.keys())
            names = [name for name in _TENSORS if name in held]
            if "mask" not in names:
                raise BatchError(f"{path}: holds no mask, expected one beside {', '.join(names) or 'its tensors'}")
            shape = opened.get_slice("mask").get_shape()
        if len(shape) != 2:
            raise BatchError(f"{path}: mask has shape {tuple(shape)}, expected (sequences, tokens)")
        count = max(1, max_tokens // max(shape[1], 1))
        for start in range(0, shape[0], count):
            rows = slice(start, min(start + count, shape[0]))
            # Opened anew each time, so that the pages of earlier rows need not stay in memory.
            with safe_open(path, "pt") as opened:
                tensors = {name: _rows(opened.get_slice(name), rows, shape, name, path) for name in names}
            yield _batch(tensors, facts, rows, str(path))
    except (SafetensorError, OSError) as error:
        raise BatchError(f"{path} is no whole safetensors file: {error}") from None


def read_facts(text: str | None, path: str | Path) -> Mapping[str, Any]:
    """Return what a file's metadata says, after a look at its schema and version.

    Raises:
        BatchError: nothing there, no JSON object, another schema, a newer version.
    """
    try:
        facts = json.loads(text or "null")
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise BatchError(f"{path}: its metadata names no batch of ours, expected {KEY} with schema {SCHEMA!r}")
    if facts.get("version") != VERSION:
        raise BatchError(
            f"{path}: version {facts.get('version')!r} of {SCHEMA}, this bandpo reads version {VERSION}; update bandpo"
        )
    expected = {"settings": dict, "dtypes": dict, "texts": dict, "prompts": list, "notes": list}
    for name, kind in expected.items():
        if not isinstance(facts.setdefault(name, kind()), kind):
            raise BatchError(
                f"{path}: {name} in its metadata is a {type(facts[name]).__name__}, expected a {kind.__name__}"
            )
    if not isinstance(facts.get("step"), int | None) or not isinstance(facts.get("is_first_use"), bool | None):
        raise BatchError(f"{path}: step or is_first_use in its metadata has the wrong type")
    return facts


def _rows(tensor: Any, rows: slice, shape: list[int], name: str, path: str | Path) -> Tensor:
    expected = shape[:1] if name in PER_ROW else shape
    if tensor.get_shape() != expected:
        raise BatchError(f"{path}: {name} has shape {tuple(tensor.get_shape())}, expected {tuple(expected)}")
    values = tensor[rows]
    if name == "mask":
        return values != 0
    is_integer = name in ("token_ids", "groups")
    if values.is_floating_point() == is_integer or values.dtype in (torch.bool, torch.complex64):
        raise BatchError(f"{path}: {name} holds {_dtype(values)}, expected {'integers' if is_integer else 'floats'}")
    return values.long() if is_integer else values


def _batch(tensors: dict[str, Any], facts: Mapping[str, Any], rows: slice, source: str) -> TokenBatch:
    texts = {int(token): str(text) for token, text in facts["texts"].items() if token.lstrip("-").isdigit()}
    prompts = [str(text) for text in facts["prompts"]][rows]
    return TokenBatch(
        **tensors,
        step=facts.get("step"),
        is_first_use=facts.get("is_first_use"),
        settings=facts["settings"],
        dtypes={str(name): str(dtype) for name, dtype in facts["dtypes"].items()},
        texts=texts,
        prompts=prompts,
        source=source,
        format=FORMAT,
        notes=tuple(str(note) for note in facts["notes"]),
    )


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
