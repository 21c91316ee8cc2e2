"""Processes by the folder they work in: what a killed command has left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

_LEAVE_SECONDS = 5.0


def working_in(folder: Path) -> dict[int, str]:
    """Process id -> command line of every other process whose arguments, folder or environment name this folder."""
    # Whole names only: chain-1 is not chain-12.
    needle, found = re.compile(re.escape(os.fsencode(folder)) + rb"(?![\w.-])"), {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes()
            about = [arguments, os.fsencode(os.readlink(entry / "cwd")), (entry / "environ").read_bytes()]
        except OSError:
            continue
        if any(needle.search(text) for text in about):
            found[int(entry.name)] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def left_behind(folder: Path, seconds: float = _LEAVE_SECONDS) -> dict[int, str]:
    """Processes that still work in the folder so long after a kill; at once where there is none."""
    until = time.monotonic() + seconds
    while True:
        found = working_in(folder)
        if not found or time.monotonic() > until:
            return found
        time.sleep(0.1)


def end_all(folder: Path) -> None:
    """Kill every process that works in the folder, which has been made for an attack."""
    for _ in range(50):
        found = working_in(folder)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
