"""One process at a time in a folder: a lock that the system drops when its process ends, and who holds it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from bandpo.files.durable import PARTIAL
from bandpo.store.records import printable

LOCK, HOLDER = ".lock", ".holder"
# Whoever only asks whether a folder is held holds it for a moment.
_PATIENCE_SECONDS = 0.2


class FolderLock:
    """The lock of one folder; this process may take it again and again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Hold the folder, made where it is not there, until `release` or the end of this process.

        Raises:
            ValueError: another process holds it.
        """
        self.folder.resolve().mkdir(parents=True, exist_ok=True)  # a link may lead to a folder that was moved
        lock = FileLock(self.folder / LOCK, is_singleton=True)
        try:
            lock.acquire(timeout=_PATIENCE_SECONDS)
        except Timeout:
            raise ValueError(f"output_dir={str(self.folder)!r}: {_holder(self.folder)} is running in it") from None
        self._lock = lock
        partial = self.folder / (HOLDER + PARTIAL)
        partial.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        partial.replace(self.folder / HOLDER)

    def release(self) -> None:
        """Let others hold the folder."""
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None


def holder(folder: Path) -> str | None:
    """Return who runs in a folder, such as "process 4711", or None where nobody does.

    >>> holder(Path("nowhere")) is None
    True
    """
    if not (folder / LOCK).is_file():
        return None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _holder(folder)
    lock.release()
    return None


def _holder(folder: Path) -> str:
    try:
        name, _, host = (folder / HOLDER).read_text(encoding="utf-8").partition(" on ")
    except (OSError, ValueError):
        return "another process"
    return printable(name if host == socket.gethostname() else f"{name} on {host}")
