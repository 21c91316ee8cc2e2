"""The band over 1e8 points: `benchmarks/band_sweep.py` in a process of its own; its exit code says if one is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attack.lane import ROOT
from benchmarks.attack.outcome import Outcome

_SCRIPT = ROOT / "benchmarks" / "band_sweep.py"
_POINTS = "1e8"
KIND = f"band: a sweep of {_POINTS} points"


def outcomes(place: Path, until: float) -> Iterator[Outcome]:
    """One outcome for the whole sweep; what it wrote is in its message."""
    if not _SCRIPT.is_file():
        yield Outcome(KIND, "sweep", f"{_SCRIPT.relative_to(ROOT)} is not there")
        return
    place.mkdir(parents=True, exist_ok=True)
    file = place / "sweep.json"
    words = [str(_SCRIPT), "--points", _POINTS, "--out", str(file)]
    repro = f"python benchmarks/band_sweep.py --points {_POINTS} --out FILE"
    started = time.monotonic()
    try:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                              timeout=max(1.0, until - started))  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Outcome(KIND, "sweep", f"not done after {time.monotonic() - started:.0f} s", repro=repro)
        return
    seconds = time.monotonic() - started
    failure = None if done.returncode == 0 else done.stdout.strip()[-300:]
    found = json.loads(file.read_text()) if file.is_file() else {}
    message = json.dumps({name: value for name, value in found.items() if isinstance(value, (int, float))})
    yield Outcome(KIND, "sweep", failure, done.returncode, repro, seconds, message)
