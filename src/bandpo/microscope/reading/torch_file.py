"""Files of `torch.save`, of which only tensors and plain values are taken: unpickling anything else runs code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.texts import shown

# Tensors stay on disk; lists and texts are unpickled at once and take up to six times this.
_MAX_PICKLE = 2**29


def load(path: Path) -> Any:
    """Return what the file holds, tensors mapped from disk.

    Raises:
        BatchError: damaged, too large, or holding more than tensors, numbers and texts.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a.pt"
    >>> torch.save({"logp": torch.zeros(1, 2)}, place)
    >>> load(place)
    {'logp': tensor([[0., 0.]])}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # zipfile raises what it stumbles over
        raise BatchError(f"{path} is no whole file of torch.save: {shown(error)}") from None
    pickled = sum(entry.file_size for entry in entries if entry.filename.endswith(".pkl"))
    if pickled > _MAX_PICKLE:
        raise BatchError(
            f"{path} holds {pickled >> 20} MiB of lists and texts, expected at most {_MAX_PICKLE >> 20} MiB; "
            "dump fewer samples a file"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # pickle, zip and torch have errors of their own
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise _unsafe(path, str(error)) from None
        raise BatchError(f"{path} is no whole file of torch.save: {shown(error)}") from None


def _unsafe(path: Path, reason: str) -> BatchError:
    wanted = reason.partition("GLOBAL ")[2].partition(" ")[0]
    what = f"an object of {shown(wanted)}" if wanted else "objects"
    return BatchError(
        f"{path} holds {what} beside tensors, whose loading would run code: refused; where you trust it, write the "
        f"tensors alone: {snippet('torch.load({!r}, weights_only=False)', path)}"
    )


def snippet(load_call: str, path: Path) -> str:
    """Return a command that writes the tensors of a pickled mapping to a file that is read here.

    >>> snippet("f({!r})", Path("a.pkl"))
    'python -c \\'import pickle, torch; b = f("a.pkl"); torch.save({k: v for k, v in b.items() ... "a.tensors.pt")\\''
    """
    call = load_call.format(shown(path)).replace("'", '"')
    target = shown(path.with_name(path.stem + ".tensors.pt"))
    kept = "{k: v for k, v in b.items() if torch.is_tensor(v)}"
    return f"python -c 'import pickle, torch; b = {call}; torch.save({kept}, \"{target}\")'"
