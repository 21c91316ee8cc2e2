"""`benchmarks/logits_memory.py` on the device: the peak of one loss by head, through our trainer and through TRL's."""

from __future__ import annotations

import gc
import importlib.util

from benchmarks import logits_memory
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

ARMS = {
    "head_stock": "stock GRPO (TRL)",
    "head_band": "band-kl",
    "head_logits": "band-kl, logits materialised",
    "head_liger": "band-kl, Liger",
}
LENGTH, SMALL_LENGTH = 4096, 16


def measure(setting: Setting, record: Record) -> None:
    """Measure every arm that can run here."""
    length = SMALL_LENGTH if setting.is_small else LENGTH
    for key, arm in ARMS.items():
        if key == "head_liger" and importlib.util.find_spec("liger_kernel") is None:
            record.note("Liger", "liger_kernel is not installed")
            continue
        peak = logits_memory.peak_bytes(arm, length, setting.device)
        record.add(key, peak / 2**30, f"{logits_memory.ROWS * length:,} tokens")
        gc.collect()
