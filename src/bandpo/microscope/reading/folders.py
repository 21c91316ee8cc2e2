"""Which files of a folder are read: those of an engine's layout, or every file of batches that lies in it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.look import SUFFIXES
from bandpo.microscope.reading.texts import named, shown

_CHUNKS = ("stream.jsonl", "stream/[0-9]*.jsonl*")
# A run of ours; prime-rl's export and its traces.
_LAYOUTS = (
    "batches/*.safetensors",
    "token_exports/step_*/rank_*.jsonl",
    "*/token_exports/step_*/rank_*.jsonl",
    "step_*/rank_*.jsonl",
    *(f"{above}{chunks}" for above in ("monitors/file/traces/", "file/traces/", "traces/", "") for chunks in _CHUNKS),
    "traces/[0-9]*.jsonl*",
)
# slime's and miles's.
_DUMP, _ROLLOUTS = "train_data", "rollout_data"
_INDEX = ".index.jsonl"
_BESIDE = ("_metadata.jsonl", "metrics.jsonl", _INDEX)
# What marks a folder of ours; the lines of text in it are scores and samples.
_OURS = "bandpo.json"


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that hold batches, steps in their order.

    Raises:
        BatchError: none, or a folder that cannot be listed.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> for name in ("step_10.npz", "step_9.npz", "README.md"):
    ...     _ = (place / name).write_text("")
    >>> [path.name for path in files_of(place)]
    ['step_9.npz', 'step_10.npz']
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise BatchError(f"{folder} cannot be listed: {shown(error)}") from None
    for pattern in _LAYOUTS:
        files = [path for path in folder.glob(pattern) if not path.name.endswith((_INDEX, ".tmp"))]
        if files:
            return _sorted(_unsealed(files))
    if (folder / _DUMP).is_dir() or (folder / _ROLLOUTS).is_dir():
        return _dumped(folder)
    beside = (*_BESIDE, ".jsonl") if _OURS in names else _BESIDE
    files = [folder / name for name in names if name.endswith(SUFFIXES) and not name.endswith(beside)]
    if not files and _OURS in names:
        raise BatchError(f"{folder} holds no recorded batches: expected a run of `bandpo train --record-every 10`")
    if not files:
        raise BatchError(
            f"{folder} holds {named(names)}: expected files ending in {', '.join(SUFFIXES)}, or an engine's dump"
        )
    return _sorted(_unsealed(files))


def _dumped(folder: Path) -> list[Path]:
    """Return the training data, and those rollouts that no training data were written for."""
    trained = _sorted(list((folder / _DUMP).glob("*.pt")))
    steps = {path.stem.partition("_")[0] for path in trained}
    alone = [path for path in (folder / _ROLLOUTS).glob("[0-9]*.pt") if path.stem not in steps]
    if not trained and not alone:
        raise BatchError(f"{folder} holds no .pt file in {_DUMP} or {_ROLLOUTS}")
    return _sorted([*trained, *alone])


def _unsealed(files: Sequence[Path]) -> list[Path]:
    """Leave out the packed twin of a file that is there unpacked."""
    present = set(files)
    return [path for path in files if path.suffix != ".zst" or path.with_suffix("") not in present]


def _sorted(files: Sequence[Path]) -> list[Path]:
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part[:18]) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(path))]
