"""The program in which `bandpo compare` starts a run: `python -m bandpo`, which ends when whoever started it does.

Run by path, so that what it runs as `bandpo` is found as `python -m bandpo` would find it. Standard input is the end
of a pipe whose other end the parent holds and never writes to: it closes with the parent, however that ends. Linux
kills the process besides, at once and even where it is stopped.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1  # of prctl(2)


def end_with_parent() -> None:
    """End this process when standard input is closed; to what runs in it, standard input is empty."""
    lifeline, empty = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    be_killed_with_parent()
    threading.Thread(target=_wait_and_end, args=(lifeline,), daemon=True).start()


def be_killed_with_parent() -> None:
    """Have Linux kill this process when its parent ends, however that ends; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_and_end(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    if os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
        sys.path[0] = os.getcwd()
    runpy.run_module("bandpo", run_name="__main__", alter_sys=True)
