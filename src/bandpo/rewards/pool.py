"""Grading processes: each answer has a wall-clock and a memory limit, and a process that breaks one is replaced.

A child process on a socket, no `multiprocessing`: its spawned children run the user's script again where it has no
`__main__` guard, its forked ones copy CUDA and locked threads, and daemonic processes may not have any. Pebble, the
library that kills on time-out, is built on it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("worker.py")
_START_SECONDS, _END_SECONDS = 60.0, 5.0
_LATE_SECONDS = 1.0  # after its limit, when its own timer should have ended a process long ago


class _Line:
    """Messages over a socket, a line of JSON each, with a deadline for every one."""

    def __init__(self, connection: socket.socket):
        self.socket, self._unread = connection, b""

    def send(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message, {} where the other end is closed; TimeoutError after the deadline."""
        while b"\n" not in self._unread:
            self.socket.settimeout(max(deadline - time.monotonic(), 1e-6))
            part = self.socket.recv(65536)
            if not part:
                return {}
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)


class _Nursery:
    """The process that has loaded math-verify and forks the grading ones.

    Raises:
        RuntimeError: it did not start.
    """

    def __init__(self, seconds: float, megabytes: int):
        control, theirs = socket.socketpair()
        command = [sys.executable, str(_PROGRAM), str(theirs.fileno()), str(seconds), str(megabytes)]
        with theirs:
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
        self.control = control
        try:
            message = _Line(control).receive(time.monotonic() + _START_SECONDS)
        except OSError as error:
            message = {"error": repr(error)}
        except BaseException:
            self.close()
            raise
        if "ready" not in message:
            self.close()
            raise RuntimeError(f"the grading process did not start: {message.get('error', 'it died')}")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End it and all that it forked, and wait until they are gone."""
        self.control.close()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def abandon(self) -> None:
        """In a forked child: close the copy of the parent's socket and forget the process, which is not ours."""
        self.control.close()
        self.process.returncode = 0


class _Process:
    """One grading process; used by one thread at a time.

    Raises:
        RuntimeError: the nursery could not fork.
    """

    def __init__(self, nursery: _Nursery, seconds: float):
        self.seconds, self.answers = seconds, 0
        ours, theirs = socket.socketpair()
        self.line = _Line(ours)
        try:
            with theirs:
                socket.send_fds(nursery.control, [b"f"], [theirs.fileno()])
            self.id: int = self.line.receive(time.monotonic() + _START_SECONDS)["process"]
        except (OSError, KeyError) as error:
            ours.close()
            raise RuntimeError(f"no grading process could be forked: {error!r}") from error

    def equal(self, gold: str, answer: str) -> bool | str:
        """Whether the two are equal, or why that was refused: "timeout", "memory" or "crash"."""
        started = time.monotonic()
        try:
            self.line.socket.settimeout(self.seconds + _LATE_SECONDS)
            self.line.send({"gold": gold, "answer": answer})
            message = self.line.receive(started + self.seconds + _LATE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.id, signal.SIGKILL)
            return "timeout"
        except OSError:
            message = {}
        self.answers += 1
        died = "timeout" if time.monotonic() - started >= self.seconds else "crash"
        return message.get("equal", message.get("refused", died))

    def is_idle(self) -> bool:
        """Whether it waits for a request; one that was killed from outside has closed its end."""
        self.line.socket.settimeout(0)
        try:
            self.line.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close our end, upon which it ends, or its timer ends it."""
        self.line.socket.close()


class Pool:
    """Up to `workers` grading processes, forked when needed, shared by all threads of this process.

    Args:
        seconds: wall-clock limit for an answer.
        megabytes: address space of a process; it needs 64 MB itself.
        workers: processes at most.
        answers_each: answers after which a process is replaced, so that no cache of sympy's grows for ever.

    Raises:
        ModuleNotFoundError: math-verify is not installed.
        OSError: not Linux or macOS.
    """

    def __init__(self, seconds: float, megabytes: int, workers: int, answers_each: int = 10_000):
        if not hasattr(os, "fork"):
            raise OSError("grading by math-verify needs processes of Linux or macOS")
        if find_spec("math_verify") is None:
            raise ModuleNotFoundError("grading needs math-verify: pip install 'bandpo[math]'", name="math_verify")
        self.seconds, self.megabytes, self.workers, self.answers_each = seconds, megabytes, workers, answers_each
        self._nursery: _Nursery | None = None
        self._idle: list[_Process] = []
        self._alive: set[_Process] = set()
        self._places, self._lock = threading.BoundedSemaphore(workers), threading.Lock()
        _pools.add(self)

    def equal(self, gold: str, answer: str) -> bool | str:
        """Whether the two are equal, or why that was refused: "timeout", "memory" or "crash".

        Raises:
            RuntimeError: no grading process could be started.
        """
        with self._places:
            process = self._take()
            try:
                verdict = process.equal(gold, answer)
            except BaseException:
                self._drop(process)
                raise
            if isinstance(verdict, str) or process.answers >= self.answers_each:
                self._drop(process)
            else:
                with self._lock:
                    self._idle.append(process)
            return verdict

    def equal_each(self, pairs: Sequence[tuple[str, str]]) -> list[bool | str]:
        """`equal` of every (gold, answer) pair, as many at a time as there are workers."""
        if len(pairs) <= 1 or self.workers == 1:
            return [self.equal(*pair) for pair in pairs]
        threads = ThreadPoolExecutor(min(self.workers, len(pairs)), thread_name_prefix="bandpo-grading")
        try:
            return list(threads.map(lambda pair: self.equal(*pair), pairs))
        except BaseException:
            # Ctrl-C: answers under way would be waited for, so end their processes.
            threads.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            threads.shutdown(wait=True)

    def processes(self) -> list[int]:
        """Ids of the grading processes."""
        with self._lock:
            return [process.id for process in self._alive]

    def close(self) -> None:
        """End all processes; the next answer starts new ones."""
        with self._lock:
            nursery, idle = self._nursery, self._idle
            self._nursery, self._idle, self._alive = None, [], set()
        if nursery is not None:
            nursery.close()
        for process in idle:
            process.close()

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_idle():
                    return process
                self._alive.discard(process)
                process.close()
            if self._nursery is not None and not self._nursery.is_alive():
                self._nursery.close()
                self._nursery = None
            self._nursery = self._nursery or _Nursery(self.seconds, self.megabytes)
            process = _Process(self._nursery, self.seconds)
            self._alive.add(process)
            return process

    def _drop(self, process: _Process) -> None:
        with self._lock:
            self._alive.discard(process)
        process.close()

    def _forget(self) -> None:
        """In a forked child: begin with no process, those that were copied are the parent's."""
        for process in self._alive:
            process.close()
        if self._nursery is not None:
            self._nursery.abandon()
        self._nursery, self._idle, self._alive = None, [], set()
        self._places, self._lock = threading.BoundedSemaphore(self.workers), threading.Lock()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
