"""The processes of a pool, seen from the parent: the nursery that forks, and each one that grades.

A child process on a socket, no `multiprocessing`: its spawned children run the user's script again where it has no
`__main__` guard, its forked ones copy CUDA and locked threads, and daemonic processes may not have any. Pebble, the
library that kills on time-out, is built on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bandpo.rewards.forks import hold_off_forks, renew_at_fork

WALL_FACTOR = 10.0  # wall-clock seconds an answer may take for each second of processor time
START_SECONDS, FORK_SECONDS, END_SECONDS, WAKE_SECONDS = 60.0, 10.0, 5.0, 1.0
LATE_SECONDS = 1.0  # after its limit, when its own timer should have ended a process long ago
PROGRAM = Path(__file__).with_name("worker.py")


class NurseryLostError(Exception):
    """A nursery died or does not react; another one may do better."""


class Reply(NamedTuple):
    """The outcome of asking a process.

    Attributes:
        outcome: whether the two are equal, or why that was refused: "timeout", "memory" or "crash".
        is_settled: whether another process would come to the same.
    """

    outcome: bool | str
    is_settled: bool


class _Line:
    """Messages over a socket, a line of JSON each, with a deadline for every one."""

    def __init__(self, connection: socket.socket):
        self.socket, self._unread = connection, b""

    def send(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive_or_wake(self, wake: Callable[[], None], patience: float, seconds: float) -> dict[str, Any]:
        """Return the next message of so many seconds; one that is late was perhaps stopped, so `wake` is called."""
        started = time.monotonic()
        try:
            return self.receive(started + patience)
        except TimeoutError:
            wake()
            return self.receive(started + seconds)

    def receive(self, deadline: float) -> dict[str, Any]:
        """Return the next message, {} where the other end is closed; TimeoutError after the deadline."""
        while b"\n" not in self._unread:
            self.socket.settimeout(max(deadline - time.monotonic(), 1e-6))
            part = self.socket.recv(65536)
            if not part:
                return {}
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)


class Nursery:
    """The process that has loaded math-verify and forks the grading ones; any thread may ask it to.

    Args:
        seconds: processor time for an answer.
        megabytes: address space of a grading process.

    Raises:
        NurseryLostError: it died before it was ready, or was not ready in time.
        RuntimeError: it says that it cannot grade, and why.
    """

    def __init__(self, seconds: float, megabytes: int):
        self.seconds, self._sending = seconds, threading.Lock()
        with hold_off_forks():
            self.control, theirs = socket.socketpair()
            with theirs:
                self.process = _start(theirs, seconds, megabytes)
            renew_at_fork(self)
        try:
            message = _Line(self.control).receive_or_wake(self.wake, 5 * WAKE_SECONDS, START_SECONDS)
        except OSError:
            message = {}
        except BaseException:
            self.close()
            raise
        if "ready" not in message:
            self.kill()
            if "error" in message:
                raise RuntimeError(f"the grading process did not start: {message['error']}")
            raise NurseryLostError(f"it died or took more than {START_SECONDS:.0f} s to start")

    def fork(self) -> Process:
        """Fork a grading process.

        Raises:
            NurseryLostError: it died, or has not forked in `FORK_SECONDS`.
        """
        with hold_off_forks():
            ours, theirs = socket.socketpair()
            process = Process(_Line(ours), self.seconds)
        try:
            with theirs, self._sending:
                socket.send_fds(self.control, [b"f"], [theirs.fileno()])
            process.id = process.line.receive_or_wake(self.wake, WAKE_SECONDS, FORK_SECONDS)["process"]
        except (OSError, KeyError) as error:
            process.close()
            raise NurseryLostError(f"no grading process could be forked: {error!r}") from error
        except BaseException:
            process.close()
            raise
        return process

    def wake(self) -> None:
        """Have it go on, if it was stopped."""
        self.process.send_signal(signal.SIGCONT)

    def is_alive(self) -> bool:
        """Return whether the process runs; a hung one does."""
        return self.process.poll() is None

    def close(self) -> None:
        """End it and all that it forked, and wait until they are gone."""
        with self._sending:
            self.control.close()
        self.wake()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def kill(self) -> None:
        """End it at once; what it forked lives on."""
        with self._sending:
            self.control.close()
        self.process.kill()
        self.process.wait()

    def renew(self) -> None:
        """Close the forked child's copy of the socket and forget the process, which is the parent's."""
        self.control.close()
        self.process.returncode = 0
        self._sending = threading.Lock()


class Process:
    """One grading process; used by one thread at a time."""

    def __init__(self, line: _Line, seconds: float):
        self.line, self.seconds = line, seconds
        self.id, self.answers, self.is_ended = 0, 0, False
        renew_at_fork(self)

    def equal(self, gold: str, answer: str) -> Reply:
        """Return whether the two are equal, or why that was refused.

        A process that ends between the limit of processor time and that of wall-clock time was ended by the former:
        other load has no part in it, and another process would end as well. So it is with memory, if no earlier
        answers had filled it.
        """
        started = time.monotonic()
        wall = WALL_FACTOR * self.seconds
        self.answers += 1
        try:
            self.line.socket.settimeout(wall + LATE_SECONDS)
            self.line.send({"gold": gold, "answer": answer})
            message = self.line.receive_or_wake(self.wake, self.seconds, wall + LATE_SECONDS)
        except TimeoutError:
            self.kill()
            return Reply("timeout", False)
        except OSError:
            message = {}
        if "equal" in message:
            return Reply(message["equal"], True)
        if "refused" in message:
            return Reply(message["refused"], self.answers == 1)
        elapsed = time.monotonic() - started
        return Reply("crash" if elapsed < self.seconds else "timeout", self.seconds <= elapsed < wall)

    def is_idle(self) -> bool:
        """Return whether it waits for a request; one that was killed from outside has closed its end."""
        self.line.socket.settimeout(0)
        try:
            self.line.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def kill(self) -> None:
        """End it at once, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.id, signal.SIGKILL)

    def wake(self) -> None:
        """Have it go on, if it was stopped."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.id, signal.SIGCONT)

    def close(self) -> None:
        """Close our end, upon which it ends, or its timers end it."""
        self.line.socket.close()

    def renew(self) -> None:
        """Close the forked child's copy of the socket: the process is the parent's."""
        self.close()


def _start(theirs: socket.socket, seconds: float, megabytes: int) -> subprocess.Popen[bytes]:
    limits = [str(seconds), str(WALL_FACTOR * seconds), str(megabytes)]
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(theirs.fileno()), *limits],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
