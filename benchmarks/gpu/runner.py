"""One part as a process of its own, with all it starts: begun, waited for, killed at its limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from benchmarks.gpu.record import FINISHED, read, write

ROOT = Path(__file__).parents[2]


def environment(device: str, site: Path | None) -> dict[str, str]:
    """Return what a part's process finds: this checkout first, then unpacked wheels; kernels interpreted on the CPU."""
    paths = [str(ROOT / "src"), str(ROOT), *([str(site)] if site else []), os.environ.get("PYTHONPATH", "")]
    own = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    own["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # a pool of compilers takes longer to start than these graphs to build
    own |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    interpreted = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    return {**os.environ, **own, **interpreted}


def run_part(name: str, command: Sequence[str], out: Path, seconds: float, log: TextIO, env: dict[str, str]) -> str:
    """Run a part's process and return how it ended, which its results file says too.

    Args:
        name: of the part.
        command: what to start.
        out: the results file.
        seconds: the limit.
        log: where its output goes.
        env: its environment.

    Raises:
        KeyboardInterrupt: after the process has been killed and its file says so.
    """
    out.unlink(missing_ok=True)
    log.write(f"\n=== {name}\n")
    log.flush()
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    stopped = False
    try:
        code = process.wait(seconds)
        ended = FINISHED if code == 0 else f"exit code {code}: {last_line(Path(log.name))}"
    except subprocess.TimeoutExpired:
        ended = f"killed at its limit of {seconds:g} s"
    except KeyboardInterrupt:
        ended, stopped = "stopped by Ctrl-C", True
    finally:
        _kill(process)
    data: dict[str, Any] = read(out) or {"part": name, "values": {}, "details": {}, "notes": {}}
    write(out, {**data, "ended": ended, "seconds": round(time.monotonic() - started, 1)})
    if stopped:
        raise KeyboardInterrupt
    return ended


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(path: Path) -> str:
    """Return the last line of a log that is not empty."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def command_of(name: str, out: Path, place: Path, device: str, small: bool) -> list[str]:
    """Return what starts a part."""
    options = ["--out", str(out.resolve()), "--place", str(place), "--device", device]
    return [sys.executable, "-m", "benchmarks.gpu.part", name, *options, *(["--small"] if small else [])]
