"""The command line as a user has it: a short training run on the embedded task, and an evaluation of what it gave."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

UPDATES = 96
TINY = {"per_device_train_batch_size": 16, "num_generations": 8, "steps_per_generation": 2, "eval_samples": 2}


def run(*arguments: str) -> tuple[int, float]:
    """Run a command of the package, its output shown; return its exit code and seconds."""
    print("$ bandpo " + " ".join(arguments), flush=True)
    started = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "bandpo", *arguments]).returncode
    return code, time.perf_counter() - started


def scores(path: Path) -> Any:
    """Return what a result file says of the model."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: found[name] for name in ("before", "after", "seconds", "scores") if name in found}


def measure(setting: Setting, record: Record) -> None:
    """Train, then evaluate the model that came of it."""
    trained, evaluated = setting.place / "run", setting.place / "eval"
    tiny = [part for name, value in TINY.items() for part in (f"--{name}", str(value))] if setting.is_small else []
    updates = 4 if setting.is_small else UPDATES
    common = ["--output_dir", str(trained), "--max_steps", str(updates), "--disable_tqdm", "True"]
    code, seconds = run("train", *common, *tiny)
    result = scores(trained / "result.json")
    record.add("train", code, f"{seconds:.0f} s with its start")
    record.note("train", result)
    if "seconds" in result:
        record.add("train_seconds", result["seconds"], f"{updates} updates")
    few = ["--n", "2", "--limit", "4"] if setting.is_small else ["--n", "8"]
    code, seconds = run("eval", "--model", str(trained / "model"), "--output-dir", str(evaluated), *few)
    record.add("eval", code, f"{seconds:.0f} s with its start")
    record.note("eval", scores(evaluated / "result.json"))
