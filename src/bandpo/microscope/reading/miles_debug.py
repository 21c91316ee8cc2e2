"""miles's `policy_loss_debug`: log-probs of the training forward, given to the samples whose old log-probs they name.

A file there holds one call of the loss on some samples, in no order that the training data has. A sample is told by
its old log-probs: as many numbers, equal to the last bit, as of no other sample.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.look import check_openable
from bandpo.microscope.reading.torch_file import load


class _Use(NamedTuple):
    """Where the log-probs of one use of a sample stand."""

    path: Path
    position: int


def new_log_probs(folder: Path, samples: Sequence[Mapping[str, Any]]) -> tuple[list[Tensor | None], list[str]]:
    """Return the training forward's log-probs of each sample, from its first use, and remarks on the joining.

    Args:
        folder: `policy_loss_debug`; nothing is joined where there is none.
        samples: the training data, with `log_probs`.
    """
    if not folder.is_dir():
        return [None] * len(samples), []
    files = sorted(folder.glob("rank_*_call_*.pt"), key=_call)
    uses = _uses(tuple((path, path.stat().st_mtime_ns) for path in files))
    keys = [_key(sample.get("log_probs")) for sample in samples]
    counts = Counter(keys)
    found: list[Tensor | None] = []
    most = 0
    for key in keys:
        is_proven = key is not None and counts[key] == 1 and key in uses
        found.append(_log_probs(uses[key][0]) if is_proven else None)
        most = max(most, len(uses[key]) if is_proven else 0)
    remarks = [notes.joined_uses(most)] if most > 1 else []
    return found, remarks + ([notes.NOT_JOINED] if None in found else [])


@lru_cache(maxsize=1)
def _uses(files: tuple[tuple[Path, int], ...]) -> dict[str | None, list[_Use]]:
    """Return the uses of each sample in the order of calls; those whose old log-probs fit two of one call are none."""
    uses: dict[str | None, list[_Use]] = {}
    for path, _ in files:
        check_openable(path)
        keys = [_key(sample.get("old_log_probs")) for sample in load(path)["samples"]]
        counts = Counter(keys)
        for position, key in enumerate(keys):
            if key is not None and counts[key] == 1:
                uses.setdefault(key, []).append(_Use(path, position))
    return uses


def _log_probs(use: _Use) -> Tensor:
    values = load(use.path)["samples"][use.position]["train_log_probs"]
    if not isinstance(values, Tensor):
        raise BatchError(f"{use.path}: train_log_probs is a {type(values).__name__}, expected a tensor")
    # In memory of its own, so that no more than one file is open.
    return values.clone()


def _key(values: Any) -> str | None:
    """Return what old log-probs are told by; nothing where they are too few, or all equal, to tell."""
    if not isinstance(values, Tensor) or values.dim() != 1 or len(values) < 3:
        return None
    if values.numel() * values.element_size() > values.untyped_storage().nbytes() or (values == values[0]).all():
        return None
    return hashlib.blake2b(array("f", values.tolist()).tobytes()).hexdigest()


def _call(path: Path) -> list[int]:
    return [int(part[:18]) for part in re.findall(r"\d+", path.name)[::-1]]
