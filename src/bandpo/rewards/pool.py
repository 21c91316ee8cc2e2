"""A pool of grading processes: each answer has limits of time and memory, and a process that breaks one is replaced.

What befalls a process says nothing about an answer, so an answer whose process was lost is asked once more in a fresh
one. Time is the processor's: on a machine with other work an answer has the same verdict, only later.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from bandpo.rewards.forks import renew_at_fork
from bandpo.rewards.processes import Nursery, NurseryLostError, Process

_MOST_NURSERIES = 4  # lost one after another before an answer gives up


class Pool:
    """Up to `workers` grading processes, forked when needed, shared by all threads of this process.

    Args:
        seconds: processor time for an answer; ten times as much by the wall clock.
        megabytes: address space of a process; it needs 64 MB itself.
        workers: processes at most.
        answers_each: answers after which a process is replaced, so that no cache of sympy's grows for ever.

    Raises:
        ModuleNotFoundError: math-verify is not installed.
        OSError: not Linux or macOS.

    >>> from bandpo.rewards.pool import Pool
    >>> pool = Pool(seconds=5, megabytes=512, workers=1)
    >>> pool.equal(r"\\boxed{2x}", r"\\boxed{x+x}"), pool.equal(r"\\boxed{2x}", r"\\boxed{3x}")
    (True, False)
    >>> pool.close()
    """

    def __init__(self, seconds: float, megabytes: int, workers: int, answers_each: int = 10_000):
        if not hasattr(os, "fork"):
            raise OSError("grading by math-verify needs processes of Linux or macOS")
        if find_spec("math_verify") is None:
            raise ModuleNotFoundError("grading needs math-verify: pip install 'bandpo[math]'", name="math_verify")
        self.seconds, self.megabytes, self.workers, self.answers_each = seconds, megabytes, workers, answers_each
        self.renew()
        _pools.add(self)
        renew_at_fork(self)

    def renew(self) -> None:
        """Begin with no process and with fresh locks; in a forked child those of the parent are none of its own."""
        self._nursery: Nursery | None = None
        self._idle: list[Process] = []
        self._alive: set[Process] = set()
        self._places = threading.BoundedSemaphore(self.workers)
        self._lock = threading.Lock()  # for moments
        self._starting = threading.Lock()  # as long as a nursery takes to start

    def equal(self, gold: str, answer: str) -> bool | str:
        """Return whether the two are equal, or why that was refused: "timeout", "memory" or "crash".

        Raises:
            RuntimeError: no grading process could be started.
        """
        return self._equal(gold, answer, threading.Event())

    def equal_each(self, pairs: Sequence[tuple[str, str]]) -> list[bool | str]:
        """Return `equal` of every (gold, answer) pair, as many at a time as there are workers."""
        if len(pairs) <= 1 or self.workers == 1:
            return [self.equal(*pair) for pair in pairs]
        given_up = threading.Event()
        threads = ThreadPoolExecutor(min(self.workers, len(pairs)), thread_name_prefix="bandpo-grading")
        try:
            return list(threads.map(lambda pair: self._equal(pair[0], pair[1], given_up), pairs))
        except BaseException:
            # Ctrl-C: answers under way would be waited for, so end their processes.
            given_up.set()
            threads.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            threads.shutdown(wait=True)

    def processes(self) -> list[int]:
        """Return the ids of the grading processes."""
        with self._lock:
            return [process.id for process in self._alive]

    def close(self) -> None:
        """End all processes; answers under way in other threads are graded by new ones, as is the next answer."""
        with self._lock:
            nursery, idle = self._nursery, self._idle
            for process in self._alive:
                process.is_ended = True
                process.kill()
            self._nursery, self._idle, self._alive = None, [], set()
        if nursery is not None:
            nursery.close()
        for process in idle:
            process.close()

    def _equal(self, gold: str, answer: str, given_up: threading.Event) -> bool | str:
        """Return the outcome of the first process that settles it, or of the second; "crash" once given up."""
        outcome: bool | str = "crash"
        with self._places:
            tries = 0
            while tries < 2 and not given_up.is_set():
                process = self._take(fresh=tries > 0)
                try:
                    reply = process.equal(gold, answer)
                except BaseException:
                    process.kill()
                    self._drop(process)
                    raise
                self._put_back(process, reply.outcome)
                outcome = reply.outcome
                if reply.is_settled:
                    break
                tries += not process.is_ended  # by `close` in another thread: no fault of the answer's
        return outcome

    def _take(self, fresh: bool) -> Process:
        """Return an idle process, or a new one."""
        with self._lock:
            while self._idle and not fresh:
                process = self._idle.pop()
                if process.is_idle():
                    return process
                self._alive.discard(process)
                process.close()
        lost = None
        for _ in range(_MOST_NURSERIES):
            try:
                return self._fork()
            except NurseryLostError as error:
                lost = error
        raise RuntimeError(f"no grading process could be started in {_MOST_NURSERIES} attempts: {lost}") from lost

    def _fork(self) -> Process:
        """Return a new process of the nursery, which is replaced where it is lost."""
        while True:
            nursery = self._living_nursery()
            try:
                process = nursery.fork()
            except NurseryLostError:
                with self._lock:
                    was_closed = self._nursery is not nursery
                    self._nursery = self._nursery if was_closed else None
                nursery.kill()
                if was_closed:
                    continue
                raise
            with self._lock:
                if self._nursery is nursery:
                    self._alive.add(process)
                    return process
            process.close()

    def _living_nursery(self) -> Nursery:
        """Return the nursery, a new one where there is none or it is dead; other threads meanwhile use idle ones."""
        with self._starting:
            nursery = self._nursery
            if nursery is not None and nursery.is_alive():
                return nursery
            if nursery is not None:
                nursery.kill()
            new = Nursery(self.seconds, self.megabytes)
            with self._lock:
                self._nursery = new
            return new

    def _put_back(self, process: Process, outcome: bool | str) -> None:
        if isinstance(outcome, str) or process.answers >= self.answers_each:
            self._drop(process)
            return
        with self._lock:
            if not process.is_ended:
                self._idle.append(process)
                return
        process.close()

    def _drop(self, process: Process) -> None:
        with self._lock:
            self._alive.discard(process)
        process.close()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _close_all() -> None:
    for pool in list(_pools):
        pool.close()


atexit.register(_close_all)
