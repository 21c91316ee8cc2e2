"""A first look at a file: what it is by its bytes, and which names it holds."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.lines import GZIP, ZSTD, parsed, raw_lines
from bandpo.microscope.reading.texts import needs, shown

LINES, PARQUET, SAFETENSORS, NPZ, TORCH, PICKLE, UNKNOWN = (
    "lines",
    "parquet",
    "safetensors",
    "npz",
    "torch",
    "pickle",
    "unknown",
)
# What a file is meant to be where its bytes say nothing, so that the error speaks of that.
_BY_SUFFIX = {
    ".jsonl": LINES,
    ".gz": LINES,
    ".zst": LINES,
    ".parquet": PARQUET,
    ".safetensors": SAFETENSORS,
    ".npz": NPZ,
    ".pt": TORCH,
    ".pth": TORCH,
    ".pkl": PICKLE,
    ".pickle": PICKLE,
}
SUFFIXES = tuple(_BY_SUFFIX)


class Look:
    """What is seen of one file before it is read.

    Raises:
        BatchError: no such file, no file, empty, or damaged where one has to look.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = place.write_text('{"logp": [-1.0]}')
    >>> Look(place).kind, Look(place).columns
    ('lines', ('logp',))
    """

    def __init__(self, path: Path):
        self.path = path
        check_openable(path)
        if not path.stat().st_size:
            raise BatchError(f"{path} is empty")

    @cached_property
    def kind(self) -> str:
        """Return what the file is by its bytes, else by its name."""
        with self.path.open("rb") as file:
            start = file.read(9)
        by_name = _BY_SUFFIX.get(self.path.suffix, UNKNOWN)
        if start.startswith((GZIP, ZSTD)) or start.lstrip().startswith((b"{", b"\xef\xbb\xbf{")):
            return LINES
        if start.startswith(b"PAR1"):
            return PARQUET
        if start.startswith(b"PK\x03\x04"):
            return self._zip_kind() or by_name
        if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
            return PICKLE
        is_header = len(start) == 9 and 2 <= int.from_bytes(start[:8], "little") <= self.path.stat().st_size - 8
        return SAFETENSORS if is_header and start[8:] == b"{" else by_name

    def _zip_kind(self) -> str | None:
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except Exception as error:  # zipfile raises what it stumbles over
            raise BatchError(f"{self.path} is a damaged or cut off archive: {shown(error)}") from None
        if any(name.endswith("/data.pkl") for name in names):
            return TORCH
        return NPZ if any(name.endswith(".npy") for name in names) else None

    @cached_property
    def first(self) -> Mapping[str, Any]:
        """Return the first JSON object of a file of lines, and no names for any other."""
        if self.kind != LINES:
            return {}
        for number, _, line in raw_lines(self.path):
            return parsed(line, f"{self.path}, line {number}")
        raise BatchError(f"{self.path} holds no line that is not blank, or is cut off")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the first line or of a table."""
        return parquet_names(self.path) if self.kind == PARQUET else tuple(self.first)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Return the metadata of a safetensors file, and none of any other."""
        return self._header[0]

    @property
    def tensors(self) -> list[str]:
        """Return the names in a safetensors file."""
        return self._header[1]

    @cached_property
    def _header(self) -> tuple[Mapping[str, str], list[str]]:
        if self.kind != SAFETENSORS:
            return {}, []
        try:
            from safetensors import safe_open
        except ImportError:
            raise needs("safetensors", self.path) from None
        try:
            with safe_open(self.path, "pt") as opened:
                return opened.metadata() or {}, list(opened.keys())
        except Exception as error:  # its own, and the system's
            raise BatchError(f"{self.path} is no whole safetensors file: {shown(error)}") from None

    @cached_property
    def pickled(self) -> Any:
        """Return what a file of `torch.save` holds, its tensors left on disk; nothing for any other."""
        from bandpo.microscope.reading.torch_file import load

        return load(self.path) if self.kind == TORCH else None


def check_openable(path: Path) -> None:
    """Raise BatchError unless a path is a file that ends."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else shown(error)
        raise BatchError(f"{shown(path)}: {reason}") from None
    if not stat.S_ISREG(mode):
        raise BatchError(f"{path} is a {_kind_of(mode)}, expected a file or a folder")
    if not os.access(path, os.R_OK):
        raise BatchError(f"{path} may not be read: permission denied")


def _kind_of(mode: int) -> str:
    for is_kind, name in ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISDIR, "folder")):
        if is_kind(mode):
            return name
    return "device"


def parquet_names(path: Path) -> tuple[str, ...]:
    """Return the names of a table's columns.

    Raises:
        BatchError: pyarrow is missing, the file is damaged.
    """
    try:
        from pyarrow.parquet import read_schema
    except ImportError:
        raise needs("pyarrow", path) from None
    try:
        return tuple(read_schema(path).names)
    except Exception as error:  # Arrow's own, and the system's
        raise BatchError(f"{path} is no whole Parquet file: {shown(error)}") from None
