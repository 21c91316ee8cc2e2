"""`benchmarks/rehearsal.py` at 0.5B: data, stock TRL beside Band-KL, evaluation; what each takes."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the rehearsal's reward is found by name

import rehearsal

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

# One rollout of 32 answers.
UPDATES = 4


def measure(setting: Setting, record: Record) -> None:
    """Rehearse, and say after each stage what it took."""
    out, size = setting.place / "rehearsal", "tiny" if setting.is_small else "0.5b"
    with torch.device(setting.device):  # random weights are made there in a moment
        rehearsal.make_policy(out / "model", size)
    rehearsal.prepare_data(out)
    record.add("stages", 1)
    for stage, (name, method) in enumerate(((rehearsal.STOCK, rehearsal.STOCK), ("band", "band-kl")), start=2):
        row = _trained(out, size, setting.device, method)
        record.note(name, row)
        record.add(f"{name}_ms", row["milliseconds an update"])
        record.add(f"{name}_gib", row["peak GiB"])
        if method != rehearsal.STOCK:
            record.add("loss_share", 100 * row["phases, ms"]["loss"] / row["milliseconds an update"])
        record.add("stages", stage)
    record.note("evaluation", rehearsal.evaluate(out, "after", out / "run" / "model", samples=1))
    record.add("stages", 4)


def _trained(out: Path, size: str, device: str, method: str) -> dict[str, Any]:
    """Train and return milliseconds of an update, those of its phases, and the peak above what was held before."""
    gc.collect()
    held = _start_of_peak(device)
    result, phases = rehearsal.train(out, size, device, method, UPDATES)
    # Saving is no phase: what is saved differs between the two.
    milliseconds = {name: phases.seconds[name] / result["steps"] * 1e3 for name in rehearsal.PHASES}
    peak = torch.cuda.max_memory_allocated() - held if device == "cuda" else 0
    return {
        "milliseconds an update": sum(milliseconds.values()),
        "phases, ms": milliseconds,
        "peak GiB": peak / 2**30,
    }


def _start_of_peak(device: str) -> int:
    """Forget the peak so far and return the bytes that are held."""
    if device != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()
