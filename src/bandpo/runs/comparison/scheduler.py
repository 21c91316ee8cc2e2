"""The runs of a comparison: each is a `bandpo train` of its own in OUT/METHOD/seed-N, some at a time.

A comparison that is cut short goes on where it was, and seeds or methods can be added later. Runs end with the
comparison that started them, and a run that another process is still busy with is left to it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bandpo.runs.comparison import tether
from bandpo.runs.comparison.specs import Spec, run_folder
from bandpo.store.folder import METRICS, RunFolder
from bandpo.store.progress import Bar
from bandpo.store.reading import RESULT
from bandpo.store.records import printable

_POLL_SECONDS = 1.0
_END_SECONDS = 10.0


def train_arguments(out: Path, spec: Spec, seed: int, options: Sequence[str]) -> list[str]:
    """Return what `bandpo train` is called with for one run."""
    arguments = [*options, "--method", spec.method, "--seed", str(seed)]
    if spec.hyperparameters:
        arguments += ["--method_kwargs", json.dumps(dict(spec.hyperparameters))]
    return [*arguments, "--output_dir", str(run_folder(out, spec, seed).path), "--disable_tqdm", "true"]


@dataclass
class _Worker:
    """A run under way; `log` is what it says, `said_before` how long that file was before."""

    process: subprocess.Popen
    folder: RunFolder
    log: Path
    said_before: int


def run_all(
    specs: Sequence[Spec], seeds: Sequence[int], out: Path, options: Sequence[str], jobs: int | None = None
) -> list[str]:
    """Run every method with every seed that is not complete yet; return one line for each run that failed.

    Args:
        specs, seeds: what to run; seeds outermost, so that every method gets as far as the others.
        out: folder of the comparison.
        options: further options of `bandpo train`, the same for all.
        jobs: processes at a time, each on its share of the cores; as many as cores if None.

    Raises:
        ValueError: fewer than one job.
    """
    cores = os.cpu_count() or 1
    jobs = cores if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    runs = [(spec, seed, run_folder(out, spec, seed)) for seed in seeds for spec in specs]
    waiting = [run for run in runs if not run[2].is_complete()]
    running: list[_Worker] = []
    failed: list[str] = []
    layout = "{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]"
    bar, lifeline = Bar(total=len(runs), desc="runs", bar_format=layout), os.pipe()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                spec, seed, folder = waiting.pop(0)
                busy = folder.holder()
                if busy is not None:
                    failed.append(f"{folder.path}: {busy} is running in it")
                    continue
                arguments = train_arguments(out, spec, seed, options)
                running.append(_start(arguments, folder, max(1, cores // jobs), lifeline[0]))
            time.sleep(_POLL_SECONDS)
            for worker in [worker for worker in running if worker.process.poll() is not None]:
                running.remove(worker)
                if not worker.folder.is_complete():
                    failed.append(f"{worker.folder.path}: {_why(worker)}")
            bar.n = sum(_share_done(folder) for _, _, folder in runs)
            bar.refresh()
    finally:
        _end([worker.process for worker in running])
        for end in lifeline:
            os.close(end)
        bar.close()
    return failed


def _start(arguments: Sequence[str], folder: RunFolder, threads: int, lifeline: int) -> _Worker:
    """Start a run; what it says goes behind what earlier tries said."""
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    path = folder.path.with_suffix(".log")
    with path.open("ab") as log:
        said_before = log.tell()
        process = subprocess.Popen(
            [sys.executable, tether.__file__, "train", *arguments],
            stdin=lifeline,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    return _Worker(process, folder, path, said_before)


def _end(processes: Sequence[subprocess.Popen]) -> None:
    """Ask processes to end, and kill those that do not."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _why(worker: _Worker) -> str:
    """Return why a run that ended is not complete: the signal that killed it, or the last it said."""
    code = worker.process.returncode
    if code < 0:
        names = {int(number): number.name for number in signal.Signals}
        return f"killed by {names.get(-code, f'signal {-code}')}"
    with worker.log.open("rb") as log:
        log.seek(worker.said_before)
        lines = log.read().decode(errors="replace").strip().splitlines()
    last = printable(lines[-1]) if lines else "no output"
    return last if code else f"ended without a result: {last}"


def _share_done(folder: RunFolder) -> float:
    """Return how far a run is, in 0..1."""
    if (folder.path / RESULT).is_file():
        return 1.0
    records = folder.read(METRICS)
    try:
        return min(max(records[-1]["step"] / (folder.config() or {})["max_steps"], 0.0), 1.0)
    except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0.0
