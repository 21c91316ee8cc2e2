"""Grading processes: each answer has a wall-clock and a memory limit, and a process that breaks one is replaced.

Plain child processes on a socket, no `multiprocessing`: its spawned children run the user's script again where it has
no `__main__` guard, its forked ones copy CUDA and locked threads, and daemonic processes may not have any. Pebble, the
library that kills on time-out, is built on it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

_PROGRAM = Path(__file__).with_name("worker.py")
_START_SECONDS = 60.0


class _Process:
    """One grading process and the socket to it; used by one thread at a time."""

    def __init__(self, seconds: float, megabytes: int):
        self.seconds, self.answers = seconds, 0
        self.socket, theirs = socket.socketpair()
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
        self._unread = b""
        self._is_ready = False

    def start(self) -> None:
        """Wait until it has imported math-verify.

        Raises:
            RuntimeError: it could not.
        """
        if self._is_ready:
            return
        try:
            message = self._receive(time.monotonic() + _START_SECONDS)
        except (TimeoutError, OSError) as error:
            message = {"error": repr(error)}
        if "ready" not in message:
            self.kill()
            raise RuntimeError(f"a grading process did not start: {message.get('error', 'it died')}")
        self._is_ready = True

    def equal(self, gold: str, answer: str) -> bool | str:
        """Whether the two are equal, or why that was refused: "timeout", "memory" or "crash"."""
        deadline = time.monotonic() + self.seconds
        try:
            self.socket.settimeout(self.seconds)
            self.socket.sendall(json.dumps({"gold": gold, "answer": answer}).encode() + b"\n")
            message = self._receive(deadline)
        except TimeoutError:
            return "timeout"
        except OSError:
            return "crash"
        self.answers += 1
        return message.get("equal", message.get("refused", "crash"))

    def _receive(self, deadline: float) -> dict:
        while b"\n" not in self._unread:
            self.socket.settimeout(max(deadline - time.monotonic(), 1e-6))
            part = self.socket.recv(65536)
            if not part:
                return {}
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def abandon(self) -> None:
        """In a forked child: close the copy of the parent's socket and forget the process, which is not ours."""
        self.socket.close()
        self.process.returncode = 0


class Pool:
    """Up to `workers` grading processes, started when first needed, shared by all threads of this process.

    Args:
        seconds: wall-clock limit for an answer.
        megabytes: address space of a process; it needs 64 MB itself.
        workers: processes at most.
        answers_each: answers after which a process is replaced, so that no cache of sympy's grows for ever.

    Raises:
        ModuleNotFoundError: math-verify is not installed.
    """

    def __init__(self, seconds: float, megabytes: int, workers: int, answers_each: int = 10_000):
        if find_spec("math_verify") is None:
            raise ModuleNotFoundError("grading needs math-verify: pip install 'bandpo[math]'", name="math_verify")
        self.seconds, self.megabytes, self.workers, self.answers_each = seconds, megabytes, workers, answers_each
        self._idle: list[_Process] = []
        self._alive: set[_Process] = set()
        self._places = threading.BoundedSemaphore(workers)
        self._lock = threading.Lock()
        self._pid = os.getpid()
        _pools.add(self)

    def equal(self, gold: str, answer: str) -> bool | str:
        """Whether the two are equal, or why that was refused: "timeout", "memory" or "crash".

        Raises:
            RuntimeError: no grading process could be started.
        """
        with self._places:
            process = self._take()
            try:
                process.start()
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
        """Process ids of the workers that are alive."""
        with self._lock:
            return [process.process.pid for process in self._alive]

    def close(self) -> None:
        """End all processes; the next answer starts new ones."""
        with self._lock:
            ended, self._idle, self._alive = list(self._alive), [], set()
        _kill(ended)

    def _take(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.process.poll() is None:
                    return process
                self._alive.discard(process)  # killed from outside while idle: no answer is to blame
                process.kill()
            process = _Process(self.seconds, self.megabytes)
            self._alive.add(process)
            return process

    def _drop(self, process: _Process) -> None:
        with self._lock:
            self._alive.discard(process)
        process.kill()

    def _forget(self) -> None:
        for process in self._alive:
            process.abandon()
        self._idle, self._alive = [], set()
        self._places, self._lock = threading.BoundedSemaphore(self.workers), threading.Lock()


def _kill(processes: Iterable[_Process]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            process.kill()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


def _forget_all() -> None:
    for pool in list(_pools):
        pool._forget()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
