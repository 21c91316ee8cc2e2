"""A lane runs one command after another through a server of its own; several lanes share the jobs."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

from benchmarks.attack.judge import Ended
from benchmarks.attack.processes import end_all

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "COLUMNS": "80",
    "PYTHONHASHSEED": "0",
}
_LARGEST_OUTPUT = 2_000_000
T = TypeVar("T")


class Lane:
    """Starts commands, waits for them and kills them; not for several threads at once."""

    def __init__(self) -> None:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        self.server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attack.server"],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.pid, self.started, self.streams = 0, 0.0, (Path(), Path())
        self.is_ready, self.received = False, b""

    def start(self, argv: Iterable[str], folder: Path, env: Mapping[str, str] | None = None, setup: str = "") -> None:
        """Start `bandpo` with these arguments in the folder; its output goes beside the folder."""
        if not self.is_ready:
            self.is_ready = self._line() == "ready"
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.streams = folder, (folder.with_suffix(".out"), folder.with_suffix(".err"))
        request = {"argv": list(argv), "cwd": str(folder), "env": dict(env or {}), "setup": setup}
        request |= dict(zip(("stdout", "stderr"), map(str, self.streams), strict=True))
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.pid, self.started = int(self._line()), time.monotonic()

    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        if b"\n" in self.received:
            return False
        assert self.server.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.server.stdout, selectors.EVENT_READ)
            return not selector.select(0)

    def kill(self) -> None:
        """SIGKILL to the command alone, as the kernel does where memory runs out."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> Ended:
        """How the command ended; what is still running after so long is killed with all it started."""
        while self.is_running() and time.monotonic() - self.started < seconds:
            time.sleep(0.005)
        hung, took = self.is_running(), time.monotonic() - self.started
        if hung:
            os.killpg(self.pid, signal.SIGKILL)
            end_all(self.folder)
        code = int(self._line())
        return Ended(None if hung else code, *map(_text, self.streams), seconds=took)

    def run(self, argv: Iterable[str], folder: Path, seconds: float, **more: Any) -> Ended:
        """Start and wait."""
        self.start(argv, folder, **more)
        return self.wait(seconds)

    def close(self) -> None:
        """End the server."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait()

    def _line(self) -> str:
        assert self.server.stdout is not None
        while b"\n" not in self.received:
            read = self.server.stdout.read(4096)
            if not read:
                raise RuntimeError(f"the server of the attacks has ended with exit code {self.server.wait()}")
            self.received += read
        line, _, self.received = self.received.partition(b"\n")
        return line.decode()


def _text(path: Path) -> str:
    if not path.is_file():  # killed before it had opened its streams
        return ""
    with path.open("rb") as file:
        return file.read(_LARGEST_OUTPUT).decode(errors="replace")


def share(jobs: Iterable[Callable[[Lane], T]], lanes: list[Lane], until: float) -> Iterator[T]:
    """What the jobs return, as they end, from all lanes at once; none is begun after `until` on the monotonic clock."""
    waiting, done, lock = iter(jobs), Queue(), threading.Lock()

    def work(lane: Lane) -> None:
        try:
            while time.monotonic() < until:
                with lock:
                    job = next(waiting, None)
                if job is None:
                    break
                done.put((job(lane), None))
        except BaseException as error:
            done.put((None, error))
        done.put((None, None))

    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    working = len(threads)
    while working:
        result, error = done.get()
        if error is not None:
            raise error
        if result is None:
            working -= 1
        else:
            yield result
