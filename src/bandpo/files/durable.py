"""Files that outlive a kill and a power cut: written beside their place, flushed to the disk, then moved there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

PARTIAL = ".partial"


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file in one move: a kill or a power cut leaves the old one or the new one.

    Args:
        path: in a folder that is there.
        data: the whole contents; text is written as UTF-8.

    Raises:
        OSError: the disk is full, the folder is gone or closed to us.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_file(place, "whole"); place.read_text()
    'whole'
    """
    partial = path.with_name(path.name + PARTIAL)
    with partial.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk.

    Raises:
        OSError: it is gone, or the disk failed.
    """
    if os.name == "nt":  # which flushes only what is open for writing
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a folder.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file in a folder, those in folders within it included, and then the names.

    Raises:
        OSError: one is gone, or the disk failed.
    """
    inside = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_dir())
    for path in [*inside[::-1], folder]:
        sync(path)
