"""The program that grades: a nursery that has loaded math-verify and forks one process for each socket it is handed.

Run by path, not as `bandpo.rewards.worker`, so that it imports math-verify and nothing of torch: half a second and
60 MB, once. Its forks take milliseconds, so a process that broke a limit is replaced for nothing. The kernel's timers
end an answer that takes too long, in C code as in Python, whatever has become of the parent: one counts processor time,
so that other load on the machine makes no difference, the other the wall clock's, for an answer that only waits.
"""

import contextlib
import fcntl
import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

MEGABYTE = 2**20
Equal = Callable[[str, str], bool]


def load() -> Equal:
    """Return math-verify's `equal(gold, answer)` without its clocks, whose alarm fails outside main threads."""
    from math_verify import parse, verify
    from sympy import Basic, Float, I, MatrixBase, Rational, Symbol

    logging.disable(logging.CRITICAL)

    def exact(expression: Any) -> Any:
        """Return decimals as the fractions they write, since 0.333333 is not 1/3; i as the imaginary unit."""
        if not isinstance(expression, (Basic, MatrixBase)):
            return expression
        meant: dict[Any, Any] = {n: Rational(str(n)) for n in expression.atoms(Float) if n.is_finite}
        imaginary = [symbol for symbol in expression.atoms(Symbol) if str(symbol) == "i"]
        return expression.xreplace(meant | dict.fromkeys(imaginary, I))

    def equal(gold: str, answer: str) -> bool:
        expected, given = (
            [exact(part) for part in parse(text, parsing_timeout=None)]  # pyright: ignore[reportArgumentType]
            for text in (gold, answer)
        )
        return bool(verify(expected, given, timeout_seconds=None, allow_set_relation_comp=True))

    equal(r"\boxed{\frac{1}{2}x}", r"\boxed{0.5x+1}")  # builds the parser's tables
    return equal


def wake_with_parent(control: socket.socket) -> None:
    """Have the kernel continue what is stopped of this process group when the parent ends, however that comes.

    The signal comes with every message as well, where it does no harm. Linux only: elsewhere it cannot be chosen.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(control, fcntl.F_SETSIG, signal.SIGCONT)
        fcntl.fcntl(control, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(control, fcntl.F_SETFL, fcntl.fcntl(control, fcntl.F_GETFL) | os.O_ASYNC)


def limit_time(processor: float, wall: float) -> None:
    """Have the kernel end this process after so many seconds of either kind; 0 and 0: have it not."""
    signal.setitimer(signal.ITIMER_PROF, processor)
    signal.setitimer(signal.ITIMER_REAL, wall)


def limit_memory(megabytes: int) -> None:
    """Let this process have so much address space and no more, and write no core files."""
    size = megabytes * MEGABYTE
    with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak_memory() -> int:
    """Return the megabytes of address space at their peak, 0 where the system has no /proc."""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmPeak")) // 1024
    except OSError:
        return 0


def serve(connection: socket.socket, equal: Equal, seconds: tuple[float, float], megabytes: int) -> None:
    """Answer requests, a line of JSON each, until the other end is closed; one that takes too long is the end.

    `seconds` are those of the processor and of the wall clock.
    """
    for end in (signal.SIGTERM, signal.SIGALRM, signal.SIGPROF):
        signal.signal(end, signal.SIG_DFL)
    limit_memory(megabytes)
    stream = connection.makefile("rwb")

    def reply(message: dict[str, Any]) -> None:
        stream.write(json.dumps(message).encode() + b"\n")
        stream.flush()

    reply({"process": os.getpid()})
    for line in stream:
        request = json.loads(line)
        limit_time(*seconds)
        try:
            verdict = equal(request["gold"], request["answer"])
        except MemoryError:
            message: dict[str, Any] = {"refused": "memory"}
        except Exception:
            message = {"equal": False}
        else:
            # math-verify swallows MemoryError: a negative verdict at the limit is none.
            is_full = not verdict and peak_memory() > 0.9 * megabytes
            message = {"refused": "memory"} if is_full else {"equal": verdict}
        limit_time(0, 0)
        reply(message)


def nursery(control: socket.socket, seconds: tuple[float, float], megabytes: int) -> None:
    """Fork a process for each socket that comes, until the parent is gone; then end those that are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets the dead
    wake_with_parent(control)
    try:
        equal = load()
    except BaseException as error:
        control.sendall(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        return
    gc.freeze()
    control.sendall(b'{"ready": true}\n')
    while True:
        _, handed, _, _ = socket.recv_fds(control, 1, 1)
        if not handed:
            break
        if os.fork() == 0:
            control.close()
            serve(socket.socket(fileno=handed[0]), equal, seconds, megabytes)
            os._exit(0)
        os.close(handed[0])
    os.killpg(0, signal.SIGTERM)
    os.killpg(0, signal.SIGCONT)
    with contextlib.suppress(ChildProcessError):
        os.wait()


if __name__ == "__main__":
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]  # its names are no top-level modules
    nursery(socket.socket(fileno=int(sys.argv[1])), (float(sys.argv[2]), float(sys.argv[3])), int(sys.argv[4]))
    os._exit(0)
