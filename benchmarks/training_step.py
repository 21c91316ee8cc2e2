"""What a method adds to a training step: TRL's own trainer and ours take turns on the embedded task.

    python benchmarks/training_step.py

Writes benchmarks/results/training_step.json: CPU seconds a step of this process, the least of several turns, and the
ratio to stock TRL. With and without the `band/*` metrics, which are ours alone.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.runs.training.datasets import dataset_source
from bandpo.speed.report import machine
from bandpo.store.sources import model_source, reward_source

RESULT = Path(__file__).parent / "results" / "training_step.json"
STEPS, TURNS = 96, 6
ARMS: dict[str, dict[str, Any]] = {
    "stock GRPO (TRL)": {},
    "band-kl, no metrics": {"method": "band-kl", "band_metrics": False},
    "band-kl": {"method": "band-kl"},
    "maspo, no metrics": {"method": "maspo", "band_metrics": False},
}


def seconds_a_step(settings: dict[str, Any], seed: int) -> float:
    """CPU seconds of this process for one optimizer step, generation included."""
    common = {
        "loss_type": "grpo",
        "num_generations": 16,
        "per_device_train_batch_size": 64,
        "steps_per_generation": 8,
        "num_iterations": 2,
        "max_steps": STEPS,
        "max_completion_length": 7,
        "learning_rate": 2e-4,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 16,
        "disable_tqdm": True,
        "seed": seed,
    }
    source, tokenizer = model_source("countdown")
    data = dataset_source("countdown", "train", count=STEPS * 64, seed=seed)
    config, trainer = (BandGRPOConfig, BandGRPOTrainer) if settings else (GRPOConfig, GRPOTrainer)
    with tempfile.TemporaryDirectory() as folder:
        made: Any = trainer(  # pyright: ignore[reportCallIssue]
            source,
            reward_source("bandpo.tasks.countdown.reward"),
            config(folder, **common, **settings),  # pyright: ignore[reportArgumentType]
            train_dataset=data,
            processing_class=tokenizer,
        )
        started = time.process_time()
        made.train()
        return (time.process_time() - started) / STEPS


def main() -> None:
    torch.set_num_threads(1)
    best = dict.fromkeys(ARMS, float("inf"))
    for turn in range(TURNS):
        for name, settings in ARMS.items():
            best[name] = min(best[name], seconds_a_step(settings, seed=turn))
        print(f"turn {turn + 1} of {TURNS}: " + ", ".join(f"{n} {s * 1e3:.1f} ms" for n, s in best.items()), flush=True)
    stock = best["stock GRPO (TRL)"]
    result = {
        "command": "python benchmarks/training_step.py",
        "machine": machine("cpu", 1),
        "steps": STEPS,
        "turns": TURNS,
        "cpu seconds a step": best,
        "ratio to stock": {name: seconds / stock for name, seconds in best.items()},
        "target": "band-kl against stock GRPO: at most 1.01",
    }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result["ratio to stock"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
